"""Measure what the module promises, on the practice case with the real engine; print it and write it down.

    python Testing/ui/measure_bars.py [--minutes 1.0] [--coverage] [--out docs/results/ui.json]

UI thread blocked: the longest gap between two ticks of a Qt timer while a step runs, by the clock ("waited") and by
the thread's own computing ("computed"). A busy machine makes gaps of its own, so the idle window's are given too.
What this script draws in the place of the reader is not in it. For a large volume the engine is one that answers at
once (Testing/ui/quick_engine.py): what is measured is the handing over and the showing. --coverage runs the tests of
the module and of its two layers, which takes minutes, and notes the share of their statements that ran; without it the
share that was measured last stays.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from practice_window import REPOSITORY, correct_worst_region, finish, practice_window
from slicer_window import click, click_heading, click_row, enter, leave, press, wait_until

TICK_MS = 5
LARGE, LARGEST = (256, 256, 128), (512, 512, 200)  # (i, j, k)
MANY_REGIONS = 20_000


class Blocked:
    """How long the UI thread did not answer a timer since `start`: the longest time, and the longest computing."""

    def __init__(self) -> None:
        from PySide6.QtCore import Qt, QTimer

        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)

    def start(self) -> None:
        self._last = self._now()
        self._longest = (0.0, 0.0)
        self._timer.start()

    def stop(self) -> dict[str, float]:
        """In ms: "waited" by the clock, "computed" by the thread itself, however many others share the machine."""
        self._tick()
        self._timer.stop()
        waited, computed = (round(1000 * seconds, 1) for seconds in self._longest)
        return {"waited": max(0.0, round(waited - TICK_MS, 1)), "computed": computed}

    def _tick(self) -> None:
        now = self._now()
        gaps = (new - old for new, old in zip(now, self._last, strict=True))
        self._longest, self._last = tuple(map(max, self._longest, gaps)), now

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.thread_time()


def measure(minutes: float) -> dict[str, Any]:
    """Everything, in one session of the module."""
    with practice_window() as widget:
        ui, workflow = widget.ui, widget.logic.workflow
        workflow.state.minutes = minutes
        blocked: dict[str, dict[str, float]] = {}
        watch = Blocked()

        def watched(name: str, act: Any) -> float:
            started = time.perf_counter()
            watch.start()
            act()
            finish(widget)
            blocked[name] = watch.stop()
            return round(time.perf_counter() - started, 2)

        watch.start()
        wait_until(lambda: False, 3)
        idle = watch.stop()
        clicks = 0
        for name, button in (("train", ui.trainButton), ("heat map", ui.confidenceButton)):
            watched(name, lambda b=button: click(b))
            clicks += 1
        assert workflow.state.heatMap is not None
        watched("region list", lambda: click(ui.regionsButton))
        keys = keys_to_confirm(widget)
        by_keys = review_by_keys(widget)
        watched("predict", lambda: click(ui.predictButton))
        click_row(ui.regionsTable, 0)
        watched("correction opened", lambda: press(widget, "E"))
        leave(widget)
        correct_worst_region(widget)
        with region_shown() as shown:
            started = time.perf_counter()
            refresh = watched("correction left", lambda: enter(widget))
        watched("opacity, threshold", lambda: restyle(ui))
        return {
            "clicks_to_a_heat_map": clicks,
            "keys_to_confirm_and_be_at_the_next": keys,
            "practice_case_by_keys": by_keys,
            "ui_thread_blocked_ms": dict(blocked),
            "ui_thread_blocked_ms_idle": idle,
            "correction_left_to_region_shown_s": round(shown[0] - started, 2) if shown else None,
            "correction_left_to_region_learned_s": round(shown[1] - started, 2) if len(shown) > 1 else None,
            "correction_left_to_refreshed_s": refresh,
            "killed_engine_noticed_s": seconds_to_notice(widget),
            "case": "practice case, 80 x 80 x 28 voxels",
            "ui_thread_blocked_ms_large": large(widget, watched, blocked, LARGE),
            "large_case": " x ".join(map(str, LARGE)) + " voxels",
            "ui_thread_blocked_ms_largest": large(widget, watched, blocked, LARGEST),
            "largest_case": " x ".join(map(str, LARGEST)) + " voxels",
            "ui_thread_blocked_ms_long_list": long_list(widget, watched, blocked, MANY_REGIONS),
            "long_list": f"{MANY_REGIONS} regions",
        }


@contextmanager
def region_shown() -> Iterator[list[float]]:
    """When the heat map of a corrected region was renewed: before the model learned, and after, before the rest."""
    from DALESegmentLib.ui.region_preview import RegionPreview

    times: list[float] = []
    show = RegionPreview.show

    def noted(self: Any, event: dict[str, Any]) -> None:
        show(self, event)
        if event.get("values", {}).get("region") is not None:
            times.append(time.perf_counter())

    RegionPreview.show = noted
    try:
        yield times
    finally:
        RegionPreview.show = show


def start_of_slicer() -> dict[str, Any]:
    """What the module costs at each start of Slicer, in a fresh process: see start_up.py."""
    script = Path(__file__).with_name("start_up.py")
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, encoding="utf-8", check=True)
    found = json.loads(ran.stdout.splitlines()[-1])
    return {"start_of_slicer_ms": {"waited": found["waited_ms"], "computed": found["computed_ms"]}}


def keys_to_confirm(widget: Any) -> int:
    """Keys from a chosen region to the next, the first confirmed."""
    table = widget.ui.regionsTable
    click_row(table, 0)
    press(widget, "C")
    assert (table.item(0, 5).text(), table.item(table.currentRow(), 0).text()) == ("confirmed", "2")
    press(widget, "Z")
    return 1


def review_by_keys(widget: Any) -> dict[str, Any]:
    """From the list to a label that is right, without drawing: a reader who looks at the truth where a row says to, and
    nowhere else, takes what is surely wrong or, with a key more, all that is likely wrong, where that is nearer to it,
    else keeps the label. Rows below the line are left. Everything is taken back in the end."""
    import numpy as np
    import slicer

    from DALESegmentLib.engine.dale.review_rows import is_below_line
    from DALESegmentLib.mrml.practice_case import practiceLabels
    from DALESegmentLib.ui.suggested_outline import LIKELY, SURE

    truth, _drawn = practiceLabels()
    image, segmentation = widget.case
    workflow, panel = widget.logic.workflow, widget.reviewPanel
    learning, workflow.state.refreshAtOnce = workflow.state.refreshAtOnce, False
    segment = segmentation.GetSegmentation().GetNthSegmentID(0)

    def label() -> Any:
        return np.array(slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, image)) > 0

    def dice() -> float:
        now = label()
        return round(float(2 * (now & truth).sum() / (now.sum() + truth.sum())), 4)

    widget.ui.regionsTable.setCurrentCell(-1, -1)
    rows = [row for row in workflow.review.regions() if not is_below_line(row)]
    scores, pressed, seconds = [dice()], ["N"], []
    press(widget, "N")
    for _row in rows:
        region = panel.table.selected()
        wrong = [int((label() != truth).sum())]
        for panel.suggested.step in (SURE, LIKELY):
            after = panel.suggested.label(region)
            outside = (label() != truth).sum() - (label()[after.box] != truth[after.box]).sum()
            wrong.append(int(outside + ((after.label == after.value) != truth[after.box]).sum()))
        panel.suggested.step = SURE
        best = int(np.argmin(wrong))
        pressed += (["C"], ["A"], ["]", "A"])[best]
        if best == 2:
            press(widget, "BracketRight")
        started = time.perf_counter()
        press(widget, pressed[-1])
        seconds.append(time.perf_counter() - started)
        scores.append(dice())
    for _row in rows:
        press(widget, "Z")
    workflow.state.refreshAtOnce = learning
    return {
        "rows_above_the_line": len(rows),
        "rows_below": len(workflow.review.regions()) - len(rows),
        "keys": len(pressed),
        "pressed": "".join(pressed),
        "dice": scores,
        "longest_key_s": round(max(seconds, default=0.0), 3),
        "taken_back": scores[0] == dice(),
    }


def large(widget: Any, watched: Any, blocked: dict[str, Any], size: tuple[int, int, int]) -> dict[str, Any]:
    """The same steps, strokes aside, and the first A, on a volume of that size."""
    import numpy as np
    import slicer

    from DALESegmentLib.mrml.practice_case import addLargeBall

    ui, workflow = widget.ui, widget.logic.workflow
    image, segmentation = addLargeBall(size)
    quick(widget, image, segmentation)
    blocked.clear()
    for name, button in (
        ("train", ui.trainButton),
        ("heat map", ui.confidenceButton),
        ("region list", ui.regionsButton),
        ("predict", ui.predictButton),
    ):
        watched(name, lambda b=button: click(b))
    click_row(ui.regionsTable, 0)
    learning, workflow.state.refreshAtOnce = workflow.state.refreshAtOnce, False
    watched("first A", lambda: press(widget, "A"))
    press(widget, "Z")
    workflow.state.refreshAtOnce = learning
    click_row(ui.regionsTable, 0)
    watched("correction opened", lambda: press(widget, "E"))
    leave(widget)
    label = np.array(slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "ball", image))
    label[size[2] // 2, :, : size[0] // 2] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(label, segmentation, "ball", image)
    watched("correction left", lambda: enter(widget))
    return dict(blocked)


def long_list(widget: Any, watched: Any, blocked: dict[str, Any], count: int) -> dict[str, Any]:
    """A list of so many regions comes, is sorted, filtered, walked through and decided about."""
    from DALESegmentLib.mrml.practice_case import addLargeBall

    ui, workflow = widget.ui, widget.logic.workflow
    learning, workflow.state.refreshAtOnce = workflow.state.refreshAtOnce, False
    quick(widget, *addLargeBall((64, 64, 64)))
    watched("train", lambda: click(ui.trainButton))
    (Path(workflow.state.model) / "regions").write_text(str(count), encoding="utf-8")
    blocked.clear()
    watched("list", lambda: click(ui.regionsButton))
    assert ui.regionsTable.rowCount == count
    for column, name in ((3, "sort by size"), (5, "sort by state"), (0, "sort by rank")):
        watched(name, lambda at=column: click_heading(ui.regionsTable, at))
    for text in ("missing", ""):
        watched(f"filter “{text}”", lambda now=text: setattr(ui.filterEdit, "text", now))
    click_row(ui.regionsTable, 0)
    for key in "CNUZ":
        watched(f"key {key}", lambda now=key: press(widget, now))
    watched("filter open", lambda: setattr(ui.stateFilterComboBox, "currentIndex", 1))
    ui.stateFilterComboBox.currentIndex = 0
    end = ui.regionsTable.verticalScrollBar()
    watched("scroll to the end", lambda: end.setValue(end.maximum))
    workflow.state.refreshAtOnce = learning
    return dict(blocked)


def quick(widget: Any, image: Any, segmentation: Any) -> None:
    """Go on with these nodes and with an engine that answers at once."""
    from DALESegmentLib.ui.engine_process import EngineProcess

    widget.logic.workflow.engine.stop()
    widget.logic.workflow.engine = EngineProcess(arguments=[str(Path(__file__).with_name("quick_engine.py"))])
    widget.ui.imageSelector.setCurrentNode(image)
    widget.ui.segmentationSelector.setCurrentNode(segmentation)


def missed(found: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The goals that were not reached, the farthest first: by the thread's own computing, and in seconds."""
    limits = {"": 50.0, "_large": 50.0, "_largest": 100.0, "_long_list": 100.0}
    rows = {
        f"{step}, ms{size.replace('_', ', ')}": (limit, one["computed"])
        for size, limit in limits.items()
        for step, one in found[f"ui_thread_blocked_ms{size}"].items()
    }
    rows["correction left to region shown, s"] = 2.0, found["correction_left_to_region_shown_s"] or float("inf")
    rows["correction left to all refreshed, s"] = 5.0, found["correction_left_to_refreshed_s"]
    rows["keys of the practice case"] = 10, found["practice_case_by_keys"]["keys"]
    rows["start of Slicer, ms"] = 60.0, found["start_of_slicer_ms"]["computed"]
    order = sorted(rows, key=lambda name: -rows[name][1] / rows[name][0])
    return {name: {"goal": rows[name][0], "found": rows[name][1]} for name in order if rows[name][1] > rows[name][0]}


