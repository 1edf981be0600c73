"""Readers: who reads, the verdict and the sign-off of the case, other readers, and the record of it all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from ..engine.review.readers import SCORES, Reader, SignOff, reader_key
from ..mrml.regions import OPEN, PARTLY, rowState
from .own_reading import OwnReading
from .reader import savedReader, saveReader
from .records import Records
from .review_keys import ReviewKeys, signOffLegend
from .signals import connect
from .workflow import Workflow

WORDS = {
    1: _("unusable"),
    2: _("major changes needed"),
    3: _("minor changes needed"),
    4: _("acceptable"),
    5: _("very good"),
}


class ReadersPanel:
    def __init__(self, ui: Any, workflow: Workflow) -> None:
        self._ui, self._workflow = ui, workflow
        self.records = Records(workflow)
        self.own = OwnReading(workflow)
        self._entered = False
        self._hidden = ""  # ID of a segmentation that was taken out of sight
        self._shownTo = ("", "")  # reader and list
        self._given = False  # whether a reason for the next decision stands there
        self._said: list[str] = []  # what is wrong with other readers' logs
        self._pairs: list[tuple[str, str]] = []
        self.onSigned: Callable[[SignOff | None], None] = lambda signed: None  # a case was signed off, or opened again
        ui.verdictComboBox.addItem(_("none yet"))
        for score, words in WORDS.items():
            ui.verdictComboBox.addItem(f"{score} {words}")
        ui.recordScopeComboBox.addItem(_("This case"))
        ui.recordScopeComboBox.addItem(_("All cases"))
        saved = savedReader()
        ui.roleEdit.text, ui.instructionEdit.text = saved.role, saved.instruction
        for sender, signal, slot in (
            (ui.reviewerEdit, "editingFinished()", self._keepReader),
            (ui.roleEdit, "editingFinished()", self._keepReader),
            (ui.instructionEdit, "editingFinished()", self._keepReader),
            (ui.reasonEdit, "textChanged(QString)", self._keepReason),
            (ui.blindButton, "clicked()", self.own.begin),
            (ui.signOffButton, "clicked()", self._signOff),
            (ui.reopenButton, "clicked()", self._reopen),
            (ui.agreementButton, "clicked()", self._compare),
            (ui.adjudicateButton, "clicked()", self._adjudicate),
            (ui.reportButton, "clicked()", self._report),
            (ui.verifyButton, "clicked()", self._verify),
            (ui.keysCheckBox, "toggled(bool)", self._matchKeys),
        ):
            connect(sender, signal, slot)
        actions = {f"verdict{score}": self._chooser(score) for score in SCORES}
        actions |= {"signOff": self._signOff, "reopen": self._reopen}
        self._keys = ReviewKeys(slicer.util.mainWindow() or ui.regionsTable, actions)
        ui.signOffKeysLabel.setText(signOffLegend())
        ui.recordLabel.visible = False

    def refresh(self) -> None:
        ui, workflow = self._ui, self._workflow
        reading, free = workflow.review.reading, not workflow.busy
        hidden, signed, others = reading.hiddenReader(), reading.signed(), reading.others()
        listed = workflow.state.regionTable is not None and not workflow.review.isForOtherNodes
        self._matchOther(bool(hidden))
        self._forget()
        ui.blindButton.visible = bool(hidden)
        ui.blindButton.enabled = free
        told = self._told() if listed else ""
        ui.readerLabel.setText(told)
        ui.readerLabel.visible = bool(told)
        ui.readersCollapsibleButton.text = _("Readers: {reader}").format(reader=reading.reader or "–")
        ui.readersCollapsibleButton.visible = listed or bool(reading.reader.role)
        if self._given and not reading.reason:  # it went with a decision
            ui.reasonEdit.text = ""
        open = listed and not hidden
        ui.signOffButton.enabled = free and open and signed is None
        ui.reopenButton.enabled = free and open and signed is not None
        ui.verdictComboBox.enabled = open and signed is None
        if signed is not None and signed.score is not None and not hidden:
            ui.verdictComboBox.currentIndex = signed.score
        self._showPairs()
        third = listed and not self.records.hasDecided  # who decides where others differ
        ui.agreementButton.enabled = free and (open or third) and bool(self._pairs)
        ui.adjudicateButton.enabled = free and (open or third) and bool(self.records.disagreements)
        ui.reportButton.enabled = ui.verifyButton.enabled = free
        ui.pairComboBox.visible = len(self._pairs) > 1
        for problem in others.problems:
            if problem not in self._said:
                self._said.append(problem)
                workflow.onMessage(_("{problem} Your own decisions are not touched by that.").format(problem=problem))
        self._matchKeys()

    def entered(self) -> None:
        self._entered = True
        self._matchKeys()

    def left(self) -> None:
        self._entered = False
        self._matchKeys()

    def close(self) -> None:
        """Slicer quits or the module is reloaded."""
        self._keys.remove()

    def _told(self) -> str:
        """Who else has read, and whether the case is locked, in a line each."""
        reading = self._workflow.review.reading
        others, signed, lines = reading.others(), reading.signed(), []
        hidden = reading.hiddenReader()
        if hidden:
            text = _("This list holds what {name} decided, which stays hidden until you sign off your own reading.")
            lines.append(text.format(name=hidden))
        elif others.names and not reading.hasSignedOff:
            lines.append(_("Also read by {names}; you read blind.").format(names=", ".join(others.names)))
        elif others.names:
            lines.append(_("Also read by {names}.").format(names=", ".join(others.names)))
        if signed is not None and signed.score is not None:
            text = _("Signed off by {name}: {score} {words}. Shift+R opens the case again.")
            lines.append(text.format(name=signed.annotator, score=signed.score, words=WORDS[signed.score]))
        return "\n".join(lines)

    def _matchOther(self, hidden: bool) -> None:
        """The segmentation of another reader's list, which they may have corrected, is out of sight with the list."""
        segmentation = self._workflow.state.segmentation
        if segmentation is None:
            return
        if hidden and segmentation.GetDisplayVisibility():
            self._hidden = segmentation.GetID()
            segmentation.SetDisplayVisibility(False)
        elif not hidden and segmentation.GetID() == self._hidden:
            self._hidden = ""
            segmentation.SetDisplayVisibility(True)

    def _forget(self) -> None:
        """With another reader or list, the verdict and the answers that stand here are not theirs."""
        table = self._workflow.state.regionTable
        now = reader_key(self._workflow.state.reviewer), "" if table is None else table.GetID()
        if now != self._shownTo:
            self._shownTo = now
            self._ui.verdictComboBox.currentIndex = 0
            self._ui.recordLabel.setText("")
            self._ui.recordLabel.visible = False

    def _matchKeys(self) -> None:
        self._keys.setEnabled(bool(self._entered and self._ui.keysCheckBox.checked))

    def _keepReader(self) -> None:
        ui = self._ui
        saveReader(Reader(ui.reviewerEdit.text, ui.roleEdit.text, ui.instructionEdit.text))
        if self._workflow.review is not None:
            self._workflow.review.reading.renewReader()
            self._workflow.onChanged()

    def _keepReason(self) -> None:
        if self._workflow.review is not None:
            self._workflow.review.reading.reason = self._ui.reasonEdit.text.strip()
            self._given = bool(self._workflow.review.reading.reason)

    def _chooser(self, score: int) -> Callable[[], None]:
        def choose() -> None:
            if self._ui.verdictComboBox.enabled:
                self._ui.verdictComboBox.currentIndex = score
                self._workflow.onMessage(f"{score} {WORDS[score]}; {_('Shift+S signs the case off.')}")

        return choose

    def _signOff(self) -> None:
        score = self._ui.verdictComboBox.currentIndex
        if self._workflow.busy:
            raise EngineError("busy", _("A step is still running; wait for it or cancel it."))
        if not score:
            raise EngineError("no-score", _("Give the case a verdict first: Alt+1 (unusable) to Alt+5 (very good)."))
        self._withReason(lambda reason: self._workflow.review.reading.signOff(score, reason))
        review = self._workflow.review
        known = review.decisions()
        left = [row for row in review.regions() if rowState(row, known) in (OPEN, PARTLY)]
        said = _("Signed off: {score} {words}.").format(score=score, words=WORDS[score])
        open = _("{count} rows were left open.").format(count=len(left)) if left else ""
        self._workflow.onMessage(f"{said} {open}".strip())

    def _reopen(self) -> None:
        self._withReason(self._workflow.review.reading.reopen)
        self._workflow.onMessage(_("The case is open again."))

    def _withReason(self, act: Callable[[str], None]) -> None:
        """What is typed under Reason goes with it; where it is missing the field is shown to be filled in."""
        ui, reading = self._ui, self._workflow.review.reading
        try:
            act(ui.reasonEdit.text.strip())
        except EngineError as problem:
            if problem.code in ("reason-missing", "not-signed"):
                ui.readersCollapsibleButton.collapsed = False
                (ui.reasonEdit if problem.code == "reason-missing" else ui.roleEdit).setFocus()
            raise
        ui.reasonEdit.text = ""
        self.onSigned(reading.signed())
        self._workflow.onChanged()

    def _showPairs(self) -> None:
        ui, pairs = self._ui, self.records.pairs()
        if pairs != self._pairs:
            self._pairs = pairs
            ui.pairComboBox.clear()
            for first, second in pairs:
                ui.pairComboBox.addItem(f"{first} – {second}")

    def _compare(self) -> None:
        self.records.compare(self._pairs[max(self._ui.pairComboBox.currentIndex, 0)], self._say)

    def _adjudicate(self) -> None:
        rows, said = self.records.adjudication()
        self.own.begin(rows, said)

    def _report(self) -> None:
        self.records.report(bool(self._ui.recordScopeComboBox.currentIndex), self._say)

    def _verify(self) -> None:
        self.records.verify(bool(self._ui.recordScopeComboBox.currentIndex), self._say)

    def _say(self, text: str) -> None:
        """Beside the buttons that asked."""
        self._ui.recordLabel.setText(text)
        self._ui.recordLabel.visible = True
        self._workflow.onMessage("")
