"""Draw Resources/Screenshots: the module on the practice case, with the real engine behind it.

    python Testing/ui/draw_screenshots.py [--minutes 0.6] [--out Resources/Screenshots]

review.gif is a minute of a review by its keys; the other pictures are the tutorial's.

Run it after every change of the panel, and look at what it drew: the tutorial shows these pictures.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from practice_window import REPOSITORY, correct_worst_region, finish, practice_window, step
from slicer_window import click, click_row, enter, leave, picture, press, reveal, wait_until

SLICES = 400  # pixels a slice view
SHOWN_MS = 4000  # a frame of the animation
CAPTION = 36  # pixels of its line of text
ANIMATED_MINUTES = 0.5  # of training: longer, and the model learns errors of a single case by heart
SAID = {"too large": "too large", "too small": "too small", "extra": "one too many", "missing": "missing"}
IN_LARGE_AND_MISSED, WHOLE_MM = (31.0, 42.0, 39.0), 100.0  # a point that shows both, RAS mm; what a view spans


def draw(folder: Path, minutes: float) -> None:
    """The tutorial's steps, one after the other, with a picture of each, as the module leaves panel and views."""
    folder.mkdir(parents=True, exist_ok=True)
    with practice_window() as widget:
        ui, workflow = widget.ui, widget.logic.workflow
        openViews(widget)
        workflow.state.minutes, workflow.state.reviewer = minutes, "A. Reader"
        lookAt(IN_LARGE_AND_MISSED)
        views(folder / "case.png")
        picture(widget, folder / "first.png")
        section(widget, "data", folder)
        step(widget, ui.planButton)
        step(widget, ui.trainButton)
        hideFolders(widget)
        section(widget, "learn", folder)
        click(ui.confidenceButton)
        finish(widget)
        views(folder / "heat-map.png")
        step(widget, ui.regionsButton)
        surface(widget, folder / "surface.png")
        click_row(ui.regionsTable, 0)
        views(folder / "region.png")
        press(widget, "E")
        leave(widget)
        views(folder / "correcting.png")
        correct_worst_region(widget)
        enter(widget)
        finish(widget)
        said = step(widget, ui.predictButton)
        assert "New segmentation" in said, said
        ui.regionsTable.setCurrentCell(-1, -1)  # with no region at hand, results are drawn
        widget.refresh()
        lookAt(IN_LARGE_AND_MISSED)
        views(folder / "outlines.png")
        for key in "NUNU":
            press(widget, key)
        section(widget, "review", folder)
        step(widget, ui.fineTuneButton)
        click(ui.compareButton)
        wait_until(lambda: not workflow.busy and "difference" in ui.statusLabel.text, 120)
        section(widget, "result", folder)
        closed(ui.resultAdvancedButton, ui.reviewAdvancedButton, ui.learnAdvancedButton, ui.learnCollapsibleButton)
        picture(widget, folder / "panel.png")
        dark(widget, folder / "panel-dark.png")


def drawReaders(folder: Path, minutes: float) -> None:
    """A case that two readers sign off, the second one blind to the first, and their comparison."""
    with practice_window() as widget:
        ui, workflow = widget.ui, widget.logic.workflow
        openViews(widget)
        workflow.state.minutes, workflow.state.refreshAtOnce = minutes, False
        step(widget, ui.trainButton)
        step(widget, ui.regionsButton)
        signIn(widget, "Reader A", "radiologist")
        click_row(ui.regionsTable, 0)
        for key in "ACCU":
            press(widget, key)
        ui.reasonEdit.text = "the rim was too wide"
        signOff(widget, 4)
        boxes(widget, folder / "sign-off.png", "review", "readers")
        signIn(widget, "Reader B", "resident")
        boxes(widget, folder / "read-blind.png", "review", "readers")
        click(ui.blindButton)
        finish(widget)
        click_row(ui.regionsTable, 0)
        for key in "CCUU":
            press(widget, key)
        signOff(widget, 3)
        step(widget, ui.agreementButton)
        boxes(widget, folder / "readers.png", "readers")


def signIn(widget: Any, name: str, role: str) -> None:
    import standin

    ui = widget.ui
    ui.readersCollapsibleButton.collapsed = False
    ui.reviewerEdit.text, ui.roleEdit.text, ui.instructionEdit.text = name, role, "1.2"
    standin.unwrap(ui.roleEdit).editingFinished.emit()


def signOff(widget: Any, score: int) -> None:
    widget.ui.verdictComboBox.currentIndex = score
    click(widget.ui.signOffButton)


