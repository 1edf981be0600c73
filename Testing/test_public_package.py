"""What `import dalesegment` gives, what it needs, and that an installed wheel brings it with its types."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

import dalesegment
from DALESegmentLib.engine import dale
from Testing.structure import LIBRARY, REPOSITORY

WITHOUT = """
import sys

BLOCKED = {"pydantic", "SimpleITK", "sklearn", "monai", "scipy", "skimage", "nibabel", "psutil", "filelock", "einops"}


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
"""
ARRAYS = """
import numpy as np
labels = np.zeros((6, 7), int)
labels[2:4, 2:5] = 1
p = np.where(labels == 1, 0.8, 0.1)
probs = np.stack([1 - p, p])
"""


SEARCHED = f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}, {str(LIBRARY / 'public')!r}]"


def run(*lines: str) -> str:
    """What these lines print in a process of their own."""
    return ran([sys.executable, "-c", "\n".join((SEARCHED, *lines))], REPOSITORY)


def ran(command: list[str], folder: Path) -> str:
    """Nothing but the interpreter's own packages is found."""
    others = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=folder, env=others, timeout=280)
    assert done.returncode == 0 or "mypy" in command, done.stderr
    return done.stdout


def test_every_public_name_is_there():
    assert set(dalesegment.__all__) == {*dale.__all__, "__version__"}
    for name in dalesegment.__all__:
        assert getattr(dalesegment, name) is getattr(dale if name != "__version__" else dalesegment, name)
    assert set(dalesegment.__all__) <= set(dir(dalesegment))
    with pytest.raises(AttributeError, match="has no attribute 'label_qualities'"):
        _ = dalesegment.label_qualities


def test_importing_it_loads_no_other_package():
    loaded = run("import dalesegment, sys; print(*{name.partition('.')[0] for name in sys.modules})").split()
    assert not {"torch", "numpy", "scipy", "pydantic", "monai", "SimpleITK", "sklearn"} & set(loaded)


def test_quality_and_loss_need_torch_and_numpy_alone():
    told = run(
        WITHOUT,
        ARRAYS,
        "import torch, dalesegment",
        "quality = dalesegment.label_quality(labels, probs, distance_prior=False)",
        "assert quality.shape == labels.shape and abs(quality[3, 3] - 0.8202) < 1e-4",
        "memory = dalesegment.LabelMemory()",
        "memory.add('case', labels)",
        "correctors = dalesegment.label_correctors(memory, 2, dalesegment.DaleConfig())",
        "memory.refine(correctors, lambda name: probs)",
        "loss = dalesegment.DaleLoss(2)",
        "loss.update_thresholds(memory)",
        "logits = torch.zeros(1, 2, 6, 7, requires_grad=True)",
        "loss(logits, memory.at(['case']), progress=0.9).backward()",
        "assert bool(memory['case'].seen.all())",
        "dalesegment.CalibrationError().update(quality, labels, labels)",
        "print(float(logits.grad.abs().sum()) > 0, BLOCKED & set(sys.modules))",
    )
    assert told.split() == ["True", "set()"]


@pytest.mark.parametrize(
    ("call", "package"),
    [
        ("dalesegment.label_quality(labels, probs)", "scipy"),
        ("dalesegment.find_label_issues(labels, probs, spacing=(1, 1))", "scipy"),
        ("metric.update(probs[1], labels, labels != (np.arange(7) == 0)); metric.compute()", "scikit-learn"),
        (
            "dalesegment.LabelErrorAUROC(within_mm=1).update(probs[1], labels, labels, spacing=(1, 1))",
            "SimpleITK",
        ),
    ],
)
def test_what_needs_more_says_so(call, package):
    told = run(
        WITHOUT,
        ARRAYS,
        "import dalesegment",
        "metric = dalesegment.LabelErrorAUROC()",
        f"try: {call}",
        "except ImportError as error: print(error)",
    )
    assert f"needs the Python package {package}; install it with pip install {package}." in told


@pytest.mark.slow
@pytest.mark.skipif(not all(map(find_spec, ("pip", "setuptools"))), reason="building a wheel needs pip and setuptools")
def test_an_installed_wheel_has_the_package_and_its_types(tmp_path):
    """In an environment of its own, which borrows other packages from this one."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("DALESegmentLib", "pyproject.toml", "README.md", "LICENSE"):  # a build writes beside its sources
        (source / name).symlink_to(REPOSITORY / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    ran([*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(tmp_path), str(source)], tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=False)
    python = str(tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    site = Path(ran([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], tmp_path).strip())
    ran([*pip, "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)], tmp_path)
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")

    where = "import dalesegment as d, DALESegmentLib as e; d.label_quality; print(d.__file__, e.__file__, sep='\\n')"
    found = [Path(line) for line in ran([python, "-c", where], tmp_path).splitlines()]
    assert [file.parent for file in found] == [site / "dalesegment", site / "DALESegmentLib"]

    (tmp_path / "use.py").write_text(
        "import dalesegment\n"
        "from dalesegment import find_label_issues, label_quality\n"
        "reveal_type(label_quality)\n"
        "reveal_type(find_label_issues([[0]], [[[1.0]]], spacing=(1.0, 1.0))[0].volume_mm3)\n"
        "dalesegment.DaleConfig(memories=1)\n",
        encoding="utf-8",
    )
    mypy = [sys.executable, "-m", "mypy", "--config-file", "", "--cache-dir", str(tmp_path / "cache")]
    seen = ran([*mypy, "--python-executable", python, "use.py"], tmp_path)
    assert "distance_prior: bool =" in seen
    assert 'Revealed type is "float"' in seen or 'Revealed type is "builtins.float"' in seen
    assert 'Unexpected keyword argument "memories" for "DaleConfig"' in seen
    assert seen.count("error:") == 1, seen
