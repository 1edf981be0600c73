"""Where a model comes from: the models before it, the cases it learned from by the hashes of their images, and what
readers had vouched for in them; and the model card, which says it in words.

Both lie in the bundle's `docs`. Neither holds the name of a case or a place on a disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from .. import __version__
from ..core.errors import EngineError
from ..core.files import read_json, write_atomically, write_json
from ..planning.plan import Plan
from .open_model import weights_of
from .validate import inside

LINEAGE = Path("docs") / "lineage.json"
CARD = Path("docs") / "README.md"
FORMAT, VERSION = "dalesegment-lineage", 1
MOST_PARENTS = 50


class _Case(BaseModel):
    image: str
    label: str
    use: Literal["training", "validation", "replay"]
    reviewed_voxels: int
    corrected_voxels: int


class _Decisions(BaseModel):
    cases: int
    reviewed_voxels: int
    corrected_voxels: int


class _Parent(BaseModel):
    weights: str
    program: str = ""
    made: str = ""
    decisions: _Decisions | None = None


class _Lineage(BaseModel):
    """As lineage.json has it."""

    format: Literal["dalesegment-lineage"]
    version: Literal[1]
    program: str
    made: str
    parents: list[_Parent]
    earlier_images: list[str]
    cases: list[_Case]
    decisions: _Decisions
    figures: list[str] = []


@dataclass(frozen=True)
class LearnedCase:
    """image: `image_fingerprint`; label: hash of label, confirmed voxels and class names, "" where it is not known;
    reviewed, corrected: voxels of the training's grid that readers confirmed, and those they changed; use: "training",
    "validation" or "replay"."""

    image: str
    use: str
    label: str = ""
    reviewed: int = 0
    corrected: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "image": self.image,
            "label": self.label,
            "use": self.use,
            "reviewed_voxels": self.reviewed,
            "corrected_voxels": self.corrected,
        }


def weights_hash(bundle: Path) -> str:
    """By which a model, ours or another program's, is known: of its weights (BLAKE2b, 64 bits)."""
    digest = hashlib.blake2b(digest_size=8)
    for path in weights_of(bundle):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


NO_ANCESTRY: Mapping[str, Any] = {"parents": [], "earlier_images": []}


def ancestry_of(bundle: Path) -> dict[str, Any]:
    """For `lineage_of`, of the model that a fine-tune starts from. parents: it and those it comes from, the newest
    first; earlier_images: hashes of all images that these learned from. Raises EngineError("unreadable-file")."""
    told = read_lineage(bundle)
    own: dict[str, Any] = {key: told[key] for key in ("program", "made", "decisions") if key in told}
    images = {case["image"] for case in told.get("cases", []) if case["use"] != "validation"}
    return {
        "parents": [{"weights": weights_hash(bundle)} | own, *told.get("parents", [])][:MOST_PARENTS],
        "earlier_images": sorted(images | set(told.get("earlier_images", []))),
    }


def lineage_of(cases: Iterable[LearnedCase], ancestry: Mapping[str, Any] = NO_ANCESTRY) -> dict[str, Any]:
    """What is known of a new model, in JSON values."""
    learned = sorted(cases, key=lambda case: (case.use, case.image))
    return {
        "format": FORMAT,
        "version": VERSION,
        "program": f"DALESegment {__version__}",
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **ancestry,
        "cases": [case.as_dict() for case in learned],
        "decisions": {
            "cases": sum(case.reviewed > 0 for case in learned),
            "reviewed_voxels": sum(case.reviewed for case in learned),
            "corrected_voxels": sum(case.corrected for case in learned),
        },
    }


def read_lineage(bundle: Path) -> dict[str, Any]:
    """Empty for a model of an earlier version. Raises EngineError("unreadable-file") for what is no lineage."""
    path = inside(bundle, LINEAGE)
    if not path.is_file():
        return {}
    try:
        return _Lineage.model_validate(read_json(path)).model_dump()
    except ValidationError as error:
        raise EngineError("unreadable-file", f"{path.name} of this model is damaged; copy the model again.") from error


def write_lineage(bundle: Path, lineage: Mapping[str, Any], plan: Plan, figures: Sequence[str]) -> None:
    """Both files, in a bundle that is there. figures: sentences on how good the model was found to be."""
    write_json(bundle / LINEAGE, {**lineage, "figures": list(figures)})
    write_atomically(bundle / CARD, model_card(lineage, plan, figures).encode())


def model_card(lineage: Mapping[str, Any], plan: Plan, figures: Sequence[str]) -> str:
    """In Markdown."""
    classes = ", ".join(_plain(plan.class_names.get(v, f"class {v}")) for v in plan.class_values if v)
    kind = "pictures" if plan.planar else "volumes"
    used = {use: sum(c["use"] == use for c in lineage["cases"]) for use in ("training", "validation", "replay")}
    decided = lineage["decisions"]
    sections = {
        "What it is for": [
            f"It segments {classes} in {kind} of {plan.channels} channel{'' if plan.channels == 1 else 's'} "
            f"({plan.dims}D {plan.network}), and says how far given labels of such images can be trusted.",
            "It was made to draft segmentations and to find label errors, for people who look at what it gives. It is "
            "no medical device and makes no diagnosis.",
        ],
        "What it learned from": [
            f"{_cases(used['training'])} to learn from, {_cases(used['validation'])} to validate on"
            f"{_again(used['replay'])}; they are named in lineage.json by hashes of their images and labels.",
            f"Readers had confirmed {decided['reviewed_voxels']:,} voxels of {_cases(decided['cases'])}, "
            f"{decided['corrected_voxels']:,} of them corrected."
            if decided["cases"]
            else "No voxel of the labels was confirmed by a reader.",
            *_parents(lineage["parents"]),
            *_range(plan),
        ],
        "How good it was found to be": list(figures) or ["It was not validated: there were too few cases."],
        "Limits": [
            "The figures are agreement with the labels that were given, errors of these included, in cases like those "
            "it learned from; other scanners, protocols and patients were not tried.",
            "Agreement is not correctness: audit what matters (review --audit), and look at every case.",
        ],
    }
    text = f"# {plan.network} for {classes}\n\nMade with {lineage['program']}, {lineage['made'][:10]}.\n"
    return text + "".join(f"\n## {title}\n\n" + "\n\n".join(words) + "\n" for title, words in sections.items())


def _cases(count: int) -> str:
    return f"{count} case{'' if count == 1 else 's'}"


def _again(count: int) -> str:
    return f", {_cases(count)} of earlier trainings learned again" if count else ""


def _parents(parents: Sequence[Mapping[str, Any]]) -> list[str]:
    if not parents:
        return ["It was trained from random weights."]
    names = ", which came from ".join(f"model {parent['weights']}" for parent in parents)
    return [f"It was fine-tuned from {names} (hash of the weights)."]


def _range(plan: Plan) -> list[str]:
    known = plan.trained_on
    if known is None:
        return []
    modalities = f" Modality: {', '.join(map(_plain, known.modalities))}." if any(known.modalities) else ""
    spacing = " × ".join(f"{low:.3g} to {high:.3g}" for low, high in known.spacing)
    return [f"Spacing of their voxels: {spacing} {'mm' if known.unit == 'mm' else 'pixels'}.{modalities}"]


def _plain(name: str) -> str:
    """A name as text in Markdown, which takes HTML as it is."""
    text = " ".join(str(name).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
    return "".join(f"\\{letter}" if letter in "\\`*_[]#|!" else letter for letter in text)
