"""What training and fine-tuning share: the record of a run, preparing its cases, running it to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from .. import __version__
from ..bundle.lineage import NO_ANCESTRY, LearnedCase, lineage_of, read_lineage, write_lineage
from ..bundle.run_folder import BUNDLE_FOLDER, RUN_FILE, claim_run_folder
from ..core.distributed import Ranks, current, errors_on_all_ranks
from ..core.errors import EngineError
from ..core.files import write_json
from ..core.progress import Progress
from ..dale.agreement import Agreements, weak_classes
from ..dale.label_state import LabelState
from ..inference.measurements import save_calibration
from ..inference.prepare_backend import prepare_backend
from ..io.case import CaseSource
from ..io.label_encoding import AS_STORED, LabelEncoding
from ..planning.class_union import ClassUnion
from ..planning.plan import Plan, TrainSettings
from ..planning.preprocessing import CaseCache, PreparedCase
from ..review.reviewed_voxels import followed
from ..training.callbacks import RunOutputs
from ..training.cross_fitting import CrossFitting
from ..training.early_stopping import EarlyStopping
from ..training.rater_labels import (
    by_case,
    note_other_raters,
    rater_findings,
    rater_sentences,
    with_consensus,
    without_names,
)
from ..training.trainer import Trainer
from ..training.validation import HeldOut, save_held_out
from ..training.volume_calibration import VolumeCalibration
from .case_checks import enumerated
from .parameters import CasesParameter
from .prepared_cases import check_enough, prepare_all, rated_cases

ENCODING = TypeAdapter(LabelEncoding)
"""As run.json has it."""
RATERS = Path("docs") / "raters.json"
"""In the bundle: what was found out about each of several raters."""


@dataclass
class Run:
    """A training as it was asked for and planned; run.json holds it."""

    folder: Path
    plan: Plan
    settings: TrainSettings
    cases: CasesParameter
    training: list[CaseSource]
    validation: list[CaseSource]
    held_out: HeldOut = field(default_factory=HeldOut)
    """What the models this one comes from are validated on."""
    earlier: list[Mapping[str, Any]] = field(default_factory=list)
    """The cases those were trained on, see `commands.finetune`."""
    said: list[str] = field(default_factory=list)
    """About the split."""
    validation_share: float | None = None

    ancestry: Mapping[str, Any] = field(default_factory=lambda: NO_ANCESTRY)
    """Of the model that the training starts from."""
    pretrained: Mapping[str, Any] = field(default_factory=dict)
    """That model: its folder, the hash of its weights, the classes that are new and those kept; empty without one."""
    inputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Hashes of each case's image and label as the training was started with them, see `hash_inputs`."""

    @property
    def classes(self) -> ClassUnion:
        """Of the labels and the model that the training starts from."""
        new, kept = (tuple(self.pretrained.get(key, ())) for key in ("new", "kept"))
        return ClassUnion(self.plan.class_names, new, kept)

    @property
    def encoding(self) -> LabelEncoding:
        """Of the labels; one for all cases."""
        return next((s.encoding for s in [*self.training, *self.validation] if s.encoding is not None), AS_STORED)

    def write(self, status: str, history: list[dict[str, Any]], found: Mapping[str, Any] | None = None) -> None:
        """found: what else the training came to."""
        write_json(
            self.folder / RUN_FILE,
            {
                "version": __version__,
                "status": status,
                "plan": self.plan.model_dump(mode="json"),
                "settings": self.settings.model_dump(mode="json"),
                "cases": self.cases.model_dump(mode="json"),
                "training": [s.name for s in self.training],
                "validation": [s.name for s in self.validation],
                "validation_share": self.validation_share,
                "label_encoding": ENCODING.dump_python(self.encoding, mode="json"),
                "held_out": sorted(
                    self.held_out.names | {s.name for s in self.validation} | rated_cases(self.validation)
                ),
                "earlier": self.earlier,
                "pretrained": self.pretrained,
                "inputs": self.inputs,
                "history": history,
                **(found or {}),
            },
        )


def validation_count(share: float, patients: int) -> int:
    """How many of the patients are validated on; none of fewer than five, where a validation would say nothing."""
    return round(share * patients) if patients >= 5 else 0


Prepared = tuple[list[PreparedCase], list[PreparedCase]]
"""The cases to learn from, and to validate on."""


def prepare_run(run: Run, progress: Progress) -> Prepared:
    """This rank's cases."""
    ranks = current()
    check_enough(run.training, ranks)
    cache = CaseCache(run.folder)
    return (
        prepare_all(ranks.shard(run.training), run.plan, cache, progress.part(0, 80)),
        with_consensus(prepare_all(ranks.shard(run.validation), run.plan, cache, progress.part(80, 100))),
    )


