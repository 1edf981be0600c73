"""`python -m DALESegmentLib.engine`: the command line; with `serve`, the engine process; with `serve --through ADDRESS`
one that passes its work on to a server.
"""

from __future__ import annotations

import sys

if sys.argv[1:] == ["serve"] or (sys.argv[1:3] == ["serve", "--through"] and len(sys.argv) == 4):
    from .rpc.server import serve  # without the command line's packages, and ready at once

    serve(*sys.argv[3:])
else:
    from .cli import main

    main()
