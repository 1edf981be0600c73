"""Imports MONAI as where neither ignite nor matplotlib is installed, which takes half of the time.

Both can be imported afterwards. Tests import this module before anything of the engine.
"""

from __future__ import annotations

import sys
from contextlib import suppress

EXTRAS = ("ignite", "matplotlib")

hidden = [name for name in EXTRAS if name not in sys.modules]
sys.modules.update(dict.fromkeys(hidden))
with suppress(ImportError):  # a test that needs MONAI says that it is missing
    import monai  # noqa: F401
for name in hidden:
    del sys.modules[name]
