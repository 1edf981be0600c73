"""The engine: cases, DALE, training, prediction, review. It knows nothing of Slicer, VTK or Qt.

Importing this package, or `io`, `review` and `rpc.protocol`, does not import torch, so that the Slicer
side can use them without it.
"""

import os
import sys

if sys.platform == "darwin":  # torch looks when it is imported: what its Apple GPUs cannot compute, the CPU does
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

__version__ = "0.1.0"
