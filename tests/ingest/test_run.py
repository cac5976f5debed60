"""The whole way through the real child: what is taken computes bit for bit the same, what is refused leaves nothing."""

from __future__ import annotations

import asyncio
import io
import os
import resource
import shutil
import signal
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from service.ingest import sandbox
from service.ingest.limits import IngestLimits
from service.ingest.run import ingest
from service.ingest.verdict import Verdict
from tests import nets
from tests.conftest import DATA
from tests.ingest.corpus import LIMITS, archive, dense, functional, hdf5, put, sequential
from tests.models.kept_files import Kept, own

UNSANDBOXED = LIMITS.model_copy(update={"unsandboxed": sandbox.why_not() is not None})
FAMILIES = (
    "VGG16", "ResNet50", "ResNet50V2", "MobileNet", "MobileNetV2", "MobileNetV3Small", "DenseNet121", "InceptionV3",
    "InceptionResNetV2", "Xception", "NASNetMobile", "EfficientNetB0", "EfficientNetV2B0", "ConvNeXtTiny",
)  # fmt: skip

# All of them take minutes; without `make kept` one of each Keras goes through the sandbox.
SOME = (
    "k202_sequential", "tf202_transfer", "tf213_pair", "k308_lambda", "k315_ops",
)  # fmt: skip
KEPT = [
    pytest.param(kept, marks=[] if kept.id in SOME else [pytest.mark.kept])
    for kept in own()
    if not kept.path.is_dir() and "needs" not in kept.about
]

WILD = sorted((DATA / "models").glob("*")) if DATA.is_dir() else []


def judged(folder: Path, limits: IngestLimits = UNSANDBOXED) -> Verdict:
    return asyncio.run(ingest(folder, limits))


def same(model: Any, folder: Path) -> None:
    """The canonical file computes what `model` does, to the last bit."""
    canonical = nets.opened(folder / "canonical.keras")
    shape = [side or 96 for side in model.input_shape[1:]]
    image = np.random.default_rng(1).random((2, *shape), np.float32)
    np.testing.assert_array_equal(np.asarray(canonical(image)), np.asarray(model(image)))


