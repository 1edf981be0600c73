"""What Slicer's start costs with this module in its list, as a process of its own: prints it as JSON.

    python Testing/ui/start_up.py

What Slicer has imported by itself (qt, vtk, numpy, its scene classes) is imported before the clock runs. In the time
are the import of DALESegment.py, its entry in the list of modules, and what it does when Slicer has started.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import types
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def start_up() -> dict[str, object]:
    """Milliseconds, by the clock and of the processor, and the names of the modules that were imported for it."""
    import standin

    standin.install(Path(tempfile.mkdtemp()))
    import slicer

    sources = []
    sample_data = types.ModuleType("SampleData")
    sample_data.SampleDataLogic = types.SimpleNamespace(
        registerCustomSampleDataSource=lambda **source: sources.append(source)
    )
    sys.modules["SampleData"] = sample_data
    before, clock, computed = set(sys.modules), time.perf_counter(), time.process_time()
    import DALESegment

    DALESegment.DALESegment(types.SimpleNamespace(path=DALESegment.__file__))
    slicer.app.start()
    waited, computed = time.perf_counter() - clock, time.process_time() - computed
    assert sources, "the practice case was not offered"
    return {
        "waited_ms": round(1000 * waited, 1),
        "computed_ms": round(1000 * computed, 1),
        "imported": sorted(set(sys.modules) - before),
    }


if __name__ == "__main__":
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "DALESegment")]
    print(json.dumps(start_up()))
