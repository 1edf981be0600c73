"""The engine: cases, DALE, training, prediction, review. It knows nothing of Slicer, VTK or Qt.

Importing this package, or `cases`, `review` and `process.protocol`, does not import torch, so that the Slicer
side can use them without it.
"""

__version__ = "0.1.0"
