"""Write into Resources/requirements.txt how much each package takes on disk, with what it brings along.

    python Testing/slicer/write_sizes.py

Measured in this environment, in which all of them are installed; what Slicer and the PyTorch extension bring is not
counted, since it is there already.
"""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[2] / "Resources" / "requirements.txt"
THERE = {"numpy", "simpleitk", "torch", "torchvision", "packaging", "typing_extensions", "pillow"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def brought_along(package: str, seen: set[str]) -> set[str]:
    """The package and all it needs, without what is there already and without optional extras."""
    name = canonical(package)
    if name in seen or name in {canonical(n) for n in THERE}:
        return seen
    seen.add(name)
    for line in importlib.metadata.requires(package) or []:
        if "extra ==" not in line:
            needed = re.match(r"[\w.-]+", line)[0]
            try:
                importlib.metadata.version(needed)
            except importlib.metadata.PackageNotFoundError:
                continue  # for another system
            brought_along(needed, seen)
    return seen


def megabytes(package: str) -> float:
    files = importlib.metadata.files(package) or []
    return sum(f.size or 0 for f in files) / 1e6


def main() -> None:
    lines, counted = [], set()
    for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines():
        requirement = line.split("#")[0].strip()
        if not requirement:
            lines.append(line)
            continue
        names = brought_along(re.match(r"[\w.-]+", requirement)[0], set()) - counted
        counted |= names
        lines.append(f"{requirement}  # about {max(1, round(sum(map(megabytes, names))))} MB")
    REQUIREMENTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
