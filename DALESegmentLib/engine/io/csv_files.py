"""Reading a CSV as people have it: with commas, semicolons or tabs, in UTF-8 or in the encoding of Windows."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from .checks import check_exists

LARGEST = 64 << 20
"""Bytes; larger files are refused before they are read."""


def read_csv(path: Path) -> list[dict[str, Any]]:
    """The rows by column name; a row that is too short has None, the surplus of one that is too long lies under the key
    None, as in `csv.DictReader`.

    Raises EngineError("missing-file"); OSError, ValueError or csv.Error for what is no such table.
    """
    check_exists(path)
    if path.stat().st_size > LARGEST:
        raise ValueError("too large")
    return parse_csv(decode_text(path.read_bytes()))


def parse_csv(text: str) -> list[dict[str, Any]]:
    """As `read_csv`; the separator is the most frequent of comma, semicolon and tab in the first line."""
    if "\0" in text:
        raise ValueError("no text")
    first_line = text.partition("\n")[0]
    separator = max(",;\t", key=first_line.count)
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator))


def decode_text(raw: bytes) -> str:
    """UTF-8 with or without its mark, else Windows' encoding of western Europe."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")
