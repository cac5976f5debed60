"""The operator's own folder: whatever computes is loaded, and nothing that is code leaves a trace without trust."""

from __future__ import annotations

import base64
import json
import marshal
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from service.errors import ModelNotLoadable
from service.ingest.trusted import Trust, require_allowed, trust_in
from service.models.files.entries import spec_of_file
from service.models.files.spec import ModelSpec
from service.models.loaded import LoadedModel, load_model
from tests import nets
from tests.checks import PNG, problem, saved, triangle
from tests.conftest import DATA, start_service
from tests.ingest.corpus import archive, dense, functional, tensor, with_lambda

WILD = sorted((DATA / "models").glob("*")) if DATA.is_dir() else []


def allowed(path: Path) -> ModelSpec:
    spec = spec_of_file(path)
    require_allowed(spec, Trust.NO_CODE, ())
    return spec


def trusted(path: Path) -> LoadedModel:
    spec = spec_of_file(path)
    require_allowed(spec, Trust.WHOLE, ())
    return load_model(spec, path.parent, trusted=True)


def refused(path: Path, trace: Path) -> str:
    """The sentence of the refusal; nothing was run, and loading as the engine does it would come later."""
    with pytest.raises(ModelNotLoadable) as caught:
        allowed(path)
    assert not trace.exists()
    return caught.value.detail


def code_that_writes(trace: Path) -> str:
    """Byte code as Keras keeps that of a Lambda, which writes a file and hands its input on."""
    space: dict[str, Any] = {}
    exec(f"f = lambda x: (open({str(trace)!r}, 'w').write('run') and None) or x", space)
    return base64.b64encode(marshal.dumps(space["f"].__code__)).decode()


def small(first: Any, module: Any = tf_keras) -> Any:
    x = module.Input((4, 4, 1), name="image")
    return module.Model(x, module.layers.Dense(2, name="scores")(module.layers.Flatten()(first(x))))


class TestHonest:
    def test_a_layer_that_no_table_knows(self, tmp_path: Path) -> None:
        """A later Keras will have some: it is for the loader to say that there is none."""
        layer = dense("later") | {"class_name": "LayerOfTomorrow", "module": "keras.layers"}
        (tmp_path / "later.keras").write_bytes(archive(functional(layer)))
        allowed(tmp_path / "later.keras")

    def test_augmentation_attention_and_recurrence(self, tmp_path: Path) -> None:
        x = keras.Input((8, 8, 3))
        y = keras.layers.RandAugment()(keras.layers.RandomRotation(0.1)(x))
        y = keras.ops.mean(keras.ops.stack([y / 255.0, y * 2.0]), axis=0)
        y = keras.layers.Reshape((8, 24))(y)
        y = keras.layers.Bidirectional(keras.layers.LSTM(2, return_sequences=True))(y)
        y = keras.layers.MultiHeadAttention(1, 2)(y, y)
        keras.Model(x, keras.layers.TimeDistributed(keras.layers.Dense(2))(y)).save(tmp_path / "many.keras")
        assert allowed(tmp_path / "many.keras").id == "many"

    @pytest.mark.parametrize("ending", ["h5", "keras"])
    def test_functions_of_tensorflow(self, ending: str, tmp_path: Path) -> None:
        model = small(lambda x: tf.nn.relu(tf.image.resize(x / 255.0 - 0.5, (4, 4))))
        model.save(tmp_path / f"functions.{ending}")
        assert allowed(tmp_path / f"functions.{ending}").id == "functions"

    @pytest.mark.parametrize("path", WILD, ids=lambda path: path.name)
    def test_files_from_the_wild(self, path: Path) -> None:
        if "notop" in path.name:
            pytest.raises(ModelNotLoadable, allowed, path).match("no architecture")
        else:
            allowed(path)