def coverage() -> dict[str, Any]:
    """Per cent of the statements of the module and its layers that their tests run."""
    sources = ("DALESegmentLib/ui", "DALESegmentLib/mrml", "DALESegment")
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "COVERAGE_FILE": str(Path(folder) / "data")}
        run = [sys.executable, "-m", "coverage"]
        tests = ["-m", "pytest", "-q", "Testing/ui", "Testing/mrml"]
        subprocess.run(
            [*run, "run", f"--source={','.join(sources)}", *tests], cwd=REPOSITORY, env=environment, check=True
        )
        report = Path(folder) / "report.json"
        subprocess.run([*run, "json", "-q", "-o", str(report)], cwd=REPOSITORY, env=environment, check=True)
        return covered(json.loads(report.read_text(encoding="utf-8")), sources)


def covered(report: dict[str, Any], sources: tuple[str, ...]) -> dict[str, Any]:
    """{folder: per cent}, and of all together, from what `coverage json` writes."""
    counts = {source: [0, 0] for source in (*sources, "all")}
    for name, file in report["files"].items():
        home = next(s for s in sources if Path(name).as_posix().startswith(f"{s}/"))
        for source in (home, "all"):
            counts[source][0] += file["summary"]["covered_lines"]
            counts[source][1] += file["summary"]["num_statements"]
    return {source: round(100 * ran / there, 1) for source, (ran, there) in counts.items() if there}


