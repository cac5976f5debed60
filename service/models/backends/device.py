"""The device that TensorFlow uses, and how; it must be set before TensorFlow initialises its devices."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from service.arrays import Ops
from service.process import ONE_BLAS_THREAD


@dataclass(frozen=True)
class DeviceSettings:
    """`device` is `auto`, `cpu` or `gpu:N`; `threads` 0 means the cores of this machine shared among the engines."""

    device: str = "auto"
    threads: int = 0
    engines: int = 1

    def intra_threads(self) -> int:
        return self.threads or max(1, len(os.sched_getaffinity(0)) // self.engines)


def environment(settings: DeviceSettings, keras_home: str) -> dict[str, str]:
    """Variables that TensorFlow and Keras read when they are imported; for the engine's child process."""
    variables = {
        "KERAS_BACKEND": "tensorflow",
        "KERAS_HOME": keras_home,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        # oneDNN's own pool never gives memory back: after one VGG16 that failed to load, it kept 1.3 GB.
        "TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1",
        **ONE_BLAS_THREAD,
    }
    if settings.device == "cpu":
        variables["CUDA_VISIBLE_DEVICES"] = "-1"
    elif settings.device.startswith("gpu:"):
        variables["CUDA_VISIBLE_DEVICES"] = settings.device.removeprefix("gpu:")
    return variables


def configure(settings: DeviceSettings, tf: Ops) -> str:
    """Sets memory growth and threads on the imported but not yet initialised module; gives the device's name.

    Raises RuntimeError when TensorFlow is initialised already: the settings would be silently ignored.
    """
    tf.config.threading.set_intra_op_parallelism_threads(settings.intra_threads())
    tf.config.threading.set_inter_op_parallelism_threads(2)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if not gpus:
        return "cpu"
    return settings.device if settings.device.startswith("gpu:") else "gpu:0"


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Keeps what TensorFlow's C++ side prints while it is imported off the log; shown after all when that fails."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            said.seek(0)
            os.write(saved, said.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
