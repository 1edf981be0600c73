"""How far labels can be trusted: find label errors in arrays of any segmentation model, and train despite them.

`label_quality` and `find_label_issues` take labels and softmax probabilities; `LabelErrorAUROC` and `CalibrationError`
measure them against a reference. `LabelMemory`, `DaleLoss` and the correctors are for a training loop. A name is
imported when it is asked for; importing this package needs nothing more.
"""

from typing import TYPE_CHECKING, Any

from DALESegmentLib.engine import __version__, dale

if TYPE_CHECKING:
    from DALESegmentLib.engine.dale import (
        AnnotatorBias,
        AnnotatorBiasConfig,
        CalibrationError,
        CrossFittingConfig,
        DaleConfig,
        DaleLoss,
        ImageEvidence,
        ImageEvidenceConfig,
        LabelCorrector,
        LabelDisagreement,
        LabelErrorAUROC,
        LabelIssue,
        LabelMemory,
        LabelQualityConfig,
        LabelState,
        MissedObjects,
        MissedObjectsConfig,
        PatchIndex,
        PatchLabels,
        Recalibration,
        ReviewListConfig,
        correct_bias,
        find_label_issues,
        label_correctors,
        label_quality,
    )

__all__ = [
    "AnnotatorBias",
    "AnnotatorBiasConfig",
    "CalibrationError",
    "CrossFittingConfig",
    "DaleConfig",
    "DaleLoss",
    "ImageEvidence",
    "ImageEvidenceConfig",
    "LabelCorrector",
    "LabelDisagreement",
    "LabelErrorAUROC",
    "LabelIssue",
    "LabelMemory",
    "LabelQualityConfig",
    "LabelState",
    "MissedObjects",
    "MissedObjectsConfig",
    "PatchIndex",
    "PatchLabels",
    "Recalibration",
    "ReviewListConfig",
    "__version__",
    "correct_bias",
    "find_label_issues",
    "label_correctors",
    "label_quality",
]


def __getattr__(name: str) -> Any:
    if name not in dale.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(dale, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