def train_and_record(
    run: Run,
    prepared: Prepared,
    make: Callable[[list[PreparedCase], list[PreparedCase], Progress], Trainer],
    progress: Progress,
    *,
    resume: bool = False,
    overwrite: bool = False,
    earlier: Mapping[str, LabelState] | None = None,
    extents: bool = True,
) -> dict[str, Any]:
    """Train and record how it ended. make: the trainer, of cases that are ready; earlier: by case name, the labels of
    the run the network comes from; extents: measure the validation cases at the end.

    Until every case is prepared, by every rank, the folder is left as it is."""
    started = time.monotonic()
    ranks = current()
    held_out_for_test = run.cases.held_out_for_test()  # now: at the end the data may have gone
    cases, validation = prepared
    hashes = dict(ranks.all_gather([(c.name, c.inputs) for c in cases]))
    hashes |= dict(ranks.all_gather([(c.name, c.inputs) for c in validation]))
    if resume:
        check_unchanged(run, hashes)
    run = replace(run, inputs=hashes)
    held_out = run.held_out.with_images(ranks.all_gather([(c.name, c.fingerprint) for c in validation]))
    held_out.check_unseen(cases)
    note_other_raters(cases)
    for case in cases:
        resume_labels(case.labels, (earlier or {}).get(case.name))
    ranks.check(progress)
    trainer = make(cases, validation, progress)
    outputs = next(callback for callback in trainer.callbacks if isinstance(callback, RunOutputs))
    ranks.check(progress)
    if resume:
        outputs.resume(trainer)
    elif ranks.is_main:
        claim_run_folder(run.folder, overwrite=overwrite)
    if ranks.is_main:
        save_held_out(run.folder, held_out)
        run.write("training", trainer.history)
    learned = learned_cases(run, cases, validation, ranks)
    agreements: Agreements = {}
    found: dict[str, Any] | None = None
    try:
        with errors_on_all_ranks():
            if not trainer.history:
                ranks.broadcast(None)  # the folder is this training's now
                outputs.checkpoint.begin(cases)
            started = time.monotonic()
            history = trainer.fit()
            took = time.monotonic() - started
            if extents:
                bundle, predictor = run.folder / BUNDLE_FOLDER, trainer.predictor
                own = cases if earlier is None else ()  # a fine-tune inherits what is known of its model
                agreements = save_calibration(bundle, validation, run.plan, predictor, progress, ranks, own)
            if ranks.is_main and trainer.device.type == "cpu":
                prepare_backend(run.folder / BUNDLE_FOLDER, validation, took, progress)
            found = rater_findings(cases, trainer.predictor, progress, "pixel" if run.plan.planar else "mm")
    except EngineError as error:
        if ranks.is_main:
            run.write("cancelled" if error.code == "cancelled" else "failed", trainer.history)
            record_lineage(run, learned, ["The training was stopped before its end."])
        raise
    if ranks.is_main:
        run.write("finished", history, _decided(trainer) | _calibrated(trainer) | (found or {}))
    scores = [row["validation_dice"] for row in history if row.get("validation_dice") is not None]
    result = {
        "model": str(run.folder / BUNDLE_FOLDER),
        "run": str(run.folder),
        "epochs": len(history),
        "seconds": round(time.monotonic() - started, 2),
        "validation_dice": scores[-1] if scores else None,
        "history": history,
        "device": str(trainer.device),
        "held_out_for_test": held_out_for_test,
        "labels": [*run.encoding.sentences, *run.said],
        "too_weak": [weak.as_dict() for weak in weak_classes(agreements, run.plan.class_names)],
        **_learned_otherwise(cases, ranks),
        **_decided(trainer),
        **_calibrated(trainer),
        **(found or {}),
    }
    if ranks.is_main:
        if found:
            rows = without_names(found["raters"])
            write_json(run.folder / BUNDLE_FOLDER / RATERS, {**found, "raters": rows})
        record_lineage(run, learned, figures(result, validated_images(run)))
    return result


def validated_images(run: Run) -> int:
    """How many there are; several raters' labels of one count once."""
    return len({source.of_case or source.name for source in run.validation})


