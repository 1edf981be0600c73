"""What label values are called, from the `dataset.json` that lies with nnU-Net and decathlon data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EngineError
from .checks import label_values


def read_json(path: Path) -> Any:
    """Raises EngineError("bad-json")."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise EngineError("bad-json", f"{path.name} is not a readable JSON file; mend it or remove it.") from error


def names_for(label: np.ndarray, label_path: Path) -> dict[int, str]:
    """{value: name} of every value in the label (not 0), "class <value>" where no name is known."""
    known = _names_beside(label_path)
    return {v: known.get(v, f"class {v}") for v in label_values(label) if v}


def _names_beside(label_path: Path) -> dict[int, str]:
    """Names in the dataset.json of the label's folder or the folder above."""
    for folder in (label_path.parent, label_path.parent.parent):
        description = folder / "dataset.json"
        if description.is_file():
            data = read_json(description)
            return names_in(data.get("labels")) if isinstance(data, dict) else {}
    return {}


def names_in(labels: Any) -> dict[int, str]:
    """{value: name} from {"1": "tumour"} or {"tumour": 1}; regions made of several values are passed over."""
    names: dict[int, str] = {}
    for key, value in (labels if isinstance(labels, dict) else {}).items():
        if isinstance(value, int):
            names[value] = key
        elif isinstance(value, str) and key.isdigit():
            names[int(key)] = value
    names.pop(0, None)
    return names
