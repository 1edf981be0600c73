"""A cell of the table: one training of one method on one set with one kind of noise, and what identifies it."""

from __future__ import annotations

import ast
import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from .data_set import DataSet
from .methods.registry import EVEN_ODDS, dale_settings

ROOT = Path(__file__).parents[1]
_ENGINE = "DALESegmentLib/engine"
_RANKING = tuple(f"review/{name}.py" for name in ("boundary", "find_regions", "suspects", "usual_doubt"))
DALE_CODE = tuple(
    f"{_ENGINE}/{part}"
    for part in ("dale", "learn/trainer.py", "learn/label_refinement.py", "learn/confidence_map.py", *_RANKING)
)
TRUSTING_CODE = ("benchmarks/trusting.py", f"{_ENGINE}/dale/correctors/annotator_bias.py")
CONFIDENCE_CODE = tuple(
    f"{_ENGINE}/{part}.py" for part in ("dale/agreement", "dale/confidence", "learn/confidence_map")
)
"""By which the labels are judged under every method."""
BASELINE_CODE = {
    "plain": (f"{_ENGINE}/dale/weighted_loss.py",),
    "gce": ("benchmarks/methods/gce.py",),
    "adele": ("benchmarks/methods/adele.py",),
    "cleanlab": ("benchmarks/methods/cleanlab_filter.py",),
    "coteaching": ("benchmarks/methods/coteaching.py",),
}


class Cell(BaseModel):
    """trusted: share of the foreground-band voxels that a clinician corrected before the training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: DataSet
    noise: str
    level: float | None
    network: str
    method: str
    trusted: float
    seed: int

    @property
    def trained_as(self) -> str:
        """clean is plain training on labels without noise."""
        return "plain" if self.method == "clean" else self.method

    @property
    def spoiled_by(self) -> tuple[str, float | None]:
        return ("none", 0.0) if self.method == "clean" else (self.noise, self.level)

    @property
    def title(self) -> str:
        trusted = f" trusted {100 * self.trusted:g} %" if self.trusted else ""
        return f"{self.data.name} {self.noise} {self.network} {self.method}{trusted} seed {self.seed}"

    def key(self) -> str:
        return _key(self)

    def content(self) -> dict[str, Any]:
        """What its figures depend on. Names for one and the same training share a key, and are trained once:
        clean under any noise and plain without noise; no partition and joint, where the settings come to the same.
        """
        noise, level = self.spoiled_by
        method = _method(self.trained_as)
        if self.trusted:
            method["trusting"] = code_digest(TRUSTING_CODE)
        elif "settings" in method:
            for name in ("bias_correction", "annotator_bias_config"):  # without trusted voxels no bias is known
                del method["settings"][name]
        return {
            "data": self.data.model_dump(mode="json"),
            "noise": [noise, level],
            "network": self.network,
            "method": method,
            "trusted": self.trusted,
            "seed": self.seed,
        }


@lru_cache(maxsize=4096)
def _key(cell: Cell) -> str:
    return _digest(cell.content())


def _method(name: str) -> dict[str, Any]:
    settings = dale_settings(name)
    if settings is None:
        return {"name": name, "code": code_digest((*BASELINE_CODE[name], *CONFIDENCE_CODE))}
    effective = settings.model_dump() | {"alternation": settings.alternates}
    odds = {"odds": "even"} if name in EVEN_ODDS else {}
    return {"name": "dale", "settings": effective, "code": code_digest(DALE_CODE), **odds}


@lru_cache
def code_digest(paths: tuple[str, ...]) -> str:
    """Hash of what Python files do: without comments, docstrings and layout."""
    files = sorted(f for path in paths for f in ([ROOT / path] if "." in path else (ROOT / path).rglob("*.py")))
    return _digest([[f.relative_to(ROOT).as_posix(), bare_code(f.read_text(encoding="utf-8"))] for f in files])


def bare_code(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            body[0] = ast.Pass()
    return ast.unparse(tree)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
