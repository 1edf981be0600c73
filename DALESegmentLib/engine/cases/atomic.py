"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from ..errors import EngineError


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a name beside `target` to write to; on success it takes the target's place, on failure it goes.

    The name keeps the target's extension and starts with a dot, so that no search for cases finds it.
    Makes missing parent folders. Raises EngineError("cannot-write").
    """
    temporary = target.with_name(f".{uuid4().hex}-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise EngineError(
            "cannot-write",
            f"{target.name} could not be written ({reason}); check the free space and your rights there.",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
