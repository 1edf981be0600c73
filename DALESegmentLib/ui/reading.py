"""The reading of a list by the reader at this computer: their log on disk, their sign-off, and whether the list is
hidden from them because another reader decided in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from ..engine.review.readers import Reader, SignOff, same_reader
from ..mrml import decisions, regions
from ..mrml.scene import FINGERPRINT, referencedNodes
from .reader import currentReader, requireSigned, savedReader
from .review_log_writer import OtherReaders, ReviewLogWriter, reviewLogFolder

CASE = "DALESegment.Case"
"""What the case of a list is called in the log."""


class Reading:
    """Of the list that the parameter node `state` holds."""

    def __init__(self, state: Any) -> None:
        self.state = state
        self.reason = ""  # in the reader's words, of the next decision
        self._saved = savedReader()
        self._writer: ReviewLogWriter | None = None

    def renewReader(self) -> None:
        """Other settings were saved."""
        self._saved = savedReader()

    def close(self) -> None:
        """The scene goes, or another review begins: let the log on disk go."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    @property
    def reader(self) -> Reader:
        """Who decides."""
        return currentReader(self.state, self._saved)

    @property
    def folder(self) -> Path:
        """Where the records of all images lie."""
        return reviewLogFolder(self.state)

    @property
    def case(self) -> str:
        """The case of the list as the log calls it; "" without a list."""
        table = self.state.regionTable
        if table is None:
            return ""
        return table.GetAttribute(CASE) or next((region.case for region in regions.rowsFromTable(table)), "")

    def logWriter(self) -> ReviewLogWriter | None:
        """This reader's log on disk of the list's image; None where there is no list, or one of an earlier version."""
        image = self.state.regionTable.GetAttribute(FINGERPRINT) if self.state.regionTable is not None else None
        if not image:
            return None
        reader = self.reader
        if self._writer is None or not self._writer.isFor(self.folder, image, reader):
            self.close()
            self._writer = ReviewLogWriter(self.folder, image, reader)
        return self._writer

    def others(self) -> OtherReaders:
        """Who else decided about the image of the list."""
        writer = self.logWriter()
        return OtherReaders() if writer is None else writer.others()

    def signed(self) -> SignOff | None:
        """What locks the case of the list for this reader."""
        writer = self.logWriter()
        return None if writer is None else writer.signed(self.case)

    @property
    def hasSignedOff(self) -> bool:
        """Whether this reader did, and so may see what the others decided."""
        writer = self.logWriter()
        return writer is not None and writer.ownSignOff(self.case) is not None

    def hiddenReader(self) -> str:
        """The other reader who decided in the list of the chosen nodes, "" where there is none or this one has signed
        off. Nothing of the list is shown then."""
        table = self.state.regionTable
        if table is None or not self._isForChosen(table):
            return ""
        names, name = decisions.readersOf(table), self.reader.name
        if not names or any(same_reader(each, name) for each in names):
            return ""
        return "" if self.hasSignedOff else names[0]

    def checkOpen(self) -> None:
        """Raises EngineError "other-reader" where the list is another one's, "case-signed-off" where it is locked."""
        other = self.hiddenReader()
        if other:
            text = _("The list holds what {name} decided; press Read blind to decide on your own.")
            raise EngineError("other-reader", text.format(name=other))
        signed = self.signed()
        if signed is not None:
            text = _("{case} was signed off by {name} and is locked; open it again under Readers (Shift+R) first.")
            raise EngineError("case-signed-off", text.format(case=signed.case, name=signed.annotator))

    def signOff(self, score: int, reason: str) -> None:
        """Give the case its verdict, which locks it. Raises EngineError "not-signed", "no-review", "reason-missing",
        and as `checkOpen` and `ReviewLog.sign_off`."""
        self.checkOpen()
        reader, writer = requireSigned(self.reader), self._required()
        before = writer.lastSignOff(self.case)
        if not reason and writer.changedLabel(self.case):
            raise EngineError("reason-missing", _("The label was changed; say why under Reason, then sign off."))
        if not reason and before is not None and before.score != score:
            text = _("The verdict was {before} before; say under Reason why it is {score} now, then sign off.")
            raise EngineError("reason-missing", text.format(before=before.score, score=score))
        writer.signOff(self.case, score, reader, reason)

    def reopen(self, reason: str) -> None:
        """Unlock the case. Raises EngineError "not-signed", "no-review", "not-signed-off", "reason-missing", and as
        `ReviewLog.reopen`."""
        reader, writer = requireSigned(self.reader), self._required()
        signed = self.signed()
        if signed is None:
            raise EngineError("not-signed-off", _("The case is not signed off; there is nothing to open again."))
        if not same_reader(signed.annotator, reader.name):
            text = _("{name} locked the case for all readers; ask them to open it again.")
            raise EngineError("other-reader", text.format(name=signed.annotator))
        if not reason:
            raise EngineError("reason-missing", _("Say under Reason why the case is opened again, then open it."))
        writer.reopen(self.case, reader, reason)

    def _required(self) -> ReviewLogWriter:
        writer = self.logWriter()
        if writer is None:
            raise EngineError("no-review", _("There is no list yet; list the doubtful regions first."))
        return writer

    def _isForChosen(self, table: Any) -> bool:
        chosen = (self.state.image, self.state.segmentation)
        pairs = zip(referencedNodes(table), chosen, strict=True)
        return all(of is not None and now is not None and of.GetID() == now.GetID() for of, now in pairs)
