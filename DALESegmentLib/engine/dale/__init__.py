"""DALE: disagreement, partition, label confidence, alternation, alignment. It works on arrays and tensors.

The names below are public, as the package `dalesegment`. Each is imported when it is asked for, so that Slicer can use
this package's modules without torch, and programs without the packages that only some of the names need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..core.errors import needed_by

if TYPE_CHECKING:
    from .config import AnnotatorBiasConfig, DaleConfig, ImageEvidenceConfig, MissedObjectsConfig
    from .issues import LabelIssue, find_label_issues
    from .label_state import LabelDisagreement
    from .metrics import CalibrationError, LabelErrorAUROC
    from .quality import Recalibration, label_quality

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
    "find_label_issues",
    "label_quality",
]

_MODULES = {
    "config": ("AnnotatorBiasConfig", "DaleConfig", "ImageEvidenceConfig", "MissedObjectsConfig"),
    "issues": ("LabelIssue", "find_label_issues"),
    "label_state": ("LabelDisagreement",),
    "metrics": ("CalibrationError", "LabelErrorAUROC"),
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