class TestAttacks:
    """Each of these leaves a file behind where `tf_keras` alone loads it with `safe_mode=True`."""

    def lambda_config(self, trace: Path) -> Any:
        model = small(tf_keras.layers.Lambda(lambda x: x, name="evil"))
        config = json.loads(model.to_json())
        layer = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Lambda")
        layer["config"]["function"] = {"class_name": "__lambda__", "config": {
            "code": code_that_writes(trace), "defaults": None, "closure": None}}  # fmt: skip
        return model, config

    @pytest.mark.parametrize("version", ["2.15.0", "3.15.1", "2.2.4"])
    def test_byte_code_in_hdf5(self, version: str, tmp_path: Path) -> None:
        trace = tmp_path / "trace"
        model, config = self.lambda_config(trace)
        model.save(tmp_path / "evil.h5")
        with h5py.File(tmp_path / "evil.h5", "a") as file:
            file.attrs["model_config"] = json.dumps(config)
            file.attrs["keras_version"] = version
        assert "'evil' is a Lambda: it carries Python code" in refused(tmp_path / "evil.h5", trace)

    def test_the_old_lambda_as_a_list(self, tmp_path: Path) -> None:
        """Keras 2.0 to 2.2 wrote the byte code as the first of a list."""
        trace = tmp_path / "trace"
        model, config = self.lambda_config(trace)
        layer = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Lambda")
        layer["config"]["function"] = [code_that_writes(trace), None, None]
        model.save(tmp_path / "evil.h5")
        with h5py.File(tmp_path / "evil.h5", "a") as file:
            file.attrs["model_config"] = json.dumps(config)
        assert "Lambda" in refused(tmp_path / "evil.h5", trace)

    def test_byte_code_in_a_saved_model(self, tmp_path: Path) -> None:
        trace = tmp_path / "trace"
        model, _ = self.lambda_config(trace)
        model.save(tmp_path / "evil", save_format="tf")
        assert "'evil' is a Lambda" in refused(tmp_path / "evil", trace)

    def test_a_function_of_any_module_in_an_archive_of_keras_2(self, tmp_path: Path) -> None:
        trace = tmp_path / "trace"
        evil = {
            "module": "keras.layers", "class_name": "Lambda", "registered_name": None, "name": "evil",
            "config": {"name": "evil", "arguments": {"command": f"touch {trace}"}, "function": {
                "module": "os", "class_name": "function", "config": "system", "registered_name": "function"}},
            "inbound_nodes": [[["image", 0, 0, {}]]],
        }  # fmt: skip
        config = functional(evil, dense())
        (tmp_path / "evil.keras").write_bytes(archive(config, **{"metadata.json": b'{"keras_version": "2.15.0"}'}))
        said = refused(tmp_path / "evil.keras", trace)
        assert "Lambda" in said
        assert "'system' of 'os'" in said

    @pytest.mark.parametrize("key", ["activation", "kernel_initializer", "kernel_regularizer", "kernel_constraint"])
    def test_a_foreign_function(self, key: str, tmp_path: Path) -> None:
        function = {"module": "os", "class_name": "function", "config": "system", "registered_name": "function"}
        (tmp_path / "evil.keras").write_bytes(archive(functional(dense(**{key: function}))))
        assert "'dense' holds the function 'system' of 'os'" in refused(tmp_path / "evil.keras", tmp_path / "trace")

    @pytest.mark.parametrize("form", ["h5", "json", "savedmodel"])
    def test_functions_of_tensorflow_that_write_files(self, form: str, tmp_path: Path) -> None:
        trace = tmp_path / "trace"
        model = small(lambda x: tf.math.add(x, 1.0))
        config = json.loads(model.to_json())
        layer = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "TFOpLambda")
        layer["config"]["function"] = "io.write_file"
        layer["inbound_nodes"] = [["_CONSTANT_VALUE", -1, str(trace), {"contents": "run"}]]
        if form == "savedmodel":
            model.save(tmp_path / "evil", save_format="tf")
            name = tmp_path / "evil"
            data = (name / "keras_metadata.pb").read_bytes()
            # Of the same length, so that the message around it stays whole.
            assert b'"function": "math.add"' in data
            (name / "keras_metadata.pb").write_bytes(data.replace(b"math.add", b"io.write"))
            expected = "'io.write'"
        elif form == "json":
            name = tmp_path / "evil.json"
            name.write_text(json.dumps(config))
            model.save_weights(tmp_path / "evil.weights.h5")
            expected = "'io.write_file'"
        else:
            name = tmp_path / "evil.h5"
            model.save(name)
            with h5py.File(name, "a") as file:
                file.attrs["model_config"] = json.dumps(config)
            expected = "'io.write_file'"
        assert f"calls the function {expected} of TensorFlow" in refused(name, trace)

    @pytest.mark.parametrize(
        ("node", "said"),
        [
            ({"name": "w", "op": "WriteFile", "input": ["a", "b"], "attr": {}}, "the operation 'WriteFile'"),
            ({"name": "r", "op": "ReadFile", "input": ["a"], "attr": {}}, "the operation 'ReadFile'"),
            ({"name": "p", "op": "PyFuncStateless", "input": ["a"], "attr": {}}, "the operation 'PyFuncStateless'"),
            ({"name": "a", "op": "AddV2", "input": ["a"], "attr": {"f": {"func": {"name": "x"}}}}, "with a function"),
            ({"name": "a", "op": "AddV2", "input": ["a"], "attr": {}, "device": "/gpu:0"}, "with the key 'device'"),
            ("CgF3EglXcml0ZUZpbGU=", "in a form that cannot be judged"),
        ],
    )
    def test_operations_of_tensorflow(self, node: Any, said: str, tmp_path: Path) -> None:
        layer = {
            "class_name": "TensorFlowOpLayer", "name": "op",
            "config": {"name": "op", "node_def": node, "constants": {}},
            "inbound_nodes": [[["image", 0, 0, {}]]],
        }  # fmt: skip
        (tmp_path / "evil.keras").write_bytes(archive(functional(layer)))
        assert said in refused(tmp_path / "evil.keras", tmp_path / "trace")

    def test_everything_at_fault_is_said_at_once(self, tmp_path: Path) -> None:
        own = dense("mine") | {"class_name": "MyLayer", "module": "my.layers", "registered_name": "my>MyLayer"}
        odd = dense("odd", activation="my_swish")
        table = {
            "module": "keras.layers", "class_name": "StringLookup", "registered_name": None, "name": "words",
            "config": {"name": "words", "vocabulary": "/etc/passwd"},
            "inbound_nodes": [{"args": [tensor("odd")], "kwargs": {}}],
        }  # fmt: skip
        (tmp_path / "many.keras").write_bytes(archive(functional(own, odd, table)))
        said = refused(tmp_path / "many.keras", tmp_path / "trace")
        assert "'mine' is of the class 'my>MyLayer'" in said
        assert "'odd' has as activation 'my_swish', which is no function of Keras" in said
        assert "'words' opens the file '/etc/passwd'" in said
        assert 'custom_objects = "layers.py:MyLayer"' in said

    def test_what_compile_was_told_is_never_deserialised(self, tmp_path: Path) -> None:
        """Keras 3 makes an optimizer and a loss of a nested model, whatever `compile=False` says."""
        trace = tmp_path / "trace"
        inner = nets.pencil()
        x = keras.Input((2, 3, 1))
        keras.Model(x, inner(x)).save(tmp_path / "fine.keras")
        with pytest.MonkeyPatch.context() as patch:
            import zipfile

            with zipfile.ZipFile(tmp_path / "fine.keras") as file:
                members = {name: file.read(name) for name in file.namelist()}
            config = json.loads(members["config.json"])
            nested = next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Functional")
            nested["compile_config"] = {"optimizer": "adam", "loss": {
                "module": "no.such.module", "class_name": "Loss", "config": {}, "registered_name": "Loss"}}  # fmt: skip
            members["config.json"] = json.dumps(config).encode()
            with zipfile.ZipFile(tmp_path / "nested.keras", "w") as file:
                for name, data in members.items():
                    file.writestr(name, data)
            called: list[Any] = []
            patch.setattr(keras.Model, "compile_from_config", lambda self, config: called.append(config))
            model = load_model(allowed(tmp_path / "nested.keras"), tmp_path)
        assert called == []
        assert not trace.exists()
        np.testing.assert_allclose(nets.explain(model, "predict").scores, nets.LOGITS, rtol=1e-6)

    def test_a_document_in_the_document(self, tmp_path: Path) -> None:
        """A constant that tf_keras decodes a second time, into a type of the file's choice."""
        layer = {
            "class_name": "TFOpLambda", "name": "op", "config": {"name": "op", "function": "math.add"},
            "inbound_nodes": [["_CONSTANT_VALUE", -1, ["_COMPOSITE_TYPE", "{}"], {"y": ["image", 0, 0]}]],
        }  # fmt: skip
        (tmp_path / "evil.keras").write_bytes(archive(functional(layer)))
        assert "a composite tensor, which is read as another document" in refused(
            tmp_path / "evil.keras", tmp_path / "x"
        )

    @pytest.mark.parametrize("name", ["deserialize", "get_file", "Custom>Evil"])
    def test_what_is_no_layer_of_keras(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "evil.keras").write_bytes(archive(functional(dense() | {"class_name": name})))
        assert f"'dense' is of the class {name!r}" in refused(tmp_path / "evil.keras", tmp_path / "trace")

    @pytest.mark.parametrize("key", ["training_config", "build_config", "compile_config", "keras_version", "name"])
    def test_an_object_that_is_made_while_the_text_is_read(self, key: str, tmp_path: Path) -> None:
        """tf_keras makes whatever is marked so, in any place of the JSON, before it looks at the model."""
        trace = tmp_path / "trace"
        model, config = self.lambda_config(trace)
        hidden = {"class_name": "Functional", "__passive_serialization__": True, "config": config["config"]}
        plain = small(tf_keras.layers.Dense(1))
        plain.save(tmp_path / "evil.h5")
        with h5py.File(tmp_path / "evil.h5", "a") as file:
            file.attrs["model_config"] = json.dumps(json.loads(plain.to_json()) | {key: hidden})
        if key == "compile_config":
            # It is taken out before Keras reads the rest, wherever it stands.
            load_model(allowed(tmp_path / "evil.h5"), tmp_path)
            assert not trace.exists()
        else:
            assert "made while the text is read" in refused(tmp_path / "evil.h5", trace)

    def test_another_class_by_its_registered_name(self, tmp_path: Path) -> None:
        layer = dense() | {"class_name": "Foo", "registered_name": "StringLookup"}
        (tmp_path / "evil.keras").write_bytes(archive(functional(layer)))
        assert "'Foo', registered as 'StringLookup'" in refused(tmp_path / "evil.keras", tmp_path / "trace")

    @pytest.mark.parametrize("how", ["external", "virtual"])
    @pytest.mark.parametrize("ending", ["h5", "keras"])
    def test_weights_that_lie_in_another_file(self, how: str, ending: str, tmp_path: Path) -> None:
        import io
        import zipfile

        model = small(tf_keras.layers.Dense(1))
        model.save(tmp_path / f"net.{ending}")
        (tmp_path / "raw.bin").write_bytes(np.full(200, 5, np.float32).tobytes())
        if ending == "h5":
            data = (tmp_path / "net.h5").read_bytes()
        else:
            with zipfile.ZipFile(tmp_path / "net.keras") as old:
                members = {name: old.read(name) for name in old.namelist()}
            data = members["model.weights.h5"]
        buffer = io.BytesIO(data)
        with h5py.File(buffer, "a") as file:
            names: list[str] = []
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            name, shape = names[0], file[names[0]].shape
            del file[name]
            if how == "external":
                file.create_dataset(
                    name, shape, "f4", external=[(str(tmp_path / "raw.bin"), 0, 4 * int(np.prod(shape)))]
                )
            else:
                layout = h5py.VirtualLayout(shape, "f4")
                layout[...] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", shape)
                file.create_virtual_dataset(name, layout)
        if ending == "h5":
            (tmp_path / "net.h5").write_bytes(buffer.getvalue())
        else:
            with zipfile.ZipFile(tmp_path / "net.keras", "w") as new:
                for member, content in (members | {"model.weights.h5": buffer.getvalue()}).items():
                    new.writestr(member, content)
        with pytest.raises(ModelNotLoadable, match="another file"):
            load_model(allowed(tmp_path / f"net.{ending}"), tmp_path)

    def test_groups_that_hold_themselves_end(self, tmp_path: Path) -> None:
        nets.pencil().save(tmp_path / "round.h5")
        with h5py.File(tmp_path / "round.h5", "a") as file:
            group = file.create_group("zz")
            group["a"], group["b"], group["c"] = group, group, h5py.SoftLink("/zz")
        allowed(tmp_path / "round.h5")

    @pytest.mark.parametrize("name", ["model_config", "training_config", "keras_version"])
    def test_odd_attributes_are_said_to_be_damaged(self, name: str, tmp_path: Path) -> None:
        nets.pencil().save(tmp_path / "odd.h5")
        with h5py.File(tmp_path / "odd.h5", "a") as file:
            file.attrs[name] = np.arange(3)
        pytest.raises(ModelNotLoadable, allowed, tmp_path / "odd.h5").match("damaged")

    def test_a_link_to_another_file(self, tmp_path: Path) -> None:
        nets.pencil().save(tmp_path / "linked.h5")
        with h5py.File(tmp_path / "linked.h5", "a") as file:
            file["model_weights/out"] = h5py.ExternalLink("/etc/passwd", "/x")
        assert "a link to another file" in refused(tmp_path / "linked.h5", tmp_path / "trace")


