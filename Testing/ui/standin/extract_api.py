"""Write qt_api_subset.json: the tables of the few classes in use, out of a dump of the whole application.

    python Testing/ui/standin/extract_api.py DUMP.json

The dump has, for each class, "props" [[name, type, writable]], "signals" and "slots" as Qt signatures.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

CLASSES = (
    "ctkCollapsibleButton",
    "ctkPathLineEdit",
    "ctkSliderWidget",
    "qMRMLLayoutManager",
    "qMRMLNodeComboBox",
    "qMRMLSegmentEditorWidget",
    "qMRMLSliceView",
    "qMRMLSliceWidget",
    "qMRMLSortFilterProxyModel",
    "qMRMLWidget",
)


def extract(dump: dict) -> dict:
    return {
        name: {
            "props": {prop: [kind, writable] for prop, kind, writable in dump[name]["props"]},
            "signals": sorted(dump[name]["signals"]),
            "slots": sorted(s for s in dump[name]["slots"] if not s.startswith("_q_")),
        }
        for name in CLASSES
    }


if __name__ == "__main__":
    subset = extract(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    target = Path(__file__).parents[1] / "qt_api_subset.json"
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in subset.items())
    target.write_text("{\n" + rows + "\n}\n", encoding="utf-8")