def boxes(widget: Any, target: Path, *names: str) -> None:
    """Steps of the panel below each other."""
    import standin
    from PySide6.QtGui import QImage, QPainter
    from PySide6.QtTest import QTest

    QTest.qWait(100)
    parts = [standin.unwrap(getattr(widget.ui, f"{name}CollapsibleButton")).grab().toImage() for name in names]
    whole = QImage(max(p.width() for p in parts), sum(p.height() for p in parts), QImage.Format.Format_RGB32)
    painter, top = QPainter(whole), 0
    for part in parts:
        painter.drawImage(0, top, part)
        top += part.height()
    painter.end()
    assert whole.save(str(target))


def animate(target: Path, minutes: float) -> None:
    """A review from the heat map to the refreshed result, key by key."""
    from DALESegmentLib.engine.dale.review_rows import is_below_line

    frames: list[Any] = []

    def frame(text: str) -> None:
        frames.append(captioned(pixels(), text))

    with practice_window() as widget:
        ui, workflow = widget.ui, widget.logic.workflow
        openViews(widget)
        workflow.state.minutes, workflow.state.reviewer = minutes, "A. Reader"
        lookAt(IN_LARGE_AND_MISSED)
        frame("An image, and a segmentation that was drawn in a hurry")
        step(widget, ui.trainButton)
        click(ui.confidenceButton)
        finish(widget)
        frame("Train, then Show confidence: magenta is what the label can hardly be trusted for")
        step(widget, ui.regionsButton)
        rows = workflow.review.regions()
        frame(f"List doubtful regions: {sum(not is_below_line(row) for row in rows)} probable errors, each a row")
        press(widget, "N")
        for row in rows[:4]:
            drawn = "A takes it away" if row.suspicion == "extra" else "thin yellow is the outline as A would make it"
            frame(f"Row {row.rank}, the model finds the label {SAID[row.suspicion]}: {drawn}")
            press(widget, "BracketRight")
            frame("]: all that is likely wrong there, by the model and the intensities")
            press(widget, "A")
            finish(widget)
            frame("A: that is taken and trusted, the model learns from it, and the next row comes")
        lookAt(IN_LARGE_AND_MISSED)
        frame(f"{1 + 2 * len(rows[:4])} keys in all; what was decided has no colour any more")
        step(widget, ui.predictButton)
        ui.regionsTable.setCurrentCell(-1, -1)
        widget.refresh()
        lookAt(IN_LARGE_AND_MISSED)
        frame("Predict: the model that learned from it, in a segmentation of its own")
    first, *rest = frames
    first.save(target, save_all=True, append_images=rest, duration=SHOWN_MS, loop=0, optimize=True)


def captioned(picture: np.ndarray, text: str) -> Any:
    """picture: (rows, columns, 3). A PIL image of few colours, as a GIF needs it."""
    from matplotlib import font_manager
    from PIL import Image, ImageDraw, ImageFont

    rows, columns, _ = picture.shape
    whole = Image.new("RGB", (columns, rows + CAPTION), "white")
    whole.paste(Image.fromarray(picture), (0, 0))
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 18)
    ImageDraw.Draw(whole).text((12, rows + 6), text, "black", font)
    return whole.quantize(96)


def openViews(widget: Any) -> None:
    """The slice views of Slicer's usual layout, with the image in their background as Slicer puts what it loads."""
    import slicer

    from DALESegmentLib.mrml.scene import startHeadless

    startHeadless().color_logic.AddDefaultColorNodes()
    layout = slicer.app._layout
    layout.open_slice_views(SLICES)
    slicer.util.setSliceViewerLayers(background=widget.case[0], fit=True)


def lookAt(ras: tuple[float, float, float]) -> None:
    """As a reader does who scrolls there."""
    from DALESegmentLib.mrml.views import centreSliceViews

    centreSliceViews(ras, WHOLE_MM)


def closed(*boxes: Any) -> None:
    for box in boxes:
        box.collapsed = True


def hideFolders(widget: Any) -> None:
    """Show no folder of this machine, only the model's own."""
    import standin

    edit = standin.unwrap(widget.ui.modelEdit)
    edit.blockSignals(True)
    edit.setCurrentPath("/".join(Path(widget.logic.workflow.state.model).parts[-2:]))
    edit.blockSignals(False)


def section(widget: Any, name: str, folder: Path) -> None:
    """One of the four panels, with what is open in it; Learn with its advanced part, where the time is set."""
    import standin
    from PySide6.QtTest import QTest

    QTest.qWait(100)
    held = standin.unwrap(getattr(widget.ui, f"{name}CollapsibleButton"))
    if name == "learn":
        reveal(standin.unwrap(widget.ui.minutesSlider))
        QTest.qWait(100)
    assert held.grab().save(str(folder / f"{name}.png"))


