"""A job in a module that needs a package nobody has."""

from __future__ import annotations

import no_such_package  # noqa: F401