def restyle(ui: Any) -> None:
    for value in (0.2, 0.4, 0.9):
        ui.opacitySlider.value = value
        ui.thresholdSlider.value = value


def seconds_to_notice(widget: Any) -> float:
    """From its end by force to the sentence in the panel, while a training runs."""
    workflow = widget.logic.workflow
    click(widget.ui.trainButton)
    wait_until(lambda: widget.ui.progressBar.value > 1, 60)
    started = time.perf_counter()
    psutil.Process(workflow.engine.processId).kill()
    wait_until(lambda: not workflow.busy, 10)
    assert "stopped unexpectedly" in widget.ui.statusLabel.text
    return round(time.perf_counter() - started, 2)


def machine() -> dict[str, Any]:
    packages = ("torch", "monai", "slicer-core", "PySide6_Essentials")
    return {
        "system": platform.system(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": processor(),
        "load_before": [round(n, 1) for n in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def processor() -> str:
    """Its name where the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0, help="time budget of the training")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "results" / "ui.json")
    parser.add_argument("--coverage", action="store_true", help="measure the coverage by the tests as well")
    asked = parser.parse_args()
    where = machine()
    before = json.loads(asked.out.read_text(encoding="utf-8")) if asked.out.is_file() else {}
    share = coverage() if asked.coverage else before.get("statements_covered_percent")
    found = {"training_minutes": asked.minutes, **start_of_slicer(), **measure(asked.minutes)}
    found["statements_covered_percent"] = share
    command = " ".join(["python Testing/ui/measure_bars.py", *sys.argv[1:]])
    record = {"missed": missed(found), "command": command, "machine": where, **found}
    text = json.dumps(record, indent=1) + "\n"
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