def weights_changed(path: Path, change: Callable[[h5py.File], None]) -> None:
    """Writes a `.keras` file anew, with other arrays."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    weights = io.BytesIO(members["model.weights.h5"])
    with h5py.File(weights, "a") as file:
        change(file)
    with zipfile.ZipFile(path, "w") as file:
        for name, data in {**members, "model.weights.h5": weights.getvalue()}.items():
            file.writestr(name, data)


class TestM12HonestModels:
    def test_a_new_file_twice_gives_the_same_bytes(self, tmp_path: Path) -> None:
        """M7: canonical files follow from the upload alone."""
        model = nets.pencil()
        digests = []
        for place in ("one", "two"):
            folder = tmp_path / place
            folder.mkdir()
            model.save(folder / "upload.keras")
            verdict = judged(folder)
            assert verdict.manifest, verdict
            digests.append(verdict.manifest.canonical_digest)
            assert verdict.manifest.sandboxed == (sandbox.why_not() is None)
            assert verdict.manifest.parameters == model.count_params()
            same(model, folder)
            time.sleep(1.1)
        assert digests[0] == digests[1]

    def test_a_compiled_and_trained_one(self, tmp_path: Path) -> None:
        """With optimizer, loss and metrics in the file, none of which is kept."""
        model = nets.pencil()
        model.compile("adam", "mse")
        model.fit(np.zeros((2, *model.input_shape[1:])), np.zeros((2, *model.output_shape[1:])), verbose=0)
        model.save(tmp_path / "upload.keras")
        assert judged(tmp_path).manifest
        same(model, tmp_path)

    @pytest.mark.parametrize("kind", ["h5", "pair"])
    def test_other_forms(self, kind: str, tmp_path: Path) -> None:
        model = nets.pencil()
        if kind == "h5":
            model.save(tmp_path / "upload.h5")
        else:
            (tmp_path / "upload.json").write_text(model.to_json())
            model.save_weights(tmp_path / "upload.weights.h5")
        verdict = judged(tmp_path)
        assert verdict.manifest, verdict
        same(model, tmp_path)

    def test_the_layout_of_the_first_keras_3(self, tmp_path: Path) -> None:
        model = nets.pencil()
        model.save(tmp_path / "upload.keras")
        weights_changed(tmp_path / "upload.keras", lambda file: file.move("layers", "_layer_checkpoint_dependencies"))
        verdict = judged(tmp_path)
        assert verdict.manifest, verdict
        same(model, tmp_path)

    def test_weights_of_another_type_than_the_layers(self, tmp_path: Path) -> None:
        """Whole numbers would be taken for weights without a word."""

        def whole(file: h5py.File) -> None:
            found: list[str] = []
            file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
            for name in found:
                values = (file[name][()] * 10).astype("i2")
                del file[name]
                file[name] = values

        nets.pencil().save(tmp_path / "upload.keras")
        weights_changed(tmp_path / "upload.keras", whole)
        assert judged(tmp_path).code == "model.bad_weights"

    @pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.id)
    def test_a_file_that_people_keep(self, kept: Kept, tmp_path: Path) -> None:
        """Files of either Keras and of every form are taken and compute the same, or are refused for a true reason."""
        if kept.path.suffix == ".json":
            shutil.copy(kept.path, tmp_path / "upload.json")
            shutil.copy(kept.path.parent / kept.about["weights"], tmp_path / "upload.weights.h5")
        else:
            put(tmp_path, kept.path.read_bytes())
        verdict = judged(tmp_path)
        inputs = len(kept.inputs)
        if kept.about["expect"] == "refused":
            assert verdict.code == "model.forbidden_class"
        elif inputs > 1:
            assert (verdict.code, verdict.detail[:26]) == ("model.unsupported", f"the model takes {inputs} inputs (")
        elif kept.inputs[0].ndim == 5:
            assert (verdict.code, verdict.detail[:33]) == ("model.unsupported", "the model takes volumes or sequen")
        else:
            assert verdict.manifest, verdict
            canonical = nets.opened(tmp_path / verdict.manifest.file)
            # One that has its input by name takes it by name.
            (given,) = kept.inputs
            if isinstance(names := getattr(canonical, "input", None), dict):
                given = dict.fromkeys(names, given)
            found = np.asarray(tf.nest.flatten(canonical(given, training=False))[0])
            np.testing.assert_allclose(found, kept.outputs[0], atol=kept.tolerance)
            assert verdict.manifest.file == (
                "canonical.keras" if kept.about["writer"].startswith("Keras 3") else "canonical.h5"
            )

    @pytest.mark.soak
    @pytest.mark.parametrize("family", FAMILIES)
    def test_a_family_of_keras_applications(self, family: str, tmp_path: Path) -> None:
        model = getattr(keras.applications, family)(weights=None)
        model.save(tmp_path / "upload.keras")
        limits = UNSANDBOXED.model_copy(update={"max_file_bytes": 2**30, "max_parameters": 200_000_000,
                                                "max_tensor_bytes": 2**30, "memory_bytes": 8 * 2**30})  # fmt: skip
        verdict = judged(tmp_path, limits)
        assert verdict.manifest, verdict
        same(model, tmp_path)

    @pytest.mark.soak
    @pytest.mark.parametrize(
        "path", sorted((DATA / "models").glob("*")) if DATA.is_dir() else [], ids=lambda path: path.name
    )
    def test_a_file_from_the_wild(self, path: Path, tmp_path: Path) -> None:
        file = put(tmp_path, path.read_bytes())
        verdict = judged(tmp_path)
        if "notop" in path.name:
            assert verdict.code == "model.unsupported"
        else:
            assert verdict.manifest, verdict
            same(nets.opened(file), tmp_path)


class TestM11Weights:
    def _changed(self, folder: Path, change: Any) -> Verdict:
        model = nets.pencil()
        (folder / "upload.json").write_text(model.to_json())
        model.save_weights(folder / "upload.weights.h5")
        with h5py.File(folder / "upload.weights.h5", "a") as file:
            change(file)
        return judged(folder)

    def test_one_that_is_not_a_number(self, tmp_path: Path) -> None:
        def change(file: h5py.File) -> None:
            found: list[h5py.Dataset] = []
            file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
            found[0][...] = np.full(found[0].shape, np.nan)

        assert self._changed(tmp_path, change).code == "model.not_finite"

    def test_one_too_many_and_one_too_few(self, tmp_path: Path) -> None:
        verdict = self._changed(tmp_path, lambda file: file.create_dataset("layers/extra/vars/0", (2,), "f4"))
        assert verdict.code == "model.bad_weights"
        assert "'/layers/extra/vars/0'" in verdict.detail


class TestM5Bombs:
    def test_parameters_of_a_small_file(self, tmp_path: Path) -> None:
        """A layer of 80 GB in a config of a kB: counted before anything is allocated."""
        put(tmp_path, archive(sequential(dense(units=2**30))))
        began = time.monotonic()
        verdict = judged(tmp_path)
        assert verdict.code == "model.too_large"
        assert "parameters" in verdict.detail
        assert time.monotonic() - began < 30

    def test_memory_while_it_is_computed(self, tmp_path: Path) -> None:
        """Few parameters, and an image of many GB on the way."""
        grow = {"module": "keras.layers", "class_name": "UpSampling2D", "registered_name": None,
                "config": {"name": "grow", "size": [60000, 60000]}}  # fmt: skip
        config = sequential(grow)
        config["config"]["layers"][0]["config"]["batch_shape"] = [None, 4, 4, 3]
        put(tmp_path, archive(config))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        verdict = judged(tmp_path)
        assert verdict.code in ("model.too_costly", "model.not_buildable", "model.bad_weights", "model.unreadable")
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024

    def test_time(self, tmp_path: Path) -> None:
        put(tmp_path, archive(functional(dense())))
        began = time.monotonic()
        verdict = judged(tmp_path, UNSANDBOXED.model_copy(update={"timeout_s": 0.5}))
        assert verdict.code == "model.too_costly"
        assert "0.5 s" in verdict.detail
        assert time.monotonic() - began < 3


class TestM6Crashes:
    @pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
    def test_a_child_that_dies(self, number: signal.Signals, tmp_path: Path) -> None:
        put(tmp_path, archive(functional(dense()), hdf5()))

        def kill() -> None:
            for _ in range(200):
                children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
                ours = [pid for pid in children if str(tmp_path).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]
                if ours:
                    os.kill(int(ours[0]), number)
                    return
                time.sleep(0.01)

        killer = threading.Thread(target=kill)
        killer.start()
        verdict = judged(tmp_path)
        killer.join()
        assert verdict.code == "model.unreadable"
        assert f"signal {number.value}" in verdict.detail

    def test_it_is_ended_when_nobody_waits(self, tmp_path: Path) -> None:
        put(tmp_path, archive(functional(dense())))

        async def body() -> None:
            reading = asyncio.create_task(ingest(tmp_path, UNSANDBOXED))
            await asyncio.sleep(0.5)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading

        asyncio.run(body())
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        assert not [pid for pid in children if str(tmp_path).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]


class TestVerdict:
    @pytest.mark.parametrize(
        "said", ["", "{}", "[]", '{"code": "accepted"}', '{"code": "fine"}', '{"code": "accepted", "manifest": {}}']
    )
    def test_nonsense_is_not_believed(self, said: str, tmp_path: Path) -> None:
        from service.ingest.run import _judged

        verdict = _judged(tmp_path, said.encode(), b"told", 0)
        assert verdict.code == "model.unreadable"
        assert verdict.manifest is None

    def test_names_of_an_uploader_are_cleaned(self) -> None:
        verdict = Verdict.refused("model.bad_graph", "a\nb\x1b[31m‮" + "x" * 5000)
        assert verdict.detail.startswith("a?b?[31m?x")
        assert len(verdict.detail) == 1000
