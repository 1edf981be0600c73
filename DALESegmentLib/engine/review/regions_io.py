"""The review list as a file: CSV for a spreadsheet, JSON for programs. Both are described in
docs/formats.md.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..core.errors import EngineError
from ..core.files import replacing
from ..dale.issues import Region
from ..dale.rows import reason

FORMAT = "dalesegment-regions"
VERSION = 1
COLUMNS = (
    *(
        "rank",
        "case",
        "region_id",
        "label_value",
        "class_name",
        "suspicion",
        "suggested_value",
        "voxels",
        "size_mm3",
    ),
    *("mean_confidence", "lowest_confidence", "expected_wrong"),
    *("centre_r_mm", "centre_a_mm", "centre_s_mm", "centre_i", "centre_j", "centre_k"),
    *("first_i", "first_j", "first_k", "last_i", "last_j", "last_k"),
    *("label_source", "learned_value", "learned_class", "learned_voxels"),
    *("recurs_in_cases", "note", "real_probability"),
    *("pieces", "region_ids", "gathered", "reason"),
)


def write_regions_csv(regions: Iterable[Region], path: str | Path) -> None:
    """One row an error, best rank first; a 2D region leaves the columns of k empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(region_row(region) for region in regions)
    with replacing(Path(path)) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="\n")


def write_regions_json(regions: Iterable[Region], path: str | Path, **about: Any) -> None:
    """Everything a region knows, under a format name and a version. about: what is known of the list as a whole, plain
    JSON values."""
    data = {"format": FORMAT, "version": VERSION, **about, "regions": [region.as_dict() for region in regions]}
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def read_regions_json(path: str | Path) -> list[Region]:
    """Raises EngineError("bad-regions-file") where the file is missing, damaged or something else."""
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT or data["version"] != VERSION:
            raise ValueError(f"format {data['format']} {data['version']}")
        return [Region.from_dict(entry) for entry in data["regions"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as reason:
        raise EngineError(
            "bad-regions-file",
            f"“{path.name}” is not a list of doubtful regions this version can read; run the review again.",
        ) from reason


def region_row(region: Region) -> dict[str, Any]:
    """The region as the texts and numbers of COLUMNS."""
    row = {key: value for key, value in region.as_dict().items() if key in COLUMNS}
    row |= {"pieces": len(region.leaves), "gathered": int(region.gathered), "reason": reason(region)}
    row["region_ids"] = " ".join(str(piece.region_id) for piece in region.leaves)
    row |= zip(("centre_r_mm", "centre_a_mm", "centre_s_mm"), (f"{x:.3f}" for x in region.centre_ras), strict=True)
    for name in ("centre", "first", "last"):
        row |= {f"{name}_{axis}": n for axis, n in zip("ijk", getattr(region, f"{name}_voxel"), strict=False)}
    for key in ("size_mm3", "expected_wrong"):
        row[key] = f"{row[key]:.2f}"
    for key in ("mean_confidence", "lowest_confidence", "real_probability"):
        row[key] = "" if row[key] is None else f"{row[key]:.4f}"
    return row
