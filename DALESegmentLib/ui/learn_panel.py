"""Learn: train a model within a time budget, or choose one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from ..engine import __version__
from ..engine.rpc.http_client import ServerConnection
from .engine_process import engineAddress, engineToken, setEngine
from .live_curves import showCurves
from .model_info import modelInfo
from .path_field import PathField
from .signals import connect
from .workflow import Workflow


class LearnPanel:
    def __init__(self, ui: Any, workflow: Workflow) -> None:
        self._ui, self._workflow = ui, workflow
        self._model = PathField(ui.modelEdit, workflow, "model")
        self._probabilities = PathField(ui.probabilitiesEdit, workflow, "probabilities")
        self._described: str | None = None
        for label in (ui.planLabel, ui.installationLabel):
            label.visible = False

        def beside(label: Any) -> Callable[[str], None]:
            return lambda sentences: self._show(label, sentences)

        connect(ui.trainButton, "clicked()", workflow.train)
        connect(ui.planButton, "clicked()", lambda: workflow.showPlan(self._showPlan, beside(ui.planLabel)))
        connect(
            ui.installationButton,
            "clicked()",
            lambda: workflow.checkInstallation(self._showInstallation, beside(ui.installationLabel)),
        )
        connect(ui.curvesButton, "clicked()", showCurves)
        ui.engineEdit.text, ui.tokenEdit.text = engineAddress(), engineToken()
        connect(ui.engineEdit, "editingFinished()", self._changeEngine)
        connect(ui.tokenEdit, "editingFinished()", self._changeEngine)
        connect(ui.connectionButton, "clicked()", self._testConnection)

    def refresh(self) -> None:
        state, ui = self._workflow.state, self._ui
        self._model.refresh()
        self._probabilities.refresh()
        self._describeModel(state.model)
        scene = state.image is not None and state.segmentation is not None
        ready = bool(state.casesFolder) if state.source.name == "folder" else scene
        free = not self._workflow.busy
        ui.trainButton.enabled = ui.planButton.enabled = ready and free
        ui.installationButton.enabled = ui.engineEdit.enabled = ui.tokenEdit.enabled = free
        ui.connectionButton.enabled = free and bool(ui.engineEdit.text.strip())

    def _changeEngine(self) -> None:
        """The one that runs is of the earlier address; the next step starts another."""
        address, token = self._ui.engineEdit.text.strip(), self._ui.tokenEdit.text.strip()
        if (address, token) != (engineAddress(), engineToken()):
            setEngine(address, token)
            self._workflow.engine.stop()
            self.refresh()

    def _testConnection(self) -> None:
        """Say what is there: version, GPUs, queue."""
        self._changeEngine()
        address, token = engineAddress(), engineToken() or None

        def ask() -> dict[str, Any]:
            return ServerConnection(address, token).ask("GET", "/v1/status")

        self._workflow.beside(ask, lambda found: self._show(self._ui.installationLabel, _connected(address, found)))

    def _describeModel(self, model: str) -> None:
        """From its files, which are read when another model is chosen, not at every refresh."""
        if model == self._described:
            return
        self._described = model
        text = modelInfo(model)
        self._ui.modelInfoLabel.setText(text)
        self._ui.modelInfoLabel.visible = bool(text)

    def _showPlan(self, plan: dict) -> None:
        patch = " × ".join(str(n) for n in plan["patch_size"])
        spacing = plan["spacing"] and " × ".join(f"{s:.2f}" for s in plan["spacing"])
        text = _("{network} in {dims}D, patches of {patch} voxels, {spacing}, {device}; time budget {minutes:g} min.")
        self._show(
            self._ui.planLabel,
            text.format(
                network=plan["network"],
                dims=plan["dims"],
                patch=patch,
                spacing=_("resampled to {spacing} mm").format(spacing=spacing) if spacing else _("as scanned"),
                device=_("on the processor")
                if plan["device"] == "cpu"
                else _("on the GPU ({name})").format(name=plan["device"]),
                minutes=self._workflow.state.minutes,
            ),
        )

    def _showInstallation(self, answer: dict) -> None:
        wrong = [check for check in answer["checks"] if not check["ok"]]
        lines = [f"{check['name']}: {check['value']}. {check['advice']}" for check in wrong]
        shown = ("GPU", "OpenVINO", "Memory", "Processor cores", "torch", "monai")
        lines += [
            f"{check['name']}: {check['value']}. {check['advice']}".strip()
            for check in answer["checks"]
            if check["ok"] and (check["name"] in shown or check["name"].startswith("GPU"))
        ]
        first = _("Problems found: {count}.").format(count=len(wrong)) if wrong else _("Everything needed is there.")
        self._show(self._ui.installationLabel, "\n".join([first, *lines]))

    def _show(self, label: Any, text: str) -> None:
        label.setText(text)
        label.visible = True
        self._workflow.onMessage("")


def _connected(address: str, found: dict[str, Any]) -> str:
    """found: what a server says of itself."""
    gpus, queue = found.get("gpus") or [], found.get("queue") or {}
    text = _("{address} answers: DALESegment {version}, {device}; jobs running: {running}, waiting: {waiting}.").format(
        address=address,
        version=found.get("version"),
        device=", ".join(map(str, gpus)) if gpus else _("no GPU"),
        running=queue.get("running", 0),
        waiting=queue.get("waiting", 0),
    )
    if found.get("version") == __version__:
        return text
    return text + " " + _("Here is version {version}; use the same on both machines.").format(version=__version__)