class TestTrust:
    def test_a_lambda_computes_once_the_spec_trusts_it(self, tmp_path: Path) -> None:
        x = keras.Input((2, 3, 1), name="image")
        doubled = keras.layers.Lambda(lambda value: value * 2, output_shape=(2, 3, 1), name="double")(x)
        keras.Model(x, nets.pencil("bare")(doubled)).save(tmp_path / "net.keras")
        (tmp_path / "model.toml").write_text('id = "double"\nweights = "net.keras"\ntrusted = true\n')
        assert spec_of_file(tmp_path).trusted
        scores = nets.explain(trusted(tmp_path), "predict").scores
        # Twice the image: twice the logits without their bias.
        np.testing.assert_allclose(scores, 2 * (nets.LOGITS - nets.BIAS) + nets.BIAS, rtol=1e-6)

    @pytest.mark.parametrize("version", [2, 3])
    def test_own_classes_from_a_file_beside_the_model(self, version: int, tmp_path: Path) -> None:
        """The very file that people wrote: for a model of Keras 2 its imports mean Keras 2."""
        (tmp_path / "layers.py").write_text(
            "import tensorflow as tf\n"
            "from tensorflow.keras import layers\n"
            "class Tripled(layers.Layer):\n"
            "    def call(self, x):\n"
            "        return tf.identity(x) * 3\n"
            "def shifted(x):\n"
            "    return x + 1.0\n"
        )
        module = tf_keras if version == 2 else keras

        class Tripled(module.layers.Layer):  # type: ignore[misc, name-defined]
            def call(self, x: Any) -> Any:
                return x * 3

        def shifted(x: Any) -> Any:
            return x + 1.0

        image = module.Input((1, 1, 1), name="image")
        flat = module.layers.Flatten()(Tripled(name="tripled")(image))
        out = module.layers.Dense(1, activation=shifted, kernel_initializer="ones", name="scores")(flat)
        module.Model(image, out).save(tmp_path / "net.h5")
        text = (
            'id = "own"\nweights = "net.h5"\ntrusted = true\ncustom_objects = "layers.py:Tripled, layers.py:shifted"\n'
        )
        (tmp_path / "model.toml").write_text(text)
        model = trusted(tmp_path)
        scores = nets.explain(model, "predict", np.full((1, 1, 1, 1), 2, np.float32)).scores
        np.testing.assert_allclose(scores, [7.0])

    @pytest.mark.parametrize(
        ("objects", "said"),
        [
            ("layers.py:Missing", "the file 'layers.py' of model 'own' defines no 'Missing'"),
            ("layers", "custom_objects of model 'own' has 'layers'; write file and name"),
            ("other.py:X", "the file 'other.py' of model 'own' cannot be run: FileNotFoundError"),
            ("broken.py:X", "the file 'broken.py' of model 'own' cannot be run: ZeroDivisionError: division by zero"),
        ],
    )
    def test_custom_objects_that_are_not_there(self, objects: str, said: str, tmp_path: Path) -> None:
        nets.pencil().save(tmp_path / "net.keras")
        (tmp_path / "layers.py").write_text("X = 1\n")
        (tmp_path / "broken.py").write_text("1 / 0\n")
        text = f'id = "own"\nweights = "net.keras"\ntrusted = true\ncustom_objects = "{objects}"\n'
        (tmp_path / "model.toml").write_text(text)
        with pytest.raises(ModelNotLoadable) as caught:
            trusted(tmp_path)
        assert caught.value.detail.startswith(said)

    def test_code_is_named_with_trust_alone(self, tmp_path: Path) -> None:
        nets.pencil().save(tmp_path / "net.keras")
        (tmp_path / "model.toml").write_text('id = "own"\nweights = "net.keras"\ncustom_objects = "layers.py:X"\n')
        with pytest.raises(ModelNotLoadable, match="say 'trusted = true' to allow it"):
            spec_of_file(tmp_path)

    def test_where_trust_comes_from(self, tmp_path: Path) -> None:
        models, uploads = tmp_path / "models", tmp_path / "data" / "uploads"
        mine = ModelSpec(id="m", weights="m.keras", folder=models / "m", trusted=True)
        for spec, all_of_folder, expected in (
            (mine, False, Trust.WHOLE),
            (mine.model_copy(update={"trusted": False}), False, Trust.NO_CODE),
            (mine.model_copy(update={"trusted": False}), True, Trust.WHOLE),
            (mine.model_copy(update={"folder": uploads / "x"}), True, Trust.UPLOAD),
            (mine.model_copy(update={"folder": tmp_path / "elsewhere"}), True, Trust.SHIPPED),
        ):
            assert trust_in(spec, models, uploads, all_of_folder=all_of_folder) is expected

    def test_the_engine_asks_for_it(self, tmp_path: Path) -> None:
        models = tmp_path / "models"
        models.mkdir()
        with_lambda().save(models / "odd.keras")
        running = start_service(tmp_path, models_dir=models, preload="")
        try:
            answer = running.client.post("/v1/models/odd/predict", content=saved(triangle()), headers=PNG)
            problem(answer, 409, "model-not-loadable", "'odd' is a Lambda: it carries Python code")
            (models / "safe").mkdir()
            (models / "odd.keras").rename(models / "safe" / "odd.keras")
            (models / "safe" / "model.toml").write_text('id = "odd"\nweights = "odd.keras"\ntrusted = true\n')
            answer = running.client.post("/v1/models/odd/predict", content=saved(triangle()), headers=PNG)
            assert answer.status_code == 200, answer.text
        finally:
            running.stop()


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (["nowhere", 0, 0, {}], "the layer 'nowhere' is called from node 0, which is not there"),
        (["flatten", 3, 0, {}], "the layer 'flatten' is called from node 3, which is not there"),
        (["scores", 0, 0, {}], "the layer 'scores' follows from itself"),
    ],
)
def test_a_call_that_tf_keras_would_wait_for(reference: list[Any], said: str, tmp_path: Path) -> None:
    x = tf_keras.Input((4, 4, 1), name="image")
    model = tf_keras.Model(x, tf_keras.layers.Dense(2, name="scores")(tf_keras.layers.Flatten(name="flatten")(x)))
    model.save(tmp_path / "net.h5")
    config = json.loads(model.to_json())
    config["config"]["layers"][2]["inbound_nodes"] = [[reference]]
    with h5py.File(tmp_path / "net.h5", "a") as file:
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(ModelNotLoadable) as caught:
        allowed(tmp_path / "net.h5")
    assert caught.value.detail == f"the architecture in 'net.h5' is damaged: {said}"
