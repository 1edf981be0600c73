"""The evidence: DALE against plain training and what else a researcher would try, on real images with known noise."""

import os

# torch's profiler, which measures memory in `cost`, writes a line at every start and stop; it reads this once
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
