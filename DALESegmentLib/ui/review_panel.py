"""Review: the list of doubtful regions and the decisions about them, by button or by key."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from ..engine.dale.issues import Region
from ..engine.dale.reasons import reason
from ..mrml.regions import jumpToRegion
from .active_region import ActiveRegion
from .background import importInAdvance
from .learned_otherwise import whyLearned
from .prompting import Prompting
from .region_editing import Correction
from .region_table import RegionTable
from .review_keys import ReviewKeys, legend
from .signals import connect, showProblem
from .suggested_outline import SuggestedOutline
from .workflow import Workflow


class ReviewPanel:
    def __init__(self, ui: Any, workflow: Workflow) -> None:
        self._ui, self._workflow = ui, workflow
        self.correction = Correction(workflow)
        self.atHand = ActiveRegion(workflow)
        self.suggested = SuggestedOutline(workflow)
        self.prompting = Prompting(workflow, self.correction, self._matchPrompting)
        self.table = RegionTable(ui.regionsTable, ui.stateFilterComboBox, ui.filterEdit, self._jump)
        actions = self._actions = {
            "next": lambda: self.table.step(1),
            "previous": lambda: self.table.step(-1),
            "confirm": lambda: self._decide("confirmed"),
            "accept": self._accept,
            "less": lambda: self._move(-1),
            "more": lambda: self._move(1),
            "correct": self._correct,
            "segment": self._segment,
            "open": self.table.toggle,
            "unsure": lambda: self._decide("unsure"),
            "undo": self._undo,
        }
        for sender, signal, slot in (
            (ui.regionsButton, "clicked()", workflow.listRegions),
            (ui.fineTuneButton, "clicked()", workflow.fineTune),
            (ui.confirmButton, "clicked()", actions["confirm"]),
            (ui.acceptButton, "clicked()", actions["accept"]),
            (ui.correctButton, "clicked()", actions["correct"]),
            (ui.segmentButton, "clicked()", actions["segment"]),
            (ui.unsureButton, "clicked()", actions["unsure"]),
            (ui.undoButton, "clicked()", actions["undo"]),
            (ui.takeOverButton, "clicked()", self._takeOver),
            (ui.keysCheckBox, "toggled(bool)", self._matchKeys),
        ):
            connect(sender, signal, slot)
        window = slicer.util.mainWindow() or ui.regionsTable
        self.onKey: Callable[[], None] = lambda: None  # a key was pressed
        pressed = lambda: self.onKey()  # noqa: E731  (what it is by then)
        self._keys = ReviewKeys(window, actions, pressed)
        self._returnKey = ReviewKeys(window, {"done": _returnToModule}, pressed)
        take, leave = self.prompting.take, self.prompting.leave
        self._promptKeys = ReviewKeys(window, {"take": take, "takeToo": take, "leave": leave}, pressed)
        self._entered = False
        self._journalProblem = ""
        self.onJump: Callable[[], None] = lambda: None  # another region is at hand
        ui.keysLabel.setText(legend())

    def act(self, name: str) -> None:
        """What the key of that name in `review_keys.KEYS` does, for scripts."""
        self._actions[name]()

    def refresh(self) -> None:
        if self._learn():  # which has just shown everything
            return
        state, ui, review = self._workflow.state, self._ui, self._workflow.review
        free = not self._workflow.busy
        judgeable = self._workflow.canJudge and state.image is not None and state.segmentation is not None
        ui.regionsButton.enabled = free and judgeable
        ui.fineTuneButton.enabled = free and judgeable and bool(state.model) and review.fits(state.regionTable)
        self._showReviewedNodes()
        self._offerEarlier()
        self.table.show(review.regions(), review.decisions())
        self._enableDecisions()
        self.atHand.show(self.table.selected())
        self._suggest()
        self._explainRegion()
        self.prompting.goOn()

    def _learn(self) -> bool:
        """From a correction that was left, if there is one; whether that has begun."""
        try:
            return self.correction.learn()
        except EngineError as problem:  # for instance, another image was chosen meanwhile
            self._workflow.onMessage(problem.sentence)
            return False

    def entered(self) -> None:
        """The module is on screen: an open correction ends, and the keys work."""
        self._entered = True
        importInAdvance()  # now rather than at the first click, which the imports' own tidying would hold up
        self._returnKey.setEnabled(False)
        self._matchKeys()
        try:
            self.correction.leave()
            self.correction.tidy()
        except EngineError as problem:
            showProblem(problem.sentence)
        self._suggest()
        self.onJump()

    def left(self) -> None:
        """Another module is on screen; during a correction one key leads back."""
        self._entered = False
        self.prompting.leave()
        self.suggested.show(None)
        self._matchKeys()
        self._returnKey.setEnabled(self.correction.isOpen and self._ui.keysCheckBox.checked)

    def close(self) -> None:
        """Slicer quits or the module is reloaded."""
        try:
            self.correction.leave()
        except EngineError as problem:  # the rest has to be closed all the same
            logging.warning("DALESegment: the open correction was not noted. %s", problem.sentence)
        self.prompting.leave()
        self.suggested.show(None)
        self.atHand.close()
        for keys in (self._keys, self._returnKey, self._promptKeys):
            keys.remove()

    def _matchPrompting(self) -> None:
        self._matchKeys()
        self._suggest(anew=True)

    def _matchKeys(self) -> None:
        on = self._ui.keysCheckBox.checked
        self._keys.setEnabled(on and self._entered)
        self._promptKeys.setEnabled(self.prompting.isOpen)

    def _offerEarlier(self) -> None:
        """Decisions on the disk that the scene does not know, because it was not saved with them."""
        review = self._workflow.review
        count, journal = len(review.earlier()), review.logWriter()
        self._ui.takeOverButton.visible = bool(count)
        many = _("Take over {count} earlier decisions").format(count=count)
        self._ui.takeOverButton.text = _("Take over 1 earlier decision") if count == 1 else many
        problem = "" if journal is None else journal.problem
        if problem and problem != self._journalProblem:
            self._workflow.onMessage(_("Decisions are kept in the scene alone: {why}").format(why=problem))
        self._journalProblem = problem

    def _takeOver(self) -> None:
        if self._isLocked():
            return
        count = self._workflow.review.takeOver()
        self._workflow.onMessage(_("{count} earlier decisions were taken over.").format(count=count))
        self._workflow.onChanged()

    def _showReviewedNodes(self) -> None:
        """Where the list is about other nodes than the chosen ones: of which, and how it comes back. Else what the
        engine said about the list as a whole."""
        review = self._workflow.review
        names = " / ".join(f"“{name}”" for name in review.reviewedNames())
        lost = _("The list was made for an image or a segmentation that is no longer here. List the regions again.")
        hidden = _("The list was made for {names}. Choose these under Data to go on with it.").format(names=names)
        whole = len(review.reviewedNames()) == 2
        other = hidden if whole else lost
        text = other if review.isForOtherNodes else "\n".join(review.listNotes())
        self._ui.reviewNote.setText(text)
        self._ui.reviewNote.visible = bool(text)

    def _enableDecisions(self) -> None:
        chosen = self.table.selected() is not None and not self._listing
        ui = self._ui
        for button in (ui.confirmButton, ui.unsureButton, ui.correctButton, ui.acceptButton):
            button.enabled = chosen
        ui.segmentButton.enabled = self._workflow.state.image is not None and not self._listing
        self._ui.undoButton.enabled = self._workflow.review.canUndo and not self._listing

    def _jump(self) -> None:
        self._enableDecisions()
        region = self.table.selected()
        self.atHand.show(region)
        if not self.prompting.isOpen:
            self.suggested.show(region)
        self._explainRegion()
        self.onJump()
        if region is not None:
            jumpToRegion(region)

    def _explainRegion(self) -> None:
        """Why the chosen region is listed and what A does, and why it was learned as it was, where that is known."""
        region = self.table.selected()
        said = "" if region is None else self.suggested.sentence(region)
        why = "" if region is None else " ".join(part for part in (reason(region, _), said and f"{said}.") if part)
        parts = () if region is None else (region.note, why, whyLearned(region))
        text = "\n".join(part for part in parts if part)
        self._ui.whyLearnedLabel.setText(text)
        self._ui.whyLearnedLabel.visible = bool(text)

    @property
    def _listing(self) -> bool:
        """Whether a new list is being made. What is decided about the old one would be lost with it."""
        return self._workflow.command == "review"

    def _judged(self) -> Region | None:
        """The chosen region, where it can be decided about now."""
        if self._listing:
            self._workflow.onMessage(_("The list is being made anew; decide when it is there."))
            return None
        return None if self._isLocked() else self.table.selected()

    def _isLocked(self) -> bool:
        """Whether nothing may be decided or drawn now, which is said."""
        try:
            self._workflow.review.reading.checkOpen()
        except EngineError as problem:
            self._workflow.onMessage(problem.sentence)
            return True
        return False

    def _decide(self, decision: str) -> None:
        """Note the decision and go on to the next region."""
        region = self._judged()
        if region is None:
            return
        self._workflow.review.decide(region, decision)
        self.table.step(1)  # before the row is taken out of what the filter shows
        self._workflow.onChanged()

    def _suggest(self, anew: bool = False) -> None:
        """For the chosen region; where it is drawn already, only anew, as the label is now."""
        if self.prompting.isOpen:  # its outline is the one that is shown
            return
        region = self.table.selected() if self._entered else None
        if region is None or not self.suggested.isFor(region):
            self.suggested.show(region)
        elif anew:
            self.suggested.draw()

    def _move(self, by: int) -> None:
        if self.table.selected() is not None and not self.prompting.isOpen:
            self._workflow.onMessage(self.suggested.move(by))
            self._explainRegion()
            self.onJump()

    def _accept(self) -> None:
        """Take what is suggested, and go on to the next region."""
        region = self._judged()
        if region is None or self.prompting.isOpen:
            return
        suggested = self.suggested.label(region)
        if suggested is None:
            self._workflow.onMessage(_("What should change is not known; list the doubtful regions again."))
            return
        changed = self.correction.draw(region, suggested, "accepted")
        if not changed:
            done = _("The label is as suggested already")
            said = done if self.suggested.changes(region) else self.suggested.sentence(region)
            self._workflow.onMessage(_("{said}. C keeps the label.").format(said=said))
            return
        self._workflow.onMessage(
            _("Region {rank}: the outline was taken, {count} voxels changed.").format(rank=region.rank, count=changed)
        )
        self.table.step(1)
        self._workflow.onChanged()
        if self.table.selected() == region:  # the last row
            self._suggest(anew=True)

    def _segment(self) -> None:
        """Strokes for the chosen region or, where none is chosen, anywhere."""
        if not self._listing and not self._isLocked():
            self.prompting.begin(self.table.selected())

    def _correct(self) -> None:
        region = self._judged()
        if region is not None:
            self.correction.open(region)
            self.left()

    def _undo(self) -> None:
        if not self._workflow.review.canUndo or self._listing or self._isLocked():
            return
        undone = self._workflow.review.undo()
        if undone is None:
            return
        region, decision = undone
        if decision in ("corrected", "accepted"):
            self.correction.undo(region)
        self._workflow.onChanged()
        self.table.goTo(region)
        self._suggest(anew=True)


def _returnToModule() -> None:
    slicer.util.selectModule("DALESegment")