def views(target: Path) -> None:
    from DALESegmentLib.mrml.pictures import writePicture

    writePicture(target, pixels())


def pixels() -> np.ndarray:
    """The three slice views side by side, exactly as they are, (rows, columns, 3)."""
    import slicer

    from DALESegmentLib.mrml.pictures import pixelsOf

    layout = slicer.app._layout
    return np.concatenate([pixelsOf(layout.sliceWidget(name).drawn) for name in layout.sliceViewNames()], axis=1)


def surface(widget: Any, target: Path) -> None:
    """The coloured surface, rendered by VTK as a model of this kind is drawn in a 3D view."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    from DALESegmentLib.mrml.heat_map import confidenceColours
    from DALESegmentLib.mrml.pictures import writePicture
    from DALESegmentLib.mrml.scene import nodeWithRole
    from DALESegmentLib.mrml.surface import SURFACE

    click(widget.ui.surfaceCheckBox)
    mapper = vtk.vtkPolyDataMapper()
    mapper.SetInputData(nodeWithRole("vtkMRMLModelNode", SURFACE).GetPolyData())
    mapper.SetLookupTable(confidenceColours().GetLookupTable())
    mapper.SetScalarRange(0.0, 1.0)
    actor = vtk.vtkActor()
    actor.SetMapper(mapper)
    renderer, window = vtk.vtkRenderer(), vtk.vtkRenderWindow()
    renderer.AddActor(actor)
    renderer.AddViewProp(legend(confidenceColours().GetLookupTable()))
    renderer.SetBackground(0.75, 0.76, 0.9)
    renderer.ResetCamera()
    renderer.GetActiveCamera().Elevation(-70)
    renderer.ResetCameraClippingRange()
    window.SetOffScreenRendering(True)
    window.SetSize(500, 400)
    window.AddRenderer(renderer)
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    columns, rows, _ = grab.GetOutput().GetDimensions()
    pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(rows, columns, -1)[::-1, :, :3]
    writePicture(target, np.ascontiguousarray(pixels))
    click(widget.ui.surfaceCheckBox)


def legend(colours: Any) -> Any:
    """As Slicer's 3D view draws the legend node that lies beside the surface."""
    import vtk

    bar = vtk.vtkScalarBarActor()
    bar.SetLookupTable(colours)
    bar.SetTitle("Label confidence")
    bar.SetLabelFormat("%.1f")
    bar.SetNumberOfLabels(3)
    bar.SetPosition(0.08, 0.25)
    bar.SetWidth(0.16)
    bar.SetHeight(0.5)
    bar.UnconstrainedFontSizeOn()
    bar.SetVerticalTitleSeparation(8)
    for text in (bar.GetTitleTextProperty(), bar.GetLabelTextProperty()):
        text.SetFontSize(12)
        text.SetColor(0, 0, 0)
        text.SetShadow(False)
        text.SetItalic(False)
    return bar


def dark(widget: Any, target: Path) -> None:
    """The same panel in a dark theme."""
    from PySide6.QtGui import QColor, QPalette
    from PySide6.QtWidgets import QApplication

    palette = QPalette()
    role = QPalette.ColorRole
    for name, colour in ((role.Window, "#323232"), (role.Base, "#242424"), (role.Button, "#3c3c3c")):
        palette.setColor(name, QColor(colour))
    for name in (role.WindowText, role.Text, role.ButtonText, role.BrightText):
        palette.setColor(name, QColor("#f0f0f0"))
    palette.setColor(role.PlaceholderText, QColor("#909090"))
    for name in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, name, QColor("#808080"))
    QApplication.setPalette(palette)
    picture(widget, target)
    QApplication.setPalette(QPalette())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0.6, help="time budget of the training")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "Resources" / "Screenshots")
    parser.add_argument("--readers", action="store_true", help="draw the pictures of several readers alone")
    parser.add_argument("--animation", action="store_true", help="draw review.gif alone")
    asked = parser.parse_args()
    if asked.animation:
        animate(asked.out / "review.gif", ANIMATED_MINUTES)
        return
    if asked.readers:
        drawReaders(asked.out, ANIMATED_MINUTES)
        return
    draw(asked.out, asked.minutes)
    # in a process of its own: the views of this one still hold what was drawn in them
    for part in ("--animation", "--readers"):
        subprocess.run([sys.executable, __file__, part, *sys.argv[1:]], check=True)
    for file in sorted(asked.out.glob("*.*")):
        print(file.name)


if __name__ == "__main__":
    main()
