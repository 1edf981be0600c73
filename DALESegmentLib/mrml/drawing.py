"""Whether this machine can draw, found out before VTK tries: VTK ends the process where it cannot."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

EGL = "libEGL.so.1"
OF_A_DISPLAY = ("libX11.so.6", "libGL.so.1")


def missingForDrawing(load: Callable[[str], Any] = ctypes.CDLL) -> str | None:
    """What the views lack to draw off screen, in one sentence; None where they lack nothing.

    Linux without a display draws through EGL; other systems bring all that is needed. load: opens a library by
    its file name, or raises OSError.
    """
    if sys.platform != "linux" or (os.environ.get("DISPLAY") and all(_loads(name, load) for name in OF_A_DISPLAY)):
        return None
    try:
        library = load(EGL)
    except OSError:
        return f"The system library {EGL} is missing (Debian package libegl1)."
    if _devices(library) == 0:
        return f"The system library {EGL} finds nothing to draw with (Debian packages libegl1 and libgl1)."
    return None


def _loads(name: str, load: Callable[[str], Any]) -> bool:
    try:
        load(name)
    except OSError:
        return False
    return True


def _devices(library: Any) -> int | None:
    """How many devices EGL knows, the processor among them (EGL_EXT_device_enumeration); None if unknown."""
    library.eglGetProcAddress.restype = ctypes.c_void_p
    address = library.eglGetProcAddress(b"eglQueryDevicesEXT")
    if not address:
        return None
    ask = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))(address)
    number = ctypes.c_int(0)
    return number.value if ask(0, None, ctypes.byref(number)) else None
