"""A process that may not have more than 300 MB beyond what it has: says what a plan that wants 1.6 GB comes to."""

import resource
import sys

import numpy as np

from service.errors import OutOfMemory
from service.models.backends.tensorflow import TensorFlowBackend

plan = TensorFlowBackend().compiled("product", lambda x: x[:, None] * x[None, :], [((None,), "float32")])
before = float(plan(np.ones(100, np.float32))[0].sum())
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 300 * 2**20,) * 2)
try:
    plan(np.ones(20_000, np.float32))
except OutOfMemory as error:
    after = float(plan(np.ones(100, np.float32))[0].sum())
    sys.stdout.write(f"{before:.0f} {error.detail} {after:.0f}")
