"""DALE: disagreement, partition, label confidence, alternation, alignment. It works on arrays and tensors.

The names below are public, as the package `dalesegment`. Each is imported when it is asked for, so that Slicer can use
this package's modules without torch, and programs without the packages that only some of the names need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..core.errors import needed_by

if TYPE_CHECKING:
    from .config import (
        AnnotatorBiasConfig,
        CrossFittingConfig,
        DaleConfig,
        ImageEvidenceConfig,
        LabelQualityConfig,
        MissedObjectsConfig,
        ReviewListConfig,
    )
    from .correctors.annotator_bias import AnnotatorBias, correct_bias
    from .correctors.base import LabelCorrector
    from .correctors.image_evidence import ImageEvidence
    from .correctors.missed_objects import MissedObjects
    from .issues import LabelIssue, find_label_issues
    from .label_memory import LabelMemory, label_correctors
    from .label_state import LabelDisagreement, LabelState
    from .loss import DaleLoss
    from .metrics import CalibrationError, LabelErrorAUROC
    from .patches import PatchIndex, PatchLabels
    from .quality import Recalibration, label_quality

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
    "correct_bias",
    "find_label_issues",
    "label_correctors",
    "label_quality",
]

_MODULES = {
    "config": (
        "AnnotatorBiasConfig",
        "CrossFittingConfig",
        "DaleConfig",
        "ImageEvidenceConfig",
        "LabelQualityConfig",
        "MissedObjectsConfig",
        "ReviewListConfig",
    ),
    "correctors.annotator_bias": ("AnnotatorBias", "correct_bias"),
    "correctors.base": ("LabelCorrector",),
    "correctors.image_evidence": ("ImageEvidence",),
    "correctors.missed_objects": ("MissedObjects",),
    "issues": ("LabelIssue", "find_label_issues"),
    "label_memory": ("LabelMemory", "label_correctors"),
    "label_state": ("LabelDisagreement", "LabelState"),
    "loss": ("DaleLoss",),
    "metrics": ("CalibrationError", "LabelErrorAUROC"),
    "patches": ("PatchIndex", "PatchLabels"),
    "quality": ("Recalibration", "label_quality"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needed_by(name):
        value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
