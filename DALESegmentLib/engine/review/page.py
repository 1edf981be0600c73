"""review.html: the top of a review list for who has no viewer, with a picture of each region. It holds everything it
shows, runs no script and asks no server; names are escaped wherever they stand."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..core.errors import checkpoint
from ..core.files import remove, replacing
from ..dale.issues import Region
from ..dale.reasons import reason
from ..dale.review_rows import is_below_line
from .pictures import GIVEN, SUGGESTED, RegionView, RegionViews, draw

PAGE, OVERLAYS = "review.html", "overlays"
MOST_ROWS = 50
"""That the page shows; the list has all."""
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1060px; margin: 24px auto; padding: 0 16px; }
h1 { font-size: 22px; } h2 { font-size: 16px; margin: 0 0 4px; }
.row { display: flex; gap: 20px; border-top: 1px solid #bbb; padding: 14px 0; break-inside: avoid; flex-wrap: wrap; }
.row img { max-width: 100%; height: auto; } .words { flex: 1; min-width: 240px; }
.below h2 { color: #666; } .key { display: inline-block; width: 26px; height: 4px; vertical-align: middle; }
th { font-weight: normal; color: #666; text-align: left; vertical-align: top; padding: 0 12px 1px 0; }
a { color: #00569e; } @media print { body { margin: 0; } a { color: inherit; } }
"""


def write_page(
    rows: Sequence[Region],
    views: RegionViews,
    out: Path,
    files: Mapping[str, Mapping[str, str]],
    sentences: Iterable[str],
) -> str:
    """Write review.html and, for each of its rows, <case>/overlays/rank-<n>.png; those of an earlier list go.

    files: of each case, {what it is: path}, to be linked; sentences: what is said of the list as a whole. Returns
    the path of the page. Raises EngineError("cannot-write" or "disk-full").
    """
    for case in files:
        for earlier in sorted((out / case / OVERLAYS).glob("rank-*.png")):
            remove(earlier)
    shown, parts = rows[:MOST_ROWS], []
    for row in shown:
        checkpoint()
        view = views.of(row)
        picture = None if view is None else _png(view)
        if picture is not None:
            with replacing(out / row.case / OVERLAYS / f"rank-{row.rank:03}.png") as temporary:
                temporary.write_bytes(picture)
        unit = "mm" if view is None else view.unit
        parts.append(_row(row, picture, unit, out, files.get(row.case, {})))
    said = [*sentences, _count(len(shown), len(rows))]
    page = _page("".join(f"<p>{escape(sentence)}</p>\n" for sentence in said if sentence), "".join(parts))
    path = out / PAGE
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return str(path)


def linked_files(item: dict[str, Any]) -> dict[str, str]:
    """What the page links to of a case as `review` tells it."""
    words = {"confidence": "confidence", "regions_map": "map of the regions", "report": "DICOM report"}
    words |= {"label_source": "what was learned"}
    return {word: item[key] for key, word in words.items() if item.get(key)}


def _count(shown: int, rows: int) -> str:
    if not rows:
        return "No doubtful region was found."
    if shown < rows:
        return f"The first {shown} of {rows} rows are shown; regions.csv beside this page has all of them."
    return f"All {rows} rows are shown." if rows > 1 else ""


def _png(view: RegionView) -> bytes:
    data = io.BytesIO()
    draw(view).save(data, "PNG", optimize=True)
    return data.getvalue()


def _row(row: Region, picture: bytes | None, unit: str, out: Path, files: Mapping[str, str]) -> str:
    title = f"{row.rank}. {row.class_name}: {row.suspicion}"
    image = ""
    if picture is not None:
        source = base64.b64encode(picture).decode("ascii")
        words = f"Rank {row.rank}, case {row.case}: {row.class_name} {row.suspicion}"
        image = f'<img src="data:image/png;base64,{source}" alt="{escape(words)}">\n'
    volume = f"{row.size_mm3:.4g} mm³, " if unit == "mm" else ""
    place = ", ".join(f"{x:.1f}" for x in row.centre_ras)
    facts = {
        "Case": escape(row.case),
        "Size": escape(f"{volume}{row.voxels} {'voxels' if unit == 'mm' else 'pixels'}"),
        "Mean label confidence": f"{row.mean_confidence:.2f}",
        "Where (R, A, S)" if unit == "mm" else "Where (column, row)": place
        if unit == "mm"
        else ", ".join(str(n) for n in row.centre_voxel),
        "Pieces": str(len(row.pieces)) if row.pieces else "",
        "Files": ", ".join(f'<a href="{_link(path, out)}">{escape(name)}</a>' for name, path in files.items()),
    }
    listed = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in facts.items() if value)
    said = [row.note, reason(row), "Listed for completeness: probably no label error." if is_below_line(row) else ""]
    words = "".join(f"<p>{escape(sentence)}</p>" for sentence in said if sentence)
    kind = "row below" if is_below_line(row) else "row"
    return (
        f'<section class="{kind}">\n{image}<div class="words"><h2>{escape(title)}</h2>\n{words}\n'
        f"<table>{listed}</table></div>\n</section>\n"
    )


def _link(path: str, out: Path) -> str:
    """Relative to the page, for an attribute."""
    try:
        return escape(quote(Path(path).relative_to(out).as_posix()))
    except ValueError:
        return escape(Path(path).as_uri())


def _page(about: str, rows: str) -> str:
    keys = "".join(
        f'<span class="key" style="background: rgb{colour}"></span> {words} &nbsp; '
        for words, colour in (("label as given", GIVEN), ("suggested outline, where it is another one", SUGGESTED))
    )
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>Review list</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>Review list</h1>\n{about}"
        f"<p>{keys}</p>\n<p>Left: the image. Right: label confidence, coloured where it is below 0.9; magenta is most "
        "doubtful. R, L, A, P, S, I: right, left, front, back, head and feet of the patient. Made by a model: it shows "
        f"where labels may be wrong, and diagnoses nothing.</p>\n{rows}</body>\n</html>\n"
    )
