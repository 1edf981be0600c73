"""What is installed, when, and what is never touched."""

from __future__ import annotations

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


def test_constraints_hold_what_is_installed(dependencies):
    assert f"numpy=={version('numpy')}" in dependencies.constraints()
    assert any(line.startswith("torch==") for line in dependencies.constraints())


def test_an_old_slicer_says_so(dependencies, requirements):
    from DALESegmentLib.engine.errors import EngineError

    with pytest.raises(EngineError) as caught:
        dependencies.ensureInstalled(requirements("no-such-package>=1"))
    assert caught.value.code == "packages-missing"
    assert "no-such-package>=1" in caught.value.sentence


def test_installing_goes_through_slicer_with_constraints(dependencies, requirements, monkeypatch):
    import slicer

    asked = {}

    class Packaging:
        @staticmethod
        def pip_ensure(wanted, constraints, requester):
            asked.update(wanted=wanted, constraints=Path(constraints).read_text(), requester=requester)

    monkeypatch.setattr(slicer, "packaging", Packaging, raising=False)
    assert dependencies.ensureInstalled(requirements("no-such-package>=1", "numpy")) is True
    assert asked["wanted"] == ["no-such-package>=1"]
    assert f"numpy=={version('numpy')}" in asked["constraints"]
    assert asked["requester"] == "DALESegment"


def test_a_refusal_is_a_sentence(dependencies, requirements, monkeypatch):
    import slicer

    from DALESegmentLib.engine.errors import EngineError

    class Packaging:
        @staticmethod
        def pip_ensure(wanted, constraints, requester):
            raise RuntimeError("User declined package installation")

    monkeypatch.setattr(slicer, "packaging", Packaging, raising=False)
    with pytest.raises(EngineError) as caught:
        dependencies.ensureInstalled(requirements("no-such-package>=1"))
    assert caught.value.code == "install-failed"


def test_without_torch_the_extension_is_named(dependencies, requirements, monkeypatch):
    from DALESegmentLib.engine.errors import EngineError

    installed = dependencies.installedVersion
    monkeypatch.setattr(dependencies, "installedVersion", lambda name: None if name == "torch" else installed(name))
    with pytest.raises(EngineError) as caught:
        dependencies.ensureInstalled(requirements("numpy"))
    assert caught.value.code == "torch-missing"
    assert "PyTorch extension" in caught.value.sentence
