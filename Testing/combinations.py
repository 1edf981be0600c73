"""Run the engine's tests on each combination of Python and MONAI that this machine can install:

    python -m Testing.combinations --python 3.10 3.11 3.12 --monai 1.4 1.5 1.6

Each gets an environment of its own in a temporary folder (gigabytes, minutes). What is not there or cannot be installed
is said to be so, and counts for nothing. docs/reliability.md says which were really run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> int:
    given = _arguments()
    results = {
        (python, monai): _run(python, monai, given.tests, given.extra_index_url)
        for python in given.python
        for monai in given.monai
    }
    print("\n| Python | MONAI | tests |\n|---|---|---|")
    for (python, monai), result in results.items():
        print(f"| {python} | {monai} | {result} |")
    return int(any(result.startswith("failed") for result in results.values()))


def _run(python: str, monai: str, tests: list[str], index: str | None) -> str:
    program = shutil.which(f"python{python}")
    if program is None or subprocess.run([program, "--version"], capture_output=True, check=False).returncode:
        return "this Python is not installed here"
    with tempfile.TemporaryDirectory() as folder:
        print(f"== Python {python}, MONAI {monai}", flush=True)
        subprocess.run([program, "-m", "venv", folder], check=True)
        inside = str(Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python")
        wanted = [f"monai=={monai}.*", "-e", f"{REPOSITORY}[bundle,test]"]
        options = ["-c", str(REPOSITORY / "constraints-cpu.txt"), *(["--extra-index-url", index] if index else [])]
        installed = subprocess.run([inside, "-m", "pip", "install", "--quiet", *options, *wanted], check=False)
        if installed.returncode:
            return "cannot be installed here"
        done = subprocess.run(
            [inside, "-m", "pytest", "-q", *tests],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            encoding="utf-8",
            check=False,
        )
        last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "nothing said"
        return last if done.returncode == 0 else f"failed: {last}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m Testing.combinations", description=__doc__)
    parser.add_argument("--python", nargs="+", default=["3.10", "3.11", "3.12"])
    parser.add_argument("--monai", nargs="+", default=["1.4", "1.5", "1.6"])
    parser.add_argument("--tests", nargs="+", default=["Testing/engine", "Testing/reliability"])
    parser.add_argument("--extra-index-url", help="where PyTorch's CPU releases are to be had")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
