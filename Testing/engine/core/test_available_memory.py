"""What a container, a cluster or a shell allows counts as the memory there is, as far as it is less."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from DALESegmentLib.engine.core.memory import UNKNOWN, available_memory, memory

MB = 1 << 20


@pytest.fixture
def system(tmp_path):
    """Writes the system's files below a folder, and gives that folder."""

    def write(files: dict[str, str | int]) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"{text}\n")
        return tmp_path

    return write


def v2(group: str, limit: str | int, used: int, droppable: int = 0) -> dict[str, str | int]:
    folder = f"sys/fs/cgroup{group}"
    return {
        f"{folder}/memory.max": limit,
        f"{folder}/memory.current": used,
        f"{folder}/memory.stat": f"anon 5\nfile 7\nworkingset_inactive_file 11\ninactive_file {droppable}",
    }


def v1(group: str, limit: int, used: int, droppable: int = 0) -> dict[str, str | int]:
    folder = f"sys/fs/cgroup/memory{group}"
    return {
        f"{folder}/memory.limit_in_bytes": limit,
        f"{folder}/memory.usage_in_bytes": used,
        f"{folder}/memory.stat": f"cache 5\ninactive_file 3\ntotal_inactive_file {droppable}",
    }


def test_a_container_of_version_2(system):
    root = system({"proc/self/cgroup": "0::/", **v2("", 900 * MB, 500 * MB, droppable=100 * MB)})
    assert memory(root, {}) == (500 * MB, 900 * MB)
    assert available_memory(root, {}) == 500 * MB


def test_a_container_of_version_1(system):
    groups = "3:cpu,cpuacct:/\n4:memory:/docker/7f\n0::/\n"
    root = system({"proc/self/cgroup": groups, **v1("", 900 * MB, 500 * MB, droppable=100 * MB)})
    assert memory(root, {}) == (500 * MB, 900 * MB)


@pytest.mark.parametrize(("controllers", "files"), [("0:", v2), ("4:memory", v1)])
def test_a_group_above_counts_where_it_has_less(controllers, files, system):
    limits = {**files("", 1 << 62, 1), **files("/job", 700 * MB, 500 * MB), **files("/job/step", 600 * MB, 50 * MB)}
    root = system({"proc/self/cgroup": f"{controllers}:/job/step", **limits})
    assert memory(root, {}) == (200 * MB, 600 * MB)


def test_no_limit_is_none(system):
    root = system({"proc/self/cgroup": "0::/user", **v2("/user", "max", 5 * MB)})
    assert memory(root, {}).total == memory(root / "nothing", {}).total == psutil.virtual_memory().total


def test_a_group_that_is_full_has_nothing_left(system):
    root = system({"proc/self/cgroup": "0::/", **v2("", 100 * MB, 120 * MB)})
    assert available_memory(root, {}) == 0


@pytest.mark.parametrize("text", ["", "0", "::::", "0::/../../outside", "0::/gone", "\x00", "4:memory"])
def test_what_makes_no_sense_is_no_limit(text, system):
    root = system({"proc/self/cgroup": text, "sys/fs/cgroup/memory.max": "many", "sys/fs/cgroup/memory.current": "7"})
    assert memory(root, {}).total == psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("environment", "megabytes"),
    [
        ({"SLURM_MEM_PER_NODE": "6000"}, 6000),
        ({"SLURM_MEM_PER_CPU": "1500", "SLURM_CPUS_ON_NODE": "4"}, 6000),
    ],
)
def test_a_job_of_slurm(environment, megabytes, tmp_path):
    free, total = memory(tmp_path, environment)
    assert total == megabytes * MB
    assert free == pytest.approx(total - psutil.Process().memory_info().rss, abs=20 * MB)


@pytest.mark.parametrize(
    "environment", [{"SLURM_MEM_PER_NODE": "0"}, {"SLURM_MEM_PER_CPU": "9"}, {"SLURM_MEM_PER_NODE": "x"}]
)
def test_a_job_of_slurm_without_a_limit(environment, tmp_path):
    assert memory(tmp_path, environment).total == psutil.virtual_memory().total


def test_without_psutil_it_is_not_known(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert memory(tmp_path, {}) is None
    assert available_memory(tmp_path, {}) == UNKNOWN


LIMITED = """
import resource, sys
import psutil, torch
from pathlib import Path
from DALESegmentLib.engine.io.images import read_image
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.commands.doctor import examine
from DALESegmentLib.engine.inference.sliding_window import free_bytes
room = 300 << 20
resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + room, resource.RLIM_INFINITY))
free = free_bytes(torch.device("cpu"))
assert free <= room, free
(memory,) = (check for check in examine() if check["name"] == "Memory")
assert not memory["ok"], memory
try:
    read_image(Path(sys.argv[1]))
except EngineError as error:
    assert error.code == "file-too-large", error.sentence
else:
    raise AssertionError
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
def test_a_limit_of_the_shell_is_kept(tmp_path):
    """A real one, of this process's address space: windows, files and the doctor go by it."""
    header = (
        "ObjectType = Image\nNDims = 3\nDimSize = 1000 1000 100\nElementType = MET_FLOAT\nElementDataFile = a.raw\n"
    )
    (tmp_path / "a.mhd").write_text(header)
    with (tmp_path / "a.raw").open("wb") as file:
        file.truncate(4 * 10**8)
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path / "a.mhd")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
