"""What the module costs at each start of Slicer, and that its first visit needs no more than Slicer brings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FIRST_VISIT = """
import sys
sys.path[:0] = sys.argv[1:3]
for name in sys.argv[3].split(","):
    sys.modules[name] = None
import standin, tempfile
from pathlib import Path
standin.install(Path(tempfile.mkdtemp()))
import slicer
from slicer_window import close, open_module
widget = open_module()
assert widget.ui.trainButton.text
print("status:", widget.ui.statusLabel.text)
close(widget)
assert not standin.slot_errors, standin.slot_errors
"""
RELOADED = """
import sys, tempfile
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
import standin
standin.install(Path(tempfile.mkdtemp()))
import slicer
from slicer_window import click, close, open_module

def library():
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] == "DALESegmentLib"}

widget = open_module()
before = library()
widget.onReload()
again = slicer.modules.DALESegmentWidget
assert type(again) is sys.modules["DALESegment"].DALESegmentWidget is not type(widget)
for name in ("DALESegmentLib.ui.workflow", "DALESegmentLib.mrml.volumes"):
    assert library()[name] is not before[name]
assert again.ui.trainButton.text
again.window, again.dock = widget.window, widget.dock
close(again)
assert not standin.slot_errors, standin.slot_errors
print("reloaded")
"""
NOT_IN_SLICER = "torch,monai,skimage,sklearn,nibabel,einops,safetensors,pydantic,typer,rich,psutil,filelock"


def printed(*arguments: str) -> str:
    ran = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, encoding="utf-8")
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def start_up():
    return json.loads(printed(str(HERE / "start_up.py")).splitlines()[-1])


@pytest.mark.slow
def test_the_start_imports_nothing_but_the_module_and_its_entry_in_sample_data(start_up):
    allowed = {"DALESegment", "DALESegmentLib", "DALESegmentLib.ui", "DALESegmentLib.ui.sample_data"}
    assert set(start_up["imported"]) <= allowed
    assert "DALESegment" in start_up["imported"]


@pytest.mark.slow
def test_the_start_takes_at_most_60_ms_of_the_processor(start_up):
    assert start_up["computed_ms"] <= 60


@pytest.mark.slow
def test_the_panel_opens_where_slicer_has_none_of_the_engines_packages():
    """It has to: its first step is what installs them."""
    folders = (str(HERE), str(HERE.parents[1] / "DALESegment"))
    assert "status:" in printed("-c", FIRST_VISIT, *folders, NOT_IN_SLICER)


@pytest.mark.slow
def test_a_reload_brings_a_fresh_library():
    """It is imported in functions, so that none of its old classes stays behind in the module."""
    assert "reloaded" in printed("-c", RELOADED, str(HERE), str(HERE.parents[1] / "DALESegment"))


@pytest.mark.slow
def test_a_script_finds_the_parameter_node_in_the_module(desktop):
    import DALESegment
    from DALESegmentLib.ui import parameter_node

    assert DALESegment.DALESegmentParameterNode is parameter_node.DALESegmentParameterNode
    assert DALESegment.TrainingMethod.plain.value == "plain"
    with pytest.raises(AttributeError, match="no attribute 'Workflow'"):
        DALESegment.Workflow


def test_a_library_that_is_not_installed_lies_beside_the_module(desktop, monkeypatch, tmp_path):
    """As in a checkout that Slicer was given as an additional module path."""
    import DALESegment

    module = tmp_path / "checkout" / "DALESegment" / "DALESegment.py"
    monkeypatch.setattr(DALESegment, "__file__", str(module))
    monkeypatch.setattr(sys, "path", list(sys.path))
    DALESegment.findLibrary()
    assert str(tmp_path / "checkout") not in sys.path
    monkeypatch.setattr(DALESegment.importlib.util, "find_spec", lambda name: None)
    DALESegment.findLibrary()
    assert sys.path[0] == str((tmp_path / "checkout").resolve())
