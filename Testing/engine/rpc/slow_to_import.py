"""A job in a module that takes its time to be imported, as those with torch do."""

from __future__ import annotations

import threading
import time
from typing import Any

from DALESegmentLib.engine.core.progress import Progress

time.sleep(2)


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    return {"thread": threading.get_ident()}


WHOLE = True
