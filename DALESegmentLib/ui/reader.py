"""Who reads at this computer: name, role and version of the reading instruction, asked for once and kept in Slicer's
settings."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from ..engine.review.readers import Reader, reader_key

SETTINGS = "DALESegment/Reader"


def savedReader() -> Reader:
    """As it was given last, at any time; without a name where it never was."""
    settings = qt.QSettings()
    return Reader(*(str(settings.value(f"{SETTINGS}/{part}") or "") for part in ("Name", "Role", "Instruction")))


def saveReader(reader: Reader) -> None:
    """Texts are trimmed, and spaces in a row are one."""
    settings = qt.QSettings()
    for part, text in (("Name", reader.name), ("Role", reader.role), ("Instruction", reader.instruction)):
        settings.setValue(f"{SETTINGS}/{part}", " ".join(text.split()))


def currentReader(state: Any, saved: Reader | None = None) -> Reader:
    """The one whose name stands in the panel; role and instruction as they were saved for that name. saved: what is in
    the settings, where that is known already."""
    name, saved = " ".join(state.reviewer.split()), saved or savedReader()
    if saved.name and reader_key(saved.name) != reader_key(name):
        return Reader(name)
    return Reader(name, saved.role, saved.instruction)


def requireSigned(reader: Reader) -> Reader:
    """Raises EngineError "not-signed" where name, role or version of the instruction is not known."""
    if reader.name and reader.role and reader.instruction:
        return reader
    raise EngineError(
        "not-signed",
        _("Say under Readers who reads: name, role, and version of the reading instruction, for instance 1.0."),
    )
