"""Device settings: what is asked of TensorFlow, and that a real TensorFlow heeds it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from service.models.backends.device import DeviceSettings, configure, environment, quiet_start


class FakeTensorFlow:
    """Records the calls `configure` makes; `gpus` are the devices it pretends to see."""

    def __init__(self, gpus: list[str]) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.gpus = gpus
        self.config = self
        self.threading = self
        self.experimental = self

    def set_intra_op_parallelism_threads(self, count: int) -> None:
        self.calls.append(("intra", count))

    def set_inter_op_parallelism_threads(self, count: int) -> None:
        self.calls.append(("inter", count))

    def list_physical_devices(self, kind: str) -> list[str]:
        self.calls.append(("list", kind))
        return self.gpus

    def set_memory_growth(self, gpu: str, enable: bool) -> None:
        self.calls.append(("growth", gpu, enable))


def test_intra_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    assert DeviceSettings().intra_threads() == 8
    assert DeviceSettings(engines=3).intra_threads() == 2
    assert DeviceSettings(engines=20).intra_threads() == 1
    assert DeviceSettings(threads=5, engines=3).intra_threads() == 5


@pytest.mark.parametrize(("device", "visible"), [("auto", None), ("cpu", "-1"), ("gpu:0", "0"), ("gpu:3", "3")])
def test_environment(device: str, visible: str | None) -> None:
    variables = environment(DeviceSettings(device), "/somewhere")
    expected = {
        "KERAS_BACKEND": "tensorflow",
        "KERAS_HOME": "/somewhere",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    assert variables == expected | ({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})


@pytest.mark.parametrize(
    ("device", "gpus", "name"),
    [
        ("auto", [], "cpu"),
        ("cpu", [], "cpu"),
        ("gpu:1", [], "cpu"),
        ("auto", ["GPU:0", "GPU:1"], "gpu:0"),
        ("gpu:1", ["GPU:0"], "gpu:1"),
    ],
)
def test_configure(device: str, gpus: list[str], name: str) -> None:
    tf = FakeTensorFlow(gpus)
    assert configure(DeviceSettings(device, threads=3), tf) == name
    growth = [("growth", gpu, True) for gpu in gpus]
    assert tf.calls == [("intra", 3), ("inter", 2), ("list", "GPU"), *growth]


SCRIPT = """
import os, sys
from service.models.backends.device import DeviceSettings, configure, environment, quiet_start
os.environ.update(environment(DeviceSettings("cpu"), sys.argv[1]))
with quiet_start():
    import tensorflow as tf
print(configure(DeviceSettings("cpu", threads=3), tf))
tf.constant(1) + 1
print(tf.config.threading.get_intra_op_parallelism_threads(), tf.config.threading.get_inter_op_parallelism_threads())
from tensorflow.python.eager import context
print(context.context().config.intra_op_parallelism_threads, len(tf.config.list_logical_devices("GPU")))
try:
    configure(DeviceSettings("cpu", threads=2), tf)
except RuntimeError as error:
    print(type(error).__name__)
import keras
print(keras.backend.backend(), keras.config.image_data_format())
"""


def test_real_tensorflow(tmp_path: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.splitlines() == ["cpu", "3 2", "3 0", "RuntimeError", "tensorflow channels_last"]


def test_quiet_start(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_start():
        os.write(2, b"chatter\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_quiet_start_shows_all_when_the_import_fails(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with quiet_start():
            os.write(2, b"the reason\n")
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    assert capfd.readouterr().err == "the reason\n"
