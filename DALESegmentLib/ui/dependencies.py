"""What the engine needs beyond Slicer, installed when it is first needed and never before.

What Slicer or the PyTorch extension put in place (numpy, SimpleITK, torch) is never replaced: the installer
gets their versions as constraints.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import re
import tempfile
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from DALESegmentLib.engine.core.errors import EngineError

from .signals import canAsk

TORCH_MISSING = (
    "PyTorch is missing; install the PyTorch extension in the Extensions Manager, restart Slicer and try again."
)
TORCH_COMES = "PyTorch is not there yet; the first step that needs it (such as Train) installs it, if you agree."
WHEELS = "DALESEGMENT_WHEELS"
KEPT = ("numpy", "SimpleITK", "torch", "torchvision")
LOOK_EVERY_MS = 20
_found: set[str] = set()
"""Requirements that were satisfied once, and so are until Slicer is closed: looking takes some ms each."""


def ensureInstalled(requirementsFile: str | Path) -> bool:
    """Make sure that the engine can run; True where something was installed.

    Asks the user first. Raises EngineError "torch-missing", "packages-missing" where nobody can be asked, "declined",
    "install-failed".
    """
    missing = missingRequirements(requirementsFile)
    if installedVersion("torch") is None:
        _installTorch()
    elif not missing:
        return False
    if missing:
        _installPackages(missing, requirementsFile)
    return True


def missingRequirements(requirementsFile: str | Path) -> list[str]:
    """The lines of a requirements file that are not satisfied."""
    return [line for line in _requirements(requirementsFile) if not _satisfied(line)]


def checkWhenIdle(requirementsFile: str | Path) -> None:
    """Check one requirement after the other while the application is idle, so that the first step need not."""
    left = iter(_requirements(requirementsFile))

    def checkNext() -> None:
        line = next(left, None)
        if line is not None:
            _satisfied(line)
            qt.QTimer.singleShot(LOOK_EVERY_MS, checkNext)

    qt.QTimer.singleShot(LOOK_EVERY_MS, checkNext)


def _requirements(requirementsFile: str | Path) -> list[str]:
    lines = Path(requirementsFile).read_text(encoding="utf-8").splitlines()
    return [requirement for line in lines if (requirement := line.split("#")[0].strip())]


def missingSentences(requirementsFile: str | Path) -> list[str]:
    """A sentence for each thing that has to be installed before the engine can run; installs nothing."""
    lines = []
    if installedVersion("torch") is None:
        lines.append(TORCH_COMES if _bringsTorch() else TORCH_MISSING)
    missing = missingRequirements(requirementsFile)
    if missing:
        lines.append(
            _("Python packages are missing; they are installed by the first step that needs them, if you agree:")
        )
        lines += [f"  {line}" for line in describe(missing, requirementsFile)]
    return lines


def describe(missing: list[str], requirementsFile: str | Path) -> list[str]:
    """The missing lines with the file's comments: the size to download."""
    about = {}
    for line in Path(requirementsFile).read_text(encoding="utf-8").splitlines():
        requirement, _hash, comment = line.partition("#")
        about[requirement.strip()] = comment.strip()
    return [f"{line} ({about[line]})" if about.get(line) else line for line in missing]


def installedVersion(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def constraints() -> list[str]:
    """Lines of a constraints file that hold what must not be replaced."""
    versions = {name: installedVersion(name) for name in KEPT}
    return [f"{name}=={version}" for name, version in versions.items() if version]


def _satisfied(requirement: str) -> bool:
    if requirement in _found:
        return True
    name = re.match(r"[\w.-]+", requirement)[0]
    installed = installedVersion(name)
    if installed is None:
        return False
    minimum = re.search(r">=\s*([\d.]+)", requirement)
    if minimum is not None and _numbers(installed) < _numbers(minimum[1]):
        return False
    _found.add(requirement)
    return True


def _numbers(version: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", version.split("+")[0])]


def _bringsTorch() -> bool:
    """Whether the PyTorch extension is installed, which alone brings no PyTorch."""
    return importlib.util.find_spec("PyTorchUtils") is not None


def _installTorch() -> None:
    if not _bringsTorch():
        raise EngineError("torch-missing", TORCH_MISSING)
    import PyTorchUtils

    try:
        torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True)
    except Exception as error:
        raise _failed(error) from error
    if torch is None:
        raise EngineError("declined", "PyTorch was not installed; it is needed for training and prediction.")


def _installPackages(missing: list[str], requirementsFile: str | Path) -> None:
    """Ask, install, check whether it is there. A Slicer under test is never changed."""
    wheels = wheelFolder()
    where = _("the folder {folder}").format(folder=wheels) if wheels else _("the internet")
    question = _(
        "DALESegment needs {count} Python packages that Slicer does not have yet. What Slicer has is not replaced. "
        "Install them from {where} now?"
    ).format(count=len(missing), where=where)
    if not canAsk():
        raise EngineError("packages-missing", f"Python packages are missing: {', '.join(missing)}.")
    details = "\n".join(describe(missing, requirementsFile))
    if not slicer.util.confirmOkCancelDisplay(question, windowTitle="DALESegment", detailedText=details):
        raise EngineError(
            "declined",
            f"Nothing was installed. Python packages are missing ({', '.join(missing)}); press the button again and "
            "let Slicer install them.",
        )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # a scanner may still read it
        kept = Path(folder) / "constraints.txt"
        kept.write_text("\n".join(constraints()) + "\n", encoding="utf-8", newline="\n")
        try:
            _pip(missing, str(kept), wheels)
        except Exception as error:
            raise _failed(error, wheels) from error
    importlib.invalidate_caches()
    if not all(_satisfied(line) for line in missing):
        raise _failed(RuntimeError("pip reported no error, but they are not there"), wheels)


def wheelFolder() -> str:
    """A folder of wheels to install from where there is no network, named by an environment variable; else ""."""
    return os.environ.get(WHEELS, "")


def _pip(missing: list[str], constraintsFile: str, wheels: str) -> None:
    if wheels:
        slicer.util.pip_install(["--no-index", "--find-links", wheels, "-c", constraintsFile, *missing])
        return
    try:
        from slicer.packaging import pip_ensure
    except ImportError:  # Slicer 5.10 and older
        slicer.util.pip_install(["-c", constraintsFile, *missing])
    else:
        pip_ensure(missing, constraints=constraintsFile, prompt_install=False, requester="DALESegment")


def _failed(error: Exception, wheels: str = "") -> EngineError:
    advice = (
        f"put the missing wheels into “{wheels}”"
        if wheels
        else f"check the network connection, or name a folder of wheels in the environment variable {WHEELS},"
    )
    return EngineError(
        "install-failed", f"The Python packages could not be installed ({error}); {advice} and try again."
    )
