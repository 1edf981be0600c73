"""`python -m DALESegmentLib.engine`: the command line; with `serve`, the engine process."""

from __future__ import annotations

import sys

if sys.argv[1:] == ["serve"]:  # without the command line's packages, and ready at once
    from .process.server import serve

    serve()
else:
    from .cli import main

    main()
