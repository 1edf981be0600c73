"""Messages about a trained model; one that contradicts what a reader confirmed begins with ATTENTION."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _


def trained(answer: dict[str, Any]) -> str:
    """ "Trained 12 epochs in 60 s; validation Dice 0.87." """
    dice = answer.get("validation_dice")
    how = _("validation Dice {dice:.2f}").format(dice=dice) if dice is not None else _("too few cases to validate")
    said = _("Trained {epochs} epochs in {seconds:.0f} s; {how}.").format(
        epochs=answer["epochs"], seconds=answer["seconds"], how=how
    )
    return " ".join([said, *_stoppedEarly(answer), *_calibrated(answer), *_learnedOtherwise(answer), *tooWeak(answer)])


def _stoppedEarly(answer: dict[str, Any]) -> list[str]:
    """Where the training was ended on labels that it did not learn from."""
    decision = answer.get("decision")
    if not decision or decision["epochs"] >= decision["asked"]:
        return []
    sentence = _(
        "It ended after {epochs} of {asked} epochs: networks that learned longer agreed less with labels that they had "
        "not learned from."
    )
    return [sentence.format(epochs=decision["epochs"], asked=decision["asked"])]


def _calibrated(answer: dict[str, Any]) -> list[str]:
    """Whether what it draws was made smaller."""
    found = answer.get("volume_calibration")
    if not found:
        return []
    sentence = _("It drew {ratio:.2f} times as large as the labels are, and was calibrated to draw less.")
    return [sentence.format(ratio=found["ratio"])]


def tooWeak(answer: dict[str, Any]) -> list[str]:
    """Which labels the model is too weak to judge, in the engine's words."""
    return [weak["sentence"] for weak in answer.get("too_weak", [])]


def _learnedOtherwise(answer: dict[str, Any]) -> list[str]:
    """Where the model did not simply learn the labels as they are drawn."""
    sentences = {
        "empty_labels": _(
            "{cases} label(s) are empty and were taken for images where there is nothing to be labelled."
        ),
        "refined": _(
            "In {cases} case(s) image and model agreed against the label, and the outline was refined for learning; "
            "your segmentation is unchanged."
        ),
        "completed": _(
            "In {cases} case(s) the model learned an object that the label has none of; your segmentation is "
            "unchanged, and the region list says where something may have been overlooked."
        ),
    }
    return [sentence.format(cases=answer[key]) for key, sentence in sentences.items() if answer.get(key)]


def listNotes(answer: dict[str, Any]) -> list[str]:
    """About a list of regions as a whole, in the engine's words."""
    expected = answer.get("expected_real", {}).get("sentence")
    return [*tooWeak(answer), *([expected] if expected else [])]


def confirmed(violated: int, total: int) -> str:
    """How far confirmed voxels are followed; "" where none are known."""
    if not total:
        return ""
    if not violated:
        return _("All {total} confirmed voxels are followed.").format(total=total)
    return _("ATTENTION: {violated} of {total} confirmed voxels are contradicted by the new model.").format(
        violated=violated, total=total
    )


def bias(answer: dict[str, Any]) -> str:
    """The systematic bias that many corrections have shown; "" where they have not."""
    found = answer.get("bias")
    return _("{found}; undone where nobody has corrected.").format(found=found) if found else ""


def isAccepted(answer: dict[str, Any]) -> bool:
    """Whether the model may take the place of the earlier one without anybody being asked."""
    return bool(answer.get("accepted", True))


def assessment(answer: dict[str, Any]) -> str:
    """The assessment of a fine-tuned model, in sentences; "" where nothing was confirmed."""
    lines = [bias(answer), confirmed(answer.get("confirmed_violated") or 0, answer.get("confirmed_voxels") or 0)]
    if not isAccepted(answer):
        lines = [
            _("ATTENTION: the new model is NOT in use yet, because it may be worse."),
            *answer.get("objections", []),
            *lines,
            _("Compare before and after; then keep the new model, or go back to the previous one."),
        ]
    return "\n".join(line for line in lines if line)
