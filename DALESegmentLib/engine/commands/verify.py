"""Check that every review log below a folder is as it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.errors import EngineError
from ..core.files import read_json
from ..core.progress import Progress
from ..review.log_lines import Count
from ..review.verify import LIMITS, verify_folder
from .parameters import Parameters


class VerifyParameters(Parameters):
    folder: Path
    against: Path | None = None
    """What `verify` or `report` said earlier, as JSON."""


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = VerifyParameters.model_validate(parameters)
    earlier = {} if asked.against is None else earlier_counts(asked.against)
    found = verify_folder(asked.folder, earlier)
    return {"logs": [log.as_dict() for log in found], "bad": sum(not log.holds for log in found), "limits": LIMITS}


def earlier_counts(path: Path) -> dict[str, Count]:
    """By file. Raises EngineError("unreadable-file", "bad-json")."""
    try:
        logs = read_json(path)["logs"]
        found = {str(log["file"]): Count(int(log["lines"]), str(log["checksum"])) for log in logs}
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in found):
            raise ValueError("a place elsewhere")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise EngineError(
            "bad-json", f"{path.name} is not what verify --json or report wrote; give one of these to --against."
        ) from error
    return found
