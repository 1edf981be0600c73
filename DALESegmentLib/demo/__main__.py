"""`python -m DALESegmentLib.demo`: the whole job once, on a real image, into one folder."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np

from DALESegmentLib.engine.cases.case_files import read_case
from DALESegmentLib.engine.cases.source import CaseSource
from DALESegmentLib.engine.errors import EngineError
from DALESegmentLib.engine.process.client import EngineClient

from .data import DemoData
from .data_brain import brain_data
from .data_folder import folder_data
from .report import ReportCase, write_report
from .rounds import Demonstration, Rounds, Say
from .scene import write_scene
from .tables import as_markdown, as_text, held_out_rows, label_rows, results

MARK = ".made-by-dalesegment-demo"


def main() -> int:
    asked = _arguments()
    started = time.monotonic()

    def say(sentence: str) -> None:
        print(f"[{time.monotonic() - started:4.0f} s] {sentence}", flush=True)

    try:
        _prepare_folder(asked.out)
        _play(asked, say, started)
    except EngineError as error:
        print(f"Error: {error.sentence}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; what was finished lies in the output folder.", file=sys.stderr)
        return 130
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m DALESegmentLib.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-output"), help="folder for all results")
    parser.add_argument("--data", type=Path, help="a folder of your own cases instead of the image that comes along")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _prepare_folder(out: Path) -> None:
    """A new folder, or one of our own, which is emptied; nobody else's is touched."""
    try:
        if out.is_dir() and any(out.iterdir()):
            if not (out / MARK).exists():
                raise EngineError(
                    "folder-not-empty", f"{out.name} holds other files; name an empty or a new folder with --out."
                )
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).write_text("This folder is emptied by the next demonstration.\n")
    except OSError as error:
        raise EngineError("cannot-write", f"{out.name} cannot be written to ({error.strerror}).") from error


def _play(asked: argparse.Namespace, say: Say, started: float) -> None:
    say("Laying out the images")
    if asked.data is None:
        data = brain_data(asked.out / "data", asked.seed)
    else:
        data = folder_data(asked.data, asked.out / "data", asked.seed)
    data.describe()
    for note in data.notes:
        print(f"         {note}", flush=True)
    with EngineClient() as engine:
        demonstration = Demonstration(data, asked.out, asked.seed, engine, say)
        done = demonstration.play()
        prediction = _on_worst_case(data, done, asked.out, engine)
    found = results(data, done, asked.seed, time.monotonic() - started)
    (asked.out / "results.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (asked.out / "results.md").write_text(as_markdown(found), encoding="utf-8")
    say("Drawing the report and the scene")
    write_report(data, done, found, asked.out, prediction)
    if done.regions:
        case = ReportCase(data, asked.out, done.regions[0].case)
        case.prediction = prediction
        write_scene(data, done, case, asked.out, say)
    print(f"\n{as_text(held_out_rows(found))}\n\n{as_text(label_rows(found))}\n")
    say(f"Done. Everything lies in {asked.out}; open report.png first, and scene.mrb in 3D Slicer.")


def _on_worst_case(data: DemoData, done: Rounds, out: Path, engine: EngineClient) -> np.ndarray | None:
    """DALE's segmentation (*grid) of the case with the first region."""
    if not done.regions:
        return None
    cases = {"items": data.items([done.regions[0].case])}
    asked = {"model": done.models["dale"], "cases": cases, "out": str(out / "predictions" / "dale")}
    path = Path(engine.call("predict", asked)["items"][0]["segmentation"])
    return read_case(CaseSource(path.name, images=(path,))).image[0].astype(int)


if __name__ == "__main__":
    sys.exit(main())
