"""What is installed in Slicer, what the doctor looks for and what the engine imports are the same packages."""

from __future__ import annotations

import re
import sys

from DALESegmentLib.engine.commands.doctor import PACKAGES
from Testing.structure import LIBRARY, REPOSITORY, files, imports

IN_SLICER = {"numpy", "scipy", "SimpleITK", "vtk", "requests", "pydicom", "packaging"}
"""Of what Slicer's own Python brings; scikit-image, psutil, pydantic and nibabel are not of it."""
OF_THE_PYTORCH_EXTENSION = {"torch"}
OPTIONAL = {"yaml", "dynamic_network_architectures", "openvino", "onnxruntime", "submitit", "mlflow"}
"""For models of other programs, speed, jobs of a cluster and logs; where one is missing, a sentence says what to
install."""
DISTRIBUTIONS = {"skimage": "scikit-image", "sklearn": "scikit-learn", "PIL": "pillow"}
"""Where it is not called as its module."""


def oldest(lines: list[str]) -> dict[str, str]:
    """{distribution: oldest version} of requirement lines."""
    found = (re.fullmatch(r"([\w.-]+)>=([\d.]+)", line.split("#")[0].strip()) for line in lines)
    return {match[1]: match[2] for match in found if match}


def in_requirements() -> dict[str, str]:
    return oldest((REPOSITORY / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines())


def in_project() -> dict[str, str]:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    return oldest(re.findall(r'^ *"([^"]+)"', block[1], re.MULTILINE))


def test_what_the_engine_imports_is_there_in_slicer():
    there = set(in_requirements()) | IN_SLICER | OF_THE_PYTORCH_EXTENSION | OPTIONAL
    wrong = [
        f"{file.relative_to(REPOSITORY)} imports {module}"
        for file in files("engine")
        if not file.is_relative_to(LIBRARY / "engine" / "cli")  # not used there
        for module in sorted({name.split(".")[0] for name in imports(file)})
        if module not in sys.stdlib_module_names and module != "DALESegmentLib"
        if DISTRIBUTIONS.get(module, module) not in there
    ]
    assert not wrong, "\n".join(wrong)


def test_the_doctor_looks_for_what_slicer_installs():
    wanted = in_requirements()
    assert wanted.items() <= PACKAGES.items()
    assert set(PACKAGES) - set(wanted) <= IN_SLICER | OF_THE_PYTORCH_EXTENSION


def test_the_doctor_looks_for_what_pip_installs():
    assert PACKAGES.items() <= in_project().items()
