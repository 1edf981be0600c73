"""An engine that, as on another machine, cannot see a folder of this one: elsewhere.py FOLDER."""

from __future__ import annotations

import os
import sys

unseen = os.path.realpath(sys.argv[1])


def fence(event: str, arguments: tuple) -> None:
    if event in ("open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove"):
        for path in arguments:
            if isinstance(path, (str, bytes)) and os.path.realpath(os.fsdecode(path)).startswith(unseen):
                raise PermissionError(f"{event} of a file that is on another machine")


sys.addaudithook(fence)

from DALESegmentLib.engine.rpc.server import serve  # noqa: E402

serve()
