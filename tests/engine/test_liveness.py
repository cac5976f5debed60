"""L1 and L2: a deadline ends its caller alone; an engine is ended by what it tells of itself, or tells no more."""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import keras
import pytest

from tests.checks import PNG, problem, saved, triangle
from tests.conftest import Service, start_service, wait_ready
from tests.engine.test_crash import engine_pid, gone, post

PICTURE = saved(triangle())
LITE = "/v1/models/efficientnet-lite0"
# What its device cannot do: it hangs in a library, for longer than any test takes.
HANGING = """
import time
import keras
import tensorflow as tf

@keras.saving.register_keras_serializable("tests")
class Hanging(keras.layers.Layer):
    def call(self, x):
        def wait(value):
            time.sleep(600)
            return value
        found = tf.py_function(wait, [x], tf.float32)
        return tf.ensure_shape(found, x.shape)

    def compute_output_shape(self, shape):
        return shape
"""


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    # A queue in which all find a place: who is refused waits for nobody.
    settings = {"preload": "efficientnet-lite0", "cache_bytes": "0", "queue_limit": "1000"}
    running = start_service(tmp_path_factory.mktemp("lite"), **settings)
    yield running
    running.stop()


def ended(service: Service) -> list[str]:
    """Why engines were ended, as the log says."""
    return [str(event["event"]) for event in service.events() if "ending it" in str(event["event"])]


def test_a_short_deadline_ends_its_caller_and_never_the_engine(lite: Service) -> None:
    """100 calls of 0.2 s on plans that nobody has compiled, beside two callers who wait as long as they need."""
    engine = engine_pid(lite)

    def wait(patch: int) -> float:
        began = time.monotonic()
        assert post(lite, f"{LITE}/occlusion?patch={patch}&stride=32").status_code == 200
        return time.monotonic() - began

    wait(64)
    # Alone, as they will be asked: with the traces of a window's size that is new.
    alone = max(wait(72), wait(80))

    def hurry(number: int) -> int:
        path = f"{LITE}/occlusion?patch={90 + number}&stride=30"
        return httpx.post(lite.url + path, content=PICTURE, headers={**PNG, "X-Timeout": "0.2"}, timeout=60).status_code

    with ThreadPoolExecutor(22) as threads:
        hurried = [threads.submit(hurry, number) for number in range(100)]
        time.sleep(0.5)
        waited = [threads.submit(wait, patch) for patch in (73, 81)]
        beside = max(each.result() for each in waited)
        assert {each.result() for each in hurried} <= {200, 503, 504}
    assert engine_pid(lite) == engine
    assert ended(lite) == []
    assert beside < 2 * alone + 2, f"{beside:.1f} s beside them, {alone:.1f} s alone"


def test_a_stopped_engine_is_noticed_though_all_callers_hang_up(lite: Service) -> None:
    """How soon the next one answers is measured by `make kills`: at most 15 s."""
    engine = engine_pid(lite)
    os.kill(engine, signal.SIGSTOP)
    stopped = time.monotonic()
    while time.monotonic() - stopped < 60:
        with suppress(httpx.TimeoutException):
            if post(lite, f"{LITE}/predict", timeout_s=2).status_code == 200:
                break
    assert engine_pid(lite) != engine
    (told,) = lite.told(event="engine is stopped, ending it")
    assert 1.5 <= float(str(told["seconds"])) < 4.0
    assert wait_ready(lite, time.monotonic() + 60)


def test_an_engine_that_is_stopped_while_it_starts_is_noticed(lite: Service) -> None:
    before, said = engine_pid(lite), {"event": "engine is stopped, ending it"}
    told = len(lite.told(0, **said))
    os.kill(before, signal.SIGKILL)
    assert gone(before, 5)
    starting = engine_pid(lite)
    os.kill(starting, signal.SIGSTOP)
    assert wait_ready(lite, time.monotonic() + 60)
    assert len(lite.told(told + 1, **said)) == told + 1
    assert engine_pid(lite) not in (before, starting)


@pytest.mark.soak
def test_only_the_model_whose_step_hangs_is_blamed(tmp_path: Path, starting: Callable[..., Service]) -> None:
    folder = tmp_path / "models" / "hanging"
    folder.mkdir(parents=True)
    (folder / "layers.py").write_text(HANGING)
    spec = importlib.util.spec_from_file_location("hanging_layers", folder / "layers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    inputs = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(2, 3, name="conv")(module.Hanging(name="hang")(inputs))
    scores = keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D()(maps))
    keras.Model(inputs, scores).save(folder / "net.keras")
    (folder / "model.toml").write_text(
        'id = "hanging"\nweights = "net.keras"\ntrusted = true\ncustom_objects = "layers.py:Hanging"\n'
    )
    running = starting(
        tmp_path,
        models_dir=tmp_path / "models",
        preload="shapes",
        max_step_s="2",
        call_deadline_s="90",
        cache_bytes="0",
    )
    with ThreadPoolExecutor(2) as threads:
        hung = threads.submit(post, running, "/v1/models/hanging/predict", timeout_s=120)
        answers: list[int] = []
        while not hung.done():
            answers.append(post(running).status_code)
            time.sleep(0.05)
        problem(hung.result(), 503, "engine-unavailable", "ended twice")
    assert set(answers) == {200}, "the other model's callers only waited"
    assert ended(running).count("engine hangs, ending it") == 2
    refused = post(running, "/v1/models/hanging/predict")
    problem(refused, 409, "model-quarantined", "'hanging'")
    assert post(running).status_code == 200
