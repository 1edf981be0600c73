"""Nobody's files are removed but those an earlier demonstration wrote."""

from __future__ import annotations

import pytest

from DALESegmentLib.demo.__main__ import main
from DALESegmentLib.demo.output_folder import output_folder
from DALESegmentLib.engine.core.errors import EngineError


def a_demonstration(out, name="data/case/image.txt"):
    with output_folder(out):
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text("made")


def test_what_an_earlier_demonstration_wrote_is_replaced(tmp_path):
    out = tmp_path / "out"
    a_demonstration(out)
    a_demonstration(out, "other/new.txt")
    assert [p.name for p in out.rglob("*.txt")] == ["new.txt"]
    assert not (out / "data").exists()


@pytest.mark.parametrize("place", ["mine.txt", "data/case/mine.txt"])
def test_a_file_of_someone_else_is_kept_and_named(tmp_path, place):
    out = tmp_path / "out"
    a_demonstration(out)
    (out / place).write_text("precious")
    with pytest.raises(EngineError, match=r"mine\.txt") as caught, output_folder(out):
        pass
    assert caught.value.code == "folder-not-empty"
    assert (out / place).read_text() == "precious"
    assert (out / "data/case/image.txt").read_text() == "made"


def test_a_folder_that_was_never_ours_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(EngineError), output_folder(tmp_path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def fails_half_way(out):
    with output_folder(out):
        (out / "half.txt").write_text("made")
        raise KeyboardInterrupt


def test_a_demonstration_that_was_stopped_can_be_replaced(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        fails_half_way(out)
    a_demonstration(out)
    assert not (out / "half.txt").exists()


def test_a_mistake_is_one_sentence_and_exit_code_1(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("precious")
    assert main(["--out", str(tmp_path)]) == 1
    assert main(["--out", str(tmp_path / "new"), "--data", str(tmp_path / "absent")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("Error: ") and line.endswith(".") for line in lines)
