"""What CMake ships is what lies in the tree."""

from __future__ import annotations

import shutil
import subprocess
import textwrap

import pytest
from write_cmake_lists import LISTS, REPOSITORY, listed, wanted_resources, wanted_scripts

STAND_IN_MACROS = """
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MODULE "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MODULE_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown keywords: ${MODULE_UNPARSED_ARGUMENTS}")
  endif()
  foreach(file ${MODULE_SCRIPTS} ${MODULE_RESOURCES})
    if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
      message(FATAL_ERROR "${MODULE_NAME} lists ${file}, which does not exist")
    endif()
    file(APPEND ${CMAKE_BINARY_DIR}/shipped.txt "${file}\\n")
  endforeach()
endmacro()
macro(slicer_add_python_unittest)
  cmake_parse_arguments(UNITTEST "" "SCRIPT" "SLICER_ARGS" ${ARGN})
  file(APPEND ${CMAKE_BINARY_DIR}/unittests.txt "${UNITTEST_SCRIPT}\\n")
endmacro()
"""


@pytest.mark.parametrize(
    ("variable", "wanted"),
    [("LIBRARY_PYTHON_SCRIPTS", wanted_scripts), ("LIBRARY_RESOURCES", wanted_resources)],
)
def test_the_list_is_the_tree(variable, wanted):
    entries = listed(variable, LISTS.read_text(encoding="utf-8"))
    missing = sorted(set(wanted()) - set(entries))
    surplus = sorted(set(entries) - set(wanted()))
    message = "\n".join(
        [
            f"{variable} in CMakeLists.txt differs from the tree; run Testing/slicer/write_cmake_lists.py.",
            *(f"  add     {name}" for name in missing),
            *(f"  remove  {name}" for name in surplus),
        ]
    )
    assert not missing, message
    assert not surplus, message
    assert entries == sorted(set(entries)), f"{variable} is not sorted, or names a file twice"


def test_what_must_be_shipped_is_and_what_must_not_is_not():
    scripts, resources = wanted_scripts(), wanted_resources()
    assert "DALESegmentLib/ui/engine_process.py" in scripts
    assert "DALESegmentLib/engine/geometry/grid.py" in scripts
    assert "Resources/UI/DALESegment.ui" in resources
    assert "Resources/requirements.txt" in resources
    assert not [name for name in scripts + resources if name.startswith(("DALESegmentLib/demo", "Testing"))]


def test_only_the_module_lies_in_the_module_folder():
    """Slicer takes every Python file there for a module."""
    assert [file.name for file in (REPOSITORY / "DALESegment").glob("*.py")] == ["DALESegment.py"]


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
def test_cmake_configures_the_extension(tmp_path):
    """With stand-ins for Slicer's macros: everything named exists and is shipped once."""
    config = tmp_path / "slicer"
    config.mkdir()
    (config / "UseSlicer.cmake").write_text(STAND_IN_MACROS)
    (config / "Nothing.cmake").write_text("")
    (config / "SlicerConfig.cmake").write_text(
        textwrap.dedent(
            """
            set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake)
            set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/Nothing.cmake)
            set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/Nothing.cmake)
            """
        )
    )
    build = tmp_path / "build"
    command = [
        "cmake",
        "-S",
        str(REPOSITORY),
        "-B",
        str(build),
        f"-DSlicer_DIR={config}",
        "-DBUILD_TESTING=ON",
    ]
    # The compilers are of no concern to a module in Python.
    command += [f"-DCMAKE_{language}_COMPILER_FORCED=ON" for language in ("C", "CXX")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr
    shipped = (build / "shipped.txt").read_text().split()
    assert sorted(shipped) == sorted(["DALESegment.py", *wanted_scripts(), *wanted_resources()])
    assert (build / "unittests.txt").read_text().split() == ["DALESegment.py"]


@pytest.mark.parametrize("variable", ["EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS"])
def test_pictures_named_in_the_extensions_metadata_exist(variable):
    text = LISTS.read_text(encoding="utf-8")
    url = next(line.split('"')[1] for line in text.splitlines() if line.startswith(f"set({variable} "))
    assert (REPOSITORY / url.split("/main/")[1]).is_file()
