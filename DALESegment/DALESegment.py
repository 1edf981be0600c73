"""DALESegment: see where a segmentation is doubtful, review it, and train on what was confirmed.

Every start of Slicer imports this file, so nothing is imported here that Slicer has not imported itself: what the
module needs comes with the first visit.
"""

import importlib.util
import logging
import os
import sys
from pathlib import Path

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

PARAMETER_NAMES = ("DALESegmentParameterNode", "Device", "TrainingMethod", "TrainingSource")


def __getattr__(name: str):
    """The parameter node's class and those of its values, for scripts; imported when they are asked for."""
    if name not in PARAMETER_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from DALESegmentLib.ui import parameter_node

    return getattr(parameter_node, name)


def findLibrary() -> None:
    """Make DALESegmentLib importable; where the extension was not built it lies beside this file's folder."""
    if importlib.util.find_spec("DALESegmentLib") is None:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def sampleDataOnceStarted(icon: str) -> None:
    """Offer the practice case in Sample Data, when Slicer has started: that module may be loaded later than this."""

    def register() -> None:
        from DALESegmentLib.ui.sample_data import registerSampleData

        registerSampleData(icon)

    slicer.app.connect("startupCompleted()", register)


def resourceFile(name: str) -> str:
    """A file of Resources: beside this module once built, in the repository's root before."""
    folders = (Path(__file__).resolve().parents[i] / "Resources" for i in (0, 1))
    return str(next(folder / name for folder in folders if (folder / name).exists()))


