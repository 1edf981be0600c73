"""`python -m DALESegmentLib.demo`: the whole job once, on a real image, into one folder."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from ..engine.cli.run import write_any_name
from ..engine.core.errors import EngineError
from ..engine.rpc.client import EngineClient
from .data_brain import brain_data
from .data_folder import folder_data
from .demonstration import EXPECTED, Demonstration, Effort
from .output_folder import output_folder
from .progress_printer import ProgressPrinter
from .report import write_report
from .scene import write_scene
from .tables import as_markdown, as_text, results


def main(arguments: list[str] | None = None) -> int:
    asked = _arguments(arguments)
    write_any_name()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the record of what was written is kept
    try:
        with output_folder(asked.out):
            run(asked.out, asked.data, asked.image, asked.seed, Effort())
    except EngineError as error:
        print(f"Error: {error.sentence}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; what was finished lies in the output folder.", file=sys.stderr)
        return 130
    return 0


def run(out: Path, source: Path | None, image: str | None, seed: int, effort: Effort) -> None:
    """Run the demonstration into an empty folder. source: a folder of cases, None for the image that comes along."""
    report = ProgressPrinter(EXPECTED)
    report.step("data", "Laying out the images")
    folder = out / "data"
    data = brain_data(folder, seed) if source is None else folder_data(source, folder, seed, image)
    data.describe()
    for note in data.notes:
        print(f"       {note}", flush=True)
    with EngineClient() as engine:
        done = Demonstration(data, out, seed, engine, report, effort).run()
    report.end()
    found = results(data, done, seed, report.seconds)
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (out / "results.json").write_text(text, encoding="utf-8", newline="\n")
    (out / "results.md").write_text(as_markdown(found), encoding="utf-8", newline="\n")
    report.step("pictures", "Drawing the report and the scene")
    write_report(data, done, found, out)
    write_scene(data, done, out, report)
    print(f"\n{as_text(found)}\n", flush=True)
    report(f"Done. Everything lies in {out}; open report.png first, and scene.mrb in 3D Slicer.")


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m DALESegmentLib.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-output"), help="folder for all results")
    parser.add_argument(
        "--data", type=Path, help="a folder of cases of your own, instead of the image that comes along"
    )
    parser.add_argument("--image", help="names of its image files, one a channel, where they are not plain to see")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
