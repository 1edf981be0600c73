"""What is installed, when, and what is never touched."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "Resources" / "requirements.txt"


@pytest.fixture
def dependencies(desktop):
    from DALESegmentLib.ui import dependencies

    return dependencies


@pytest.fixture
def requirements(tmp_path):
    def write(*lines: str) -> Path:
        file = tmp_path / "requirements.txt"
        file.write_text("\n".join(["# a comment", "", *lines]))
        return file

    return write


def test_what_is_there_is_not_missing(dependencies, requirements):
    file = requirements("numpy>=1.24  # a comment", "SimpleITK", "no-such-package>=1", "numpy>=999.0")
    assert dependencies.missingRequirements(file) == ["no-such-package>=1", "numpy>=999.0"]


def test_nothing_is_installed_where_all_is_there(dependencies):
    assert dependencies.ensureInstalled(REQUIREMENTS) is False


def test_the_file_names_nothing_that_slicer_brings(dependencies):
    lines = [line.split("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines()]
    names = {line.split(">=")[0].lower() for line in lines if line}
    assert not names & {name.lower() for name in dependencies.KEPT}
    assert not any("==" in line for line in lines)


def test_what_the_doctor_checks_is_installed_or_kept(dependencies):
    from DALESegmentLib.engine.commands.doctor import PACKAGES

    listed = {re.match(r"[\w.-]+", line)[0] for line in REQUIREMENTS.read_text().splitlines() if line[:1] != "#"}
    assert set(PACKAGES) == listed | (set(dependencies.KEPT) - {"torchvision"})  # which the engine does not use


def test_constraints_hold_what_is_installed(dependencies):
    assert f"numpy=={version('numpy')}" in dependencies.constraints()
    assert any(line.startswith("torch==") for line in dependencies.constraints())


@pytest.fixture
def clinician(monkeypatch, desktop):
    """Somebody sits at Slicer and agrees to what it asks; what was asked is kept."""
    import slicer

    asked = []

    def ask(text, windowTitle=None, parent=None, **keywords):
        asked.append(keywords["detailedText"])
        return True

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", ask)
    return asked


@pytest.fixture
def packaging(monkeypatch):
    """slicer.packaging of Slicer 5.12; as there, `import slicer` alone does not bring it."""
    import types

    calls = []
    module = types.ModuleType("slicer.packaging")
    module.pip_ensure = lambda wanted, constraints, prompt_install, requester: calls.append(
        (wanted, Path(constraints).read_text(encoding="utf-8"), prompt_install, requester)
    )
    monkeypatch.setitem(sys.modules, "slicer.packaging", module)
    return calls


def problem_of(call) -> tuple[str, str]:
    from DALESegmentLib.engine.core.errors import EngineError

    with pytest.raises(EngineError) as caught:
        call()
    return caught.value.code, caught.value.sentence


def test_checking_when_idle_leaves_nothing_to_check(dependencies, monkeypatch):
    from slicer_window import wait_until

    monkeypatch.setattr(dependencies, "_found", set())
    dependencies.checkWhenIdle(REQUIREMENTS)
    assert not dependencies._found, "not at once: the panel is being opened"
    wanted = {line.split("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines()} - {""}
    assert wait_until(lambda: dependencies._found == wanted, 10)

    def looks(name):
        raise AssertionError(f"{name} was looked for again")

    monkeypatch.setattr(dependencies, "installedVersion", looks)
    assert dependencies.missingRequirements(REQUIREMENTS) == []


def test_what_is_missing_is_checked_every_time(dependencies, requirements):
    file = requirements("no-such-package>=1", "numpy>=999.0")
    assert dependencies.missingRequirements(file) == dependencies.missingRequirements(file) != []


def test_installing_goes_through_slicer_with_constraints(dependencies, requirements, clinician, packaging, monkeypatch):
    file = requirements("no-such-package>=1", "numpy")
    satisfied = dependencies._satisfied
    monkeypatch.setattr(dependencies, "_satisfied", lambda line: bool(packaging) or satisfied(line))
    assert dependencies.ensureInstalled(file) is True
    ((wanted, constraints, prompt, requester),) = packaging
    assert wanted == ["no-such-package>=1"]
    assert f"numpy=={version('numpy')}" in constraints
    assert (prompt, requester) == (False, "DALESegment")
    assert clinician == ["no-such-package>=1"], "asked once, by us"


def test_slicer_5_10_installs_through_slicer_util(dependencies, requirements, clinician, monkeypatch):
    import slicer

    calls = []
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)  # an import of it fails
    monkeypatch.setattr(slicer.util, "pip_install", lambda arguments: calls.append(arguments))
    code, _sentence = problem_of(lambda: dependencies.ensureInstalled(requirements("no-such-package>=1")))
    assert code == "install-failed", "pip was silent, and the package is still not there"
    ((option, _file, *wanted),) = calls
    assert (option, wanted) == ("-c", ["no-such-package>=1"])


def test_who_declines_gets_a_list_of_what_is_missing(dependencies, requirements, clinician, packaging, monkeypatch):
    import slicer

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *a, **k: False)
    code, sentence = problem_of(lambda: dependencies.ensureInstalled(requirements("no-such-package>=1")))
    assert code == "declined"
    assert "no-such-package>=1" in sentence
    assert not packaging


def test_a_slicer_under_test_is_not_changed(dependencies, requirements, packaging):
    import slicer

    slicer.app.testing = True
    code, _sentence = problem_of(lambda: dependencies.ensureInstalled(requirements("no-such-package>=1")))
    assert code == "packages-missing"
    assert not packaging


def test_a_failed_installation_is_a_sentence(dependencies, requirements, clinician, packaging, monkeypatch):
    def fail(*arguments, **keywords):
        raise OSError("no route to host")

    monkeypatch.setattr(sys.modules["slicer.packaging"], "pip_ensure", fail)
    code, sentence = problem_of(lambda: dependencies.ensureInstalled(requirements("no-such-package>=1")))
    assert code == "install-failed"
    assert "no route to host" in sentence


def test_without_torch_the_extension_is_named(dependencies, requirements, monkeypatch):
    from DALESegmentLib.engine.core.errors import EngineError

    installed = dependencies.installedVersion
    monkeypatch.setattr(dependencies, "installedVersion", lambda name: None if name == "torch" else installed(name))
    with pytest.raises(EngineError) as caught:
        dependencies.ensureInstalled(requirements("numpy"))
    assert caught.value.code == "torch-missing"
    assert "PyTorch extension" in caught.value.sentence


def test_the_question_names_sizes_and_where_from(dependencies, requirements, monkeypatch, packaging):
    import slicer

    asked = []
    monkeypatch.setattr(
        slicer.util,
        "confirmOkCancelDisplay",
        lambda text, windowTitle, detailedText: asked.append((text, detailedText)),
    )
    code, _sentence = problem_of(lambda: dependencies.ensureInstalled(requirements("no-such-package>=1  # about 9 MB")))
    assert code == "declined"
    ((text, details),) = asked
    assert "1 Python packages" in text
    assert "from the internet" in text
    assert details == "no-such-package>=1 (about 9 MB)"


def test_every_package_has_a_size(dependencies):
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if line[:1] not in ("#", "")]
    described = dependencies.describe([line.split("#")[0].strip() for line in lines], REQUIREMENTS)
    assert described
    assert all(re.search(r"\(about \d+ MB\)$", line) for line in described)


@pytest.mark.slow
def test_offline_it_installs_from_a_folder_of_wheels(dependencies, tmp_path, requirements, clinician, monkeypatch):
    """pip itself, on a wheel made here: no index is asked, and the package is there afterwards."""
    import subprocess
    import zipfile

    import slicer

    wheels, target = tmp_path / "wheels", tmp_path / "site"
    wheels.mkdir()
    info = "dale_offline_probe-1.0.dist-info"
    with zipfile.ZipFile(wheels / "dale_offline_probe-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("dale_offline_probe.py", "")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: dale-offline-probe\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")

    def pip_install(arguments):
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), *arguments]
        subprocess.run(command, check=True, capture_output=True)

    monkeypatch.setattr(slicer.util, "pip_install", pip_install)
    monkeypatch.setenv("DALESEGMENT_WHEELS", str(wheels))
    monkeypatch.syspath_prepend(str(target))
    assert dependencies.ensureInstalled(requirements("dale-offline-probe>=1")) is True
    assert (target / "dale_offline_probe.py").is_file()


def test_a_wheel_that_is_not_in_the_folder_is_named(dependencies, tmp_path, requirements, clinician, monkeypatch):
    import slicer

    def fail(arguments):
        assert arguments[:3] == ["--no-index", "--find-links", str(tmp_path)]
        raise RuntimeError("no matching distribution")

    monkeypatch.setattr(slicer.util, "pip_install", fail)
    monkeypatch.setenv("DALESEGMENT_WHEELS", str(tmp_path))
    code, sentence = problem_of(lambda: dependencies.ensureInstalled(requirements("no-such-package>=1")))
    assert code == "install-failed"
    assert f"put the missing wheels into “{tmp_path}”" in sentence


def test_checking_installs_nothing_and_lists_what_is_missing(dependencies, requirements, packaging, monkeypatch):
    installed = dependencies.installedVersion
    monkeypatch.setattr(dependencies, "installedVersion", lambda name: None if name == "torch" else installed(name))
    lines = dependencies.missingSentences(requirements("no-such-package>=1  # about 9 MB", "numpy"))
    assert "PyTorch is missing" in lines[0]
    assert lines[-1].strip() == "no-such-package>=1 (about 9 MB)"
    assert not packaging
    assert dependencies.missingSentences(requirements("numpy")) == lines[:1]


def test_with_the_extension_torch_itself_comes_with_the_first_step(dependencies, requirements, monkeypatch):
    import types

    installed, here = dependencies.installedVersion, types.ModuleType("PyTorchUtils")
    here.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "PyTorchUtils", here)
    monkeypatch.setattr(dependencies, "installedVersion", lambda name: None if name == "torch" else installed(name))
    assert dependencies.missingSentences(requirements("numpy")) == [dependencies.TORCH_COMES]
