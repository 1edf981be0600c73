"""How far labels can be trusted: find label errors in the arrays of any segmentation model.

`label_quality` and `find_label_issues` take labels and softmax probabilities; `LabelErrorAUROC` and `CalibrationError`
measure them against a reference. A name is imported when it is asked for; importing this package needs nothing more.
"""

from typing import TYPE_CHECKING, Any

from DALESegmentLib.engine import __version__, dale

if TYPE_CHECKING:
    from DALESegmentLib.engine.dale import (
        AnnotatorBiasConfig,
        CalibrationError,
        DaleConfig,
        ImageEvidenceConfig,
        LabelDisagreement,
        LabelErrorAUROC,
        LabelIssue,
        MissedObjectsConfig,
        Recalibration,
        find_label_issues,
        label_quality,
    )

__all__ = [
    "AnnotatorBiasConfig",
    "CalibrationError",
    "DaleConfig",
    "ImageEvidenceConfig",
    "LabelDisagreement",
    "LabelErrorAUROC",
    "LabelIssue",
    "MissedObjectsConfig",
    "Recalibration",
    "__version__",
    "find_label_issues",
    "label_quality",
]


def __getattr__(name: str) -> Any:
    if name not in dale.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(dale, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
