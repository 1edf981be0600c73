"""Python runs this first in every process that a test starts: what Slicer's Python does not have is not there.

MONAI imports both where it finds them, which takes as long as all the rest of an engine's start; the engine needs none.
"""

import sys

for name in ("ignite", "matplotlib"):
    sys.modules[name] = None