def learned_cases(
    run: Run, cases: Sequence[PreparedCase], validation: Sequence[PreparedCase], ranks: Ranks
) -> list[LearnedCase]:
    """Of all ranks."""
    asked = {source.name for source in run.training}

    def told(case: PreparedCase, use: str) -> LearnedCase:
        sources = case.labels.source_counts()
        reviewed = sources["reviewed"] + sources["corrected"]
        return LearnedCase(case.fingerprint, use, case.inputs.get("label", ""), reviewed, sources["corrected"])

    own = [told(case, "training" if case.name in asked else "replay") for case in cases if not case.of_case]
    for raters in by_case(cases).values():  # one image, and the labels of all
        each = [told(case, "training" if case.name in asked else "replay") for case in raters]
        own.append(replace(each[0], label=" ".join(one.label for one in each)))
    return ranks.all_gather(own) + ranks.all_gather([told(case, "validation") for case in validation])


def record_lineage(run: Run, learned: Sequence[LearnedCase], sentences: Sequence[str]) -> None:
    """In the bundle, where there is one."""
    bundle = run.folder / BUNDLE_FOLDER
    if bundle.is_dir():
        write_lineage(bundle, lineage_of(learned, run.ancestry), run.plan, sentences)


def describe_accepted(run: Run, result: Mapping[str, Any]) -> None:
    """Write the model card of a fine-tune anew, with what is known once it was compared with the model before it."""
    bundle = run.folder / BUNDLE_FOLDER
    write_lineage(bundle, read_lineage(bundle), run.plan, figures(result, validated_images(run)))


def figures(result: Mapping[str, Any], validation: int) -> list[str]:
    """For the model card: what the result of a training says of its model."""
    said, score = [], result["validation_dice"]
    if score is not None:
        said.append(
            f"Mean Dice {score:.3f} with the given labels of {validation} validation case"
            f"{'' if validation == 1 else 's'}, which it did not learn from."
        )
    else:
        said.append("No validation case was among those it was given, so that no Dice is known.")
    said += [weak["sentence"] for weak in result["too_weak"]]
    said += rater_sentences(result)
    if result.get("confirmed_voxels"):
        said.append(f"It follows {followed(result['confirmed_voxels'], result['confirmed_violated'])}.")
    if "accepted" in result:
        objections = " ".join(result["objections"])
        said.append(
            "It was accepted in place of the model it was fine-tuned from."
            if result["accepted"]
            else f"It was not accepted in place of the model it was fine-tuned from: {objections}"
        )
    return said


def _decided(trainer: Trainer) -> dict[str, Any]:
    """What was decided on unseen cases, in figures and in words; nothing where nothing was."""
    decision = next((c.decision for c in trainer.callbacks if isinstance(c, CrossFitting | EarlyStopping)), None)
    return {} if decision is None else {"decision": {**decision.to_json(), "sentences": decision.sentences()}}


def _calibrated(trainer: Trainer) -> dict[str, Any]:
    """By how much the network's logits were shifted; nothing where they were not."""
    found = next((c.found for c in trainer.callbacks if isinstance(c, VolumeCalibration)), None)
    return {} if found is None else {"volume_calibration": {**asdict(found), "sentence": str(found)}}


def _learned_otherwise(cases: list[PreparedCase], ranks: Ranks) -> dict[str, int]:
    """In how many cases nothing is labelled, outlines were refined, and objects were added."""
    own = []
    for case in cases:
        sources = case.labels.source_counts()
        empty = not set(case.labels.class_counts(case.labels.initial)) - {0} and not case.labels.drawn_by_others
        own.append((empty, sources["image_evidence"] > 0, sources["missed_objects"] > 0))
    counts = (sum(each) for each in zip(*ranks.all_gather(own), strict=True))
    return dict(zip(("empty_labels", "refined", "completed"), counts, strict=True))


def check_unchanged(run: Run, hashes: Mapping[str, Mapping[str, str]]) -> None:
    """Raises EngineError("data-changed") where images or labels are not those that the run was started with. A run of a
    version that kept no hashes is not held to them."""
    changed = {
        part: [name for name, now in hashes.items() if run.inputs.get(name, now).get(part) != now.get(part)]
        for part in ("image", "label")
    }
    words = [f"the {part} of {enumerated(names)} changed" for part, names in changed.items() if names]
    if words:
        raise data_changed(run.folder.name, words)


def data_changed(run: str, words: Sequence[str]) -> EngineError:
    """words: what changed, each as a part of the sentence."""
    return EngineError(
        "data-changed",
        f"Since the training in {run} was started, {' and '.join(words)}; "
        "put back what was there to resume it, or start a new training in another folder.",
    )


def resume_labels(labels: LabelState, earlier: LabelState | None) -> None:
    """Start from what an earlier run learned about this very label; one that was confirmed or corrected has nothing
    to be held against it."""
    if earlier is not None:
        labels.resume(earlier)
    labels.clear_reviewed()