class DALESegment(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        findLibrary()
        parent.title = _("DALESegment")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = []
        parent.contributors = ["The DALESegment developers"]
        parent.helpText = _(
            "Learns from your segmentation how far each voxel of it can be trusted, shows the doubtful "
            "places, and trains on from what you confirm or correct. Not for clinical use."
        )
        parent.acknowledgementText = _("Built on PyTorch and MONAI.")
        icon = resourceFile("Icons/DALESegment.png")
        parent.icon = qt.QIcon(icon)
        sampleDataOnceStarted(icon)


class DALESegmentLogic(ScriptedLoadableModuleLogic):
    """The work without its panel: `workflow` holds the steps, the parameter node what they work on."""

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        from DALESegmentLib.ui.dependencies import missingSentences
        from DALESegmentLib.ui.engine_process import EngineProcess
        from DALESegmentLib.ui.workflow import Workflow

        self.workflow = Workflow(EngineProcess(), self._prepareEngine)
        self.workflow.missingSentences = lambda: missingSentences(resourceFile("requirements.txt"))

    def getParameterNode(self):
        from DALESegmentLib.ui.parameter_node import DALESegmentParameterNode

        return DALESegmentParameterNode(super().getParameterNode())

    def open(self, parameterNode) -> None:
        """Work on what this parameter node names; on nothing with None."""
        self.workflow.open(parameterNode)

    def close(self) -> None:
        self.workflow.open(None)
        self.workflow.close()

    def _prepareEngine(self) -> None:
        from DALESegmentLib.ui.dependencies import ensureInstalled

        if not self.workflow.engine.running and ensureInstalled(resourceFile("requirements.txt")):
            logging.info("DALESegment: packages were installed for the engine.")


class DALESegmentWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._guiTag = None
        self._matching = False  # whether the views are about to be matched with the scene

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        from DALESegmentLib.ui.audit_panel import AuditPanel
        from DALESegmentLib.ui.data_panel import DataPanel
        from DALESegmentLib.ui.heat_map_panel import HeatMapPanel
        from DALESegmentLib.ui.learn_panel import LearnPanel
        from DALESegmentLib.ui.progress_panel import ProgressPanel
        from DALESegmentLib.ui.raters_panel import RatersPanel
        from DALESegmentLib.ui.readers_panel import ReadersPanel
        from DALESegmentLib.ui.result_panel import ResultPanel
        from DALESegmentLib.ui.review_panel import ReviewPanel
        from DALESegmentLib.ui.scrolling import ScrollPlace
        from DALESegmentLib.ui.step_visibility import StepVisibility
        from DALESegmentLib.ui.view_captions import ViewCaptions
        from DALESegmentLib.ui.worklist_panel import WorklistPanel

        panel = slicer.util.loadUI(resourceFile("UI/DALESegment.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self._panel = panel

        self.logic = DALESegmentLogic()
        workflow = self.logic.workflow
        self.reviewPanel = ReviewPanel(self.ui, workflow)
        self._captions = ViewCaptions(workflow, self.reviewPanel.atHand)
        self.reviewPanel.onJump = self._captions.refresh
        self.worklistPanel = WorklistPanel(self.ui, workflow)
        self.reviewPanel.onKey = self.worklistPanel.countKey
        self.readersPanel = ReadersPanel(self.ui, workflow)
        self.readersPanel.onSigned = self.worklistPanel.signed
        self._progress = ProgressPanel(self.ui, workflow)
        kinds = (DataPanel, RatersPanel, LearnPanel, HeatMapPanel, AuditPanel, ResultPanel, StepVisibility)
        panels = (kind(self.ui, workflow) for kind in kinds)
        lasting = (self._progress, self.reviewPanel, self.readersPanel, self.worklistPanel, self._captions)
        self._panels = [*panels, *lasting]
        workflow.onChanged = self.refresh
        for event, method in (
            (slicer.mrmlScene.StartCloseEvent, self._onSceneStartClose),
            (slicer.mrmlScene.EndCloseEvent, self._onSceneReplaced),
            (slicer.mrmlScene.EndImportEvent, self._onSceneReplaced),
            (slicer.mrmlScene.NodeAddedEvent, self._onNodeAdded),
        ):
            self.addObserver(slicer.mrmlScene, event, method)
        self._scrollPlace = ScrollPlace(panel)
        if self.parent.isEntered:  # after a reload: Slicer sets the new panel up and does not enter it
            self.enter()
        else:
            self._follow(self.logic.getParameterNode())

    def enter(self) -> None:
        from DALESegmentLib.ui.dependencies import checkWhenIdle

        checkWhenIdle(resourceFile("requirements.txt"))
        self._follow(self.logic.getParameterNode())
        self.reviewPanel.entered()
        self.readersPanel.entered()
        self.worklistPanel.entered()
        self._scrollPlace.restore()

    def exit(self) -> None:
        """The panel is left. A running step goes on and its result comes, unless the scene is closed meanwhile."""
        self._scrollPlace.keep()
        self._unbind()
        self.reviewPanel.left()
        self.readersPanel.left()
        self.worklistPanel.left()

    def cleanup(self) -> None:
        if self.logic is not None:
            self.reviewPanel.close()
            self.readersPanel.close()
            self.worklistPanel.close()
            self._captions.close()
            self._follow(None)
            self.logic.close()
        self.removeObservers()

    def onReload(self) -> None:
        """Take the library's modules along, so that a reload is one."""
        for name in [n for n in sys.modules if n.split(".")[0] == "DALESegmentLib"]:
            del sys.modules[name]
        super().onReload()

    def refresh(self) -> None:
        """Show the state of the work in every panel."""
        if self.logic.workflow.session is not None:
            for panel in self._panels:
                panel.refresh()

    def _onSceneStartClose(self, caller, event) -> None:
        self.logic.workflow.cancel()
        self.reviewPanel.correction.drop()
        self.reviewPanel.atHand.forget()
        self.worklistPanel.worklist.forget()
        self._captions.clear()
        self._progress.clear()
        self._follow(None)

    def _onSceneReplaced(self, caller, event) -> None:
        if self.parent.isEntered:  # else on entering: a scene that this module never saw keeps nothing of it
            self.enter()

    def _onNodeAdded(self, caller, event) -> None:
        """A segmentation may have come, which Slicer would fill: once it has its display, and once for many nodes."""
        if not self._matching:
            self._matching = True
            qt.QTimer.singleShot(0, self._matchViews)

    def _matchViews(self) -> None:
        self._matching = False
        workflow = self.logic.workflow
        if workflow.session is not None and not slicer.mrmlScene.IsBatchProcessing():
            workflow.review.matchViews()
            self._captions.refresh()

    def _follow(self, parameterNode) -> None:
        """Bind the panel to another parameter node, or to none."""
        self._unbind()
        self.logic.open(parameterNode)
        if parameterNode is None:
            return
        from DALESegmentLib.mrml.volumes import imageOnScreen
        from DALESegmentLib.ui.reader import savedReader
        from DALESegmentLib.ui.session import loginName

        if parameterNode.image is None:
            parameterNode.image = imageOnScreen()
        if parameterNode.segmentation is None:
            parameterNode.segmentation = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        saved = savedReader().name  # not who last worked on this scene
        if saved or not parameterNode.reviewer:
            parameterNode.reviewer = saved or loginName()
        self._parameterNode = parameterNode
        self._guiTag = parameterNode.connectGui(self.ui)
        self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParameterNodeModified)
        self.refresh()

    def _unbind(self) -> None:
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParameterNodeModified)
            self._parameterNode = None

    def _onParameterNodeModified(self, caller=None, event=None) -> None:
        if not self.logic.workflow.applying:  # once for the whole answer, when it is in the scene
            self.refresh()


class DALESegmentTest(ScriptedLoadableModuleTest):
    """The whole flow without dialogs, on the practice case and on a part of a real image; then the panel's keys.

    It runs in an application that somebody uses as in one started for testing, prints a line for each step that
    passed, and raises at the first that did not. What cannot be run is skipped with a printed reason: all of it where
    torch is missing, the real image where it is not on this computer and cannot be downloaded, the keys where there is
    no panel.
    """

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        from DALESegmentLib.ui.dependencies import installedVersion, missingRequirements
        from DALESegmentLib.ui.signals import withoutDialogs

        self.passed = 0
        missing = missingRequirements(resourceFile("requirements.txt"))
        if missing or installedVersion("torch") is None:
            print("DALESegment test skipped: not installed:", ", ".join(missing) or "torch")
            return
        with withoutDialogs():
            for test in (self.test_practiceCase, self.test_keys, self.test_realImage):
                if test != self.test_keys:  # which goes on with the practice case
                    self.setUp()
                test()
        print(f"DALESegment test: all {self.passed} steps passed.")

    def test_practiceCase(self):
        from DALESegmentLib.mrml.practice_case import addPracticeCase

        self.wholeFlow(*addPracticeCase())

    def test_realImage(self):
        from DALESegmentLib.mrml.practice_case import addMiddleOf

        try:
            import SampleData

            volume = SampleData.SampleDataLogic().downloadMRHead()
        except Exception as error:
            print(f"DALESegment test on MRHead skipped: it could not be had ({error}).")
            return
        self.wholeFlow(*addMiddleOf(volume))

    def test_keys(self):
        """What the keys of a review do, on the list of the scene."""
        from DALESegmentLib.mrml.regions import regionIdentity

        if slicer.util.mainWindow() is not None:
            slicer.util.selectModule("DALESegment")
        widget = getattr(slicer.modules, "DALESegmentWidget", None)
        if widget is None or widget.logic is None or widget.logic.workflow.session is None:
            print("DALESegment test of the keys skipped: the panel is not there.")
            return
        workflow, panel = widget.logic.workflow, widget.reviewPanel
        widget.refresh()
        region = next(iter(workflow.review.regions()), None)
        if region is None:
            print("DALESegment test of the keys skipped: no doubtful region was found.")
            return
        panel.table.goTo(region)
        for key, expected in (("confirm", "confirmed"), ("undo", "open"), ("unsure", "unsure"), ("undo", "open")):
            panel.act(key)
            known = workflow.review.decisions()[regionIdentity(region)]
            assert known == expected, f"after {key} the region is {known}"
            panel.table.goTo(region)
            self.say(f"key {key}", f"region {region.rank} is {known}")
        learning, workflow.state.refreshAtOnce = workflow.state.refreshAtOnce, False
        try:
            self.acceptKey(workflow, panel)
            self.strokesKey(workflow, panel, region)
        finally:
            workflow.state.refreshAtOnce = learning

    def acceptKey(self, workflow, panel):
        """A takes what is suggested at the first row that has something, Z takes it back."""
        before = workflow.session.segmentationSnapshot()
        for region in workflow.review.regions():
            panel.table.goTo(region)
            if not panel.suggested.changes(region):
                continue
            panel.act("accept")
            changed = workflow.session.segmentationSnapshot().changedVoxels(before)
            assert changed, "A changed nothing"
            panel.act("undo")
            left = workflow.session.segmentationSnapshot().changedVoxels(before)
            assert left == 0, f"after the undo {left} voxels differ"
            self.say("key accept", f"region {region.rank}, {changed} voxels, and taken back")
            return
        print("DALESegment test of the key A skipped: nothing is surely wrong in any region.")

    def strokesKey(self, workflow, panel, region):
        """S, a stroke through the middle of a region, an outline, and Escape, which leaves nothing of it."""
        from DALESegmentLib.engine.core.errors import EngineError

        before = workflow.session.segmentationSnapshot()
        panel.table.goTo(region)
        try:
            panel.act("segment")
        except EngineError as problem:  # no slice view to draw in
            print(f"DALESegment test of the key S skipped: {problem.sentence}")
            return
        i, j, k = region.centre_voxel
        inside = region.suspicion in ("too small", "missing")
        panel.prompting.addStroke([(i, j, k)], inside)
        answered = workflow.waitFor(lambda: panel.prompting.isAnswered and not workflow.busy, 60)
        panel.prompting.leave()
        assert answered, "the stroke was not answered"
        assert workflow.session.segmentationSnapshot().changedVoxels(before) == 0, "Escape left a trace"
        self.say("key segment", f"region {region.rank}, answered and left")

    def wholeFlow(self, image, segmentation):
        from DALESegmentLib.ui.prediction import Prediction

        logic = DALESegmentLogic()
        state = logic.getParameterNode()
        state.image, state.segmentation = image, segmentation
        state.workFolder = os.path.join(slicer.app.temporaryPath, "DALESegmentTest")  # none of it among the user's own
        state.minutes = float(os.environ.get("DALESEGMENT_TEST_MINUTES", "0.2"))
        logic.open(state)
        try:
            for step in ("train", "showConfidence", "listRegions"):
                self.finish(logic, step)
            assert state.heatMap is not None
            assert not segmentation.GetDisplayNode().GetVisibility2DFill(), "the fill covers the heat map"
            review = logic.workflow.review
            for region in review.regions()[:1]:
                review.decide(region, "confirmed")
            if review.regions():
                before = state.model
                self.finish(logic, "fineTune")
                assert (state.model == before) == bool(state.candidate)
                logic.workflow.rollBack()
                assert state.model == before
                review.undo()
                assert "confirmed" not in review.decisions().values()
            self.finish(logic, "predict", Prediction(logic.workflow).chosen)
            assert state.result.GetSegmentation().GetNumberOfSegments() == 1
        finally:
            logic.close()
        self.say("whole flow", image.GetName())

    def finish(self, logic, step, act=None):
        """Run one step to its end; what it says is a failure where it did not succeed."""
        messages = []
        logic.workflow.onMessage = messages.append
        (act or getattr(logic.workflow, step))()
        ended = logic.workflow.waitFor(lambda: not logic.workflow.busy, 300)
        assert ended, f"{step} did not end"
        assert logic.workflow.succeeded, f"{step}: {messages[-1]}"
        self.say(step, messages[-1])

    def say(self, step, what):
        """One step passed. No pop-up: its event loop would let in what waits in the queue."""
        self.passed = getattr(self, "passed", 0) + 1
        print(f"DALESegment test, passed: {step} ({' '.join(what.split())})")
