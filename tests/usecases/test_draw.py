"""From arrays to pictures, by numbers: sizes, colours, what padding shows, which pictures there are."""

from __future__ import annotations

import io
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from PIL import Image

from service.contract.options import AnswerOptions, PictureFormat
from service.contract.results import MethodRef, MethodResult
from service.errors import InvalidParameter, TooLarge
from service.explainers import BY_NAME
from service.explainers.cam import CamParams
from service.explainers.forms import MAX_CHANNEL_PICTURES
from service.explainers.occlusion import OcclusionParams
from service.explainers.params import ExplainerParams, TileParams
from service.explainers.saliency import SaliencyParams
from service.imaging import colormaps
from service.usecases.draw import (
    Scene,
    clipped,
    draw,
    encode,
    known_outputs,
    split_names,
    visible,
)

Array = np.ndarray[Any, Any]
CAM = BY_NAME["cam"]
KERNELS = BY_NAME["kernels"]
ACTIVATIONS = BY_NAME["activations"]
BOTH = ("overlay", "heatmap")


SCENE = Scene((0, 0, 4, 6), (8, 8))


def result(params: ExplainerParams, arrays: dict[str, Array], normalize: str = "max") -> MethodResult:
    """What the engine says beside those arrays, as far as drawing asks for it."""
    effective = params.model_dump(mode="json") | {"normalize": normalize}
    maps = [name for name in arrays if name.startswith("heatmap")]
    method = MethodRef(name="cam", variant="gradcam", parameters=effective, reference=None)
    nothing = {"target": None, "targets": [], "predictions": [], "statistics": {}, "warnings": []}
    return MethodResult(method=method, primary="heatmap", maps=maps, titles={}, **nothing)


NOTHING = result(TileParams(), {})


def heatmaps(
    values: Array, image: Array, region: tuple[float, float, float, float] = (0, 0, 4, 6), **params: Any
) -> dict[str, Array]:
    arrays = {"heatmap": np.asarray(values, np.float32)}
    parsed = CamParams(**params)
    return dict(draw(CAM, parsed, Scene(region, (8, 8)), result(parsed, arrays), arrays, image, BOTH))


def gray(levels: Array) -> Array:
    return np.asarray(colormaps.apply(np.asarray(levels, np.float32), "gray"))


class TestWantedOutputs:
    def test_all_by_default(self) -> None:
        assert known_outputs(CAM, None) == BOTH
        assert known_outputs(CAM, ()) == ()
        assert known_outputs(CAM, ("heatmap",)) == ("heatmap",)

    def test_the_sentence_names_what_there_is(self) -> None:
        with pytest.raises(
            InvalidParameter, match="'cam' draws overlay, heatmap, not 'overlai'; the closest is 'overlay'"
        ):
            known_outputs(CAM, ("heatmap", "overlai"))
        with pytest.raises(InvalidParameter, match="'predict' draws no pictures, not 'heatmap'"):
            known_outputs(BY_NAME["predict"], ("heatmap",))

    @pytest.mark.parametrize(
        ("value", "names"), [("a, b", ["a", "b"]), ("", []), (" , ", []), (["a"], ["a"]), (None, None), (7, 7)]
    )
    def test_split_names(self, value: Any, names: Any) -> None:
        assert split_names(value) == names


class TestHeatmap:
    image = np.full((4, 6, 3), 100, np.uint8)

    def test_a_constant_map_is_all_one_colour(self) -> None:
        pictures = heatmaps(np.ones((2, 2)), self.image, colormap="gray")
        assert list(pictures) == ["overlay", "heatmap"]
        np.testing.assert_array_equal(pictures["heatmap"], np.full((4, 6, 3), 255))
        np.testing.assert_array_equal(pictures["overlay"], np.full((4, 6, 3), round(0.6 * 100 + 0.4 * 255)))

    def test_zero_is_the_bottom_of_the_colours(self) -> None:
        pictures = heatmaps(np.zeros((2, 2)), self.image, colormap="gray", alpha=1)
        np.testing.assert_array_equal(pictures["heatmap"], np.zeros((4, 6, 3)))

    def test_a_map_at_its_own_size(self) -> None:
        values = np.array([[0, 1], [2, 4]])
        pictures = heatmaps(values, self.image, colormap="gray", size="map")
        np.testing.assert_array_equal(pictures["heatmap"], gray(values / 4))
        assert pictures["overlay"].shape == (2, 2, 3)

    def test_the_models_input_size(self) -> None:
        pictures = heatmaps(np.ones((2, 2)), self.image, size="input")
        assert {picture.shape for picture in pictures.values()} == {(8, 8, 3)}

    def test_one_hot_cell_lies_where_it_should(self) -> None:
        values = np.zeros((2, 3))
        values[1, 2] = 5
        picture = heatmaps(values, np.zeros((40, 60, 3), np.uint8), colormap="gray", region=(0, 0, 40, 60))["heatmap"]
        assert picture[30, 50, 0] == 255
        assert picture[:10].max() == picture[:, :30].max() == 0

    def test_what_the_network_did_not_see_is_zero(self) -> None:
        """A centre crop of 40×40 from 40×60: ten columns at each side were never looked at."""
        picture = heatmaps(np.ones((2, 2)), np.zeros((40, 60, 3), np.uint8), colormap="gray", region=(0, 10, 40, 40))[
            "heatmap"
        ]
        assert picture[:, 10:50].min() == 255
        assert picture[:, :10].max() == picture[:, 50:].max() == 0

    def test_padding_is_black_at_the_inputs_size(self) -> None:
        """A photograph of 20×40, padded to a square: a quarter of the input above and below it is black."""
        image = np.full((20, 40, 3), 200, np.uint8)
        picture = heatmaps(np.zeros((2, 2)), image, alpha=0, size="input", region=(-10, 0, 40, 40))["overlay"]
        assert picture.shape == (8, 8, 3)
        assert (picture[:2].max(), picture[6:].max()) == (0, 0)
        assert picture[3:5].min() == 200

    @pytest.mark.parametrize(
        ("scale", "levels"),
        [("max", [0, 191, 255, 0]), ("minmax", [0, 0, 255, 0]), ("symmetric", [128, 223, 255, 128])],
    )
    def test_the_scale_is_that_of_what_the_network_saw(self, scale: Any, levels: list[int]) -> None:
        """The two middle columns of four hold 3 and 4; the others were never looked at, and are no least value."""
        arrays, params = {"heatmap": np.float32([[3, 4]])}, CamParams(colormap="gray")
        said, scene = result(params, arrays, scale), Scene((0, 1, 1, 2), (1, 2))
        picture = draw(CAM, params, scene, said, arrays, np.zeros((1, 4, 3), np.uint8), ("heatmap",))["heatmap"]
        assert np.abs(picture[0, :, 0] - np.array(levels)).max() <= 1

    def test_the_photograph_lies_under_the_map_at_the_inputs_size(self) -> None:
        """The network saw the 35 px from column 17 on of 40×70 px, at 7 px: a white square is where it was."""
        image = np.zeros((40, 70, 3), np.uint8)
        image[10:15, 27:32] = 255
        region = (0, 17, 40, 35)
        picture = heatmaps(np.zeros((8, 7)), image, alpha=0, size="map", region=region)["overlay"]
        expected = np.zeros((8, 7))
        expected[2, 2] = 255
        np.testing.assert_array_equal(picture[..., 0], expected)

    def test_outputs_are_drawn_in_the_order_asked_for(self) -> None:
        arrays = {"heatmap": np.ones((2, 2), np.float32)}
        said = result(CamParams(), arrays)
        for outputs in (("heatmap", "overlay"), ("overlay", "heatmap"), ("overlay",), ()):
            assert tuple(draw(CAM, CamParams(), SCENE, said, arrays, self.image, outputs)) == outputs


class TestSeveralTargets:
    image = np.full((4, 6, 3), 100, np.uint8)
    arrays: ClassVar = {
        "heatmap:285": np.array([[0, 1], [2, 4]], np.float32),
        "heatmap:285-101": np.array([[8, 0], [0, 0]], np.float32),
    }

    def test_each_map_has_its_pictures(self) -> None:
        params = CamParams(colormap="gray", size="map", alpha=1)
        pictures = draw(CAM, params, SCENE, result(params, self.arrays), self.arrays, self.image, BOTH)
        assert list(pictures) == ["overlay:285", "heatmap:285", "overlay:285-101", "heatmap:285-101"]
        for name in ("overlay", "heatmap"):
            np.testing.assert_array_equal(pictures[f"{name}:285"], gray(self.arrays["heatmap:285"] / 4))
            np.testing.assert_array_equal(pictures[f"{name}:285-101"], gray(self.arrays["heatmap:285-101"] / 8))

    def test_only_maps_are_drawn(self) -> None:
        arrays = self.arrays | {"gradient:285": np.ones((2, 2, 3), np.float32)}
        said = result(CamParams(), arrays)
        assert list(draw(CAM, CamParams(), SCENE, said, arrays, self.image, ("overlay",))) == [
            "overlay:285",
            "overlay:285-101",
        ]


class TestScales:
    """The map is [[-2, 0], [1, 4]]; what the engine says of its scale decides, and no default of the drawing."""

    values = np.array([[-2, 0], [1, 4]], np.float32)

    @pytest.mark.parametrize(
        ("normalize", "unit"),
        [("max", [[0, 0], [0.25, 1]]), ("minmax", [[0, 1 / 3], [0.5, 1]]), ("symmetric", [[0.25, 0.5], [0.625, 1]])],
    )
    def test_zero_lies_where_it_should(self, normalize: str, unit: list[list[float]]) -> None:
        params = CamParams(colormap="gray", size="map")
        arrays = {"heatmap": self.values}
        said = result(params, arrays, normalize)
        picture = draw(CAM, params, SCENE, said, arrays, np.zeros((4, 6, 3), np.uint8), ("heatmap",))["heatmap"]
        np.testing.assert_array_equal(picture, gray(np.array(unit)))

    def test_the_colours_are_those_the_engine_chose(self) -> None:
        """The parameter is None where the colormap follows from the sign."""
        params = SaliencyParams(sign="signed", size="map", clip=100)
        arrays = {"heatmap": self.values}
        said = result(params, arrays, "symmetric")
        said.method.parameters["colormap"] = "coolwarm"
        image = np.zeros((4, 6, 3), np.uint8)
        picture = draw(BY_NAME["saliency"], params, SCENE, said, arrays, image, ("heatmap",))["heatmap"]
        assert np.abs(picture[0, 1].astype(int) - 221).max() <= 2
        np.testing.assert_array_equal(picture[1, 1], [180, 4, 38])


class TestClip:
    values = np.array([-300, *range(-49, 50), 500], np.float32)[None]

    def test_magnitudes_beyond_the_percentile(self) -> None:
        """101 magnitudes, of which the 100th is 300, the 99th 49: the percentile between them by 0.5."""
        limit = float(np.percentile(np.abs(self.values), 99.5))
        assert limit == 400
        found = clipped(self.values, 98)
        assert (found.min(), found.max()) == (-49, 49)
        np.testing.assert_array_equal(found[0, 1:-1], self.values[0, 1:-1])

    @pytest.mark.parametrize("percentile", [None, 100])
    def test_nothing_is_clipped(self, percentile: float | None) -> None:
        np.testing.assert_array_equal(clipped(self.values, percentile), self.values)

    def test_a_map_that_is_nearly_all_zero_is_left_alone(self) -> None:
        values = np.zeros((10, 10), np.float32)
        values[0, 0] = 7
        np.testing.assert_array_equal(clipped(values, 60), values)

    def test_the_picture(self) -> None:
        values = np.full((10, 10), 1, np.float32)
        values[0, 0] = 100
        params = SaliencyParams(colormap="gray", size="map", clip=90)
        arrays = {"heatmap": values}
        image = np.zeros((10, 10, 3), np.uint8)
        said = result(params, arrays)
        picture = draw(BY_NAME["saliency"], params, Scene((0, 0, 10, 10), (10, 10)), said, arrays, image, ("heatmap",))
        assert picture["heatmap"].min() == 255
        np.testing.assert_array_equal(values[0, :2], [100, 1], "the raw map is as it was")


class TestMask:
    image = np.arange(1, 73, dtype=np.uint8).reshape(4, 6, 3)
    mask = np.array([[True, False], [False, False]])
    scene = Scene((0, 0, 4, 6), (2, 2))

    def draw(self, mask: Array, size: str, scene: Scene = scene, which: str = "") -> dict[str, Array]:
        params = OcclusionParams(size=size, colormap="gray")
        arrays = {f"heatmap{which}": mask.astype(np.float32), f"mask{which}": mask, f"windows{which}": np.ones((2, 2))}
        said = result(params, arrays)
        return dict(draw(BY_NAME["occlusion"], params, scene, said, arrays, self.image, ("mask", "masked")))

    def test_at_the_photographs_size(self) -> None:
        pictures = self.draw(self.mask, "original")
        assert list(pictures) == ["mask", "masked"]
        white = np.zeros((4, 6), bool)
        white[:2, :3] = True
        np.testing.assert_array_equal(pictures["mask"], np.repeat(white[..., None], 3, axis=2) * 255)
        np.testing.assert_array_equal(pictures["masked"], np.where(white[..., None], self.image, 0))

    def test_at_the_inputs_size(self) -> None:
        pictures = self.draw(self.mask, "input")
        np.testing.assert_array_equal(pictures["mask"][..., 0], [[255, 0], [0, 0]])
        assert pictures["masked"][0, 0].min() > 0 == pictures["masked"][self.mask == 0].max()

    @pytest.mark.parametrize(("value", "level"), [(True, 255), (False, 0)])
    def test_all_or_nothing(self, value: bool, level: int) -> None:
        pictures = self.draw(np.full((2, 2), value), "original")
        assert set(np.unique(pictures["mask"])) == {level}
        np.testing.assert_array_equal(pictures["masked"], self.image if value else 0 * self.image)

    def test_what_the_network_did_not_see_is_not_in_it(self) -> None:
        pictures = self.draw(np.ones((2, 2), bool), "original", Scene((0, 1, 4, 4), (2, 2)))
        np.testing.assert_array_equal(pictures["mask"][0, :, 0], [0, 255, 255, 255, 255, 0])

    def test_of_several_targets(self) -> None:
        assert list(self.draw(self.mask, "original", which=":285")) == ["mask:285", "masked:285"]


class TestVisible:
    def test_bytes_are_left_alone(self) -> None:
        image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
        np.testing.assert_array_equal(visible(image), image)

    def test_grey_and_alpha(self) -> None:
        grey = np.array([[[7], [9]]], np.uint8)
        np.testing.assert_array_equal(visible(grey), [[[7, 7, 7], [9, 9, 9]]])
        assert visible(np.zeros((2, 2, 4), np.uint8)).shape == (2, 2, 3)

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([0.0, 127.4, 255.0], [0, 127, 255]),
            ([0.0, 0.5, 1.0], [0, 128, 255]),
            ([-1.0, 0.0, 1.0], [0, 128, 255]),
            ([0.0, 500.0, 1000.0], [0, 128, 255]),
            ([0.0, 0.0, 0.0], [0, 0, 0]),
        ],
    )
    def test_floats(self, values: list[float], expected: list[int]) -> None:
        image = np.array(values, np.float32).reshape(1, 3, 1)
        np.testing.assert_array_equal(visible(image)[0, :, 0], expected)

    @pytest.mark.parametrize(
        ("channels", "stated", "expected"),
        [
            (2, None, [10, 10, 10]),
            (2, (1,), [11, 11, 11]),
            (5, None, [10, 11, 12]),
            (5, (4, 0, 2), [14, 10, 12]),
            (4, (3, 3, 0), [13, 13, 10]),
        ],
    )
    @pytest.mark.parametrize("dtype", [np.uint8, np.float32])
    def test_channels(self, channels: int, stated: Any, expected: list[int], dtype: Any) -> None:
        image = np.broadcast_to(np.arange(10, 10 + channels).astype(dtype), (2, 3, channels))
        np.testing.assert_array_equal(visible(image, stated), np.broadcast_to(expected, (2, 3, 3)))

    def test_only_what_is_drawn_is_spread(self) -> None:
        image = np.array([[[-4, 0, 900], [0, 2, 900], [4, 4, 900]]], np.float32)
        np.testing.assert_array_equal(visible(image, (1,))[0, :, 0], [0, 2, 4])
        np.testing.assert_array_equal(visible(image, (0,))[0, :, 0], [0, 128, 255])

    def test_a_constant_is_no_division_by_zero(self) -> None:
        assert visible(np.full((2, 2, 1), 0.5, np.float32)).dtype == np.uint8


class TestTiles:
    maps = np.random.default_rng(0).random((5, 5, 4)).astype(np.float32)

    def draw(self, arrays: dict[str, Any], **params: Any) -> dict[str, Array]:
        return dict(draw(ACTIVATIONS, TileParams(**params), SCENE, NOTHING, arrays, None, ("activations",)))

    def test_one_grid_a_layer(self) -> None:
        pictures = self.draw({"a": self.maps, "b/c": self.maps})
        assert list(pictures) == ["a", "b/c"]
        np.testing.assert_array_equal(pictures["a"], pictures["b/c"])

    def test_one_picture_a_channel(self) -> None:
        pictures = self.draw({"a": self.maps}, view="channel")
        assert list(pictures) == ["a:0", "a:1", "a:2", "a:3"]

    def test_channels_keep_their_numbers(self) -> None:
        pictures = self.draw({"a": self.maps[..., :2]}, view="channel", channels="17,3")
        assert list(pictures) == ["a:17", "a:3"]

    def test_colour_kernels(self) -> None:
        kernels = np.random.default_rng(0).random((3, 3, 3, 2)).astype(np.float32)
        pictures = dict(draw(KERNELS, TileParams(view="channel"), SCENE, NOTHING, {"k": kernels}, None, ("kernels",)))
        assert list(pictures) == ["k:0", "k:1"]

    def test_there_is_a_bound(self) -> None:
        many = np.zeros((1, 1, MAX_CHANNEL_PICTURES + 1), np.float32)
        with pytest.raises(InvalidParameter, match="1024 pictures.*view=grid"):
            self.draw({"a": many}, view="channel")
        with pytest.raises(InvalidParameter, match="1024 pictures"):
            self.draw({"a": many[..., 1:], "b": many[..., :1]}, view="channel")

    def test_no_outputs_no_pictures(self) -> None:
        assert draw(ACTIVATIONS, TileParams(), SCENE, NOTHING, {"a": self.maps}, None, ()) == {}


class TestMostOfASide:
    photograph = np.asarray(
        Image.fromarray(np.random.default_rng(3).integers(0, 256, (6, 8, 3), np.uint8)).resize((400, 300))
    )
    values = np.arange(12, dtype=np.float32).reshape(3, 4)

    def drawn(self, max_side: int | None, region: tuple[float, float, float, float], **params: Any) -> dict[str, Array]:
        parsed, arrays = CamParams(**params), {"heatmap": self.values}
        said, scene = result(parsed, arrays), Scene(region, (224, 224))
        return dict(draw(CAM, parsed, scene, said, arrays, self.photograph, BOTH, max_side))

    @pytest.mark.parametrize("region", [(0, 0, 300, 400), (20, 60, 240, 280), (-50, 0, 400, 400)])
    def test_a_smaller_picture_shows_the_same(self, region: tuple[float, float, float, float]) -> None:
        whole, small = self.drawn(None, region), self.drawn(100, region)
        for name, picture in small.items():
            assert picture.shape == (75, 100, 3)
            shrunk = cv2.resize(whole[name], (100, 75), interpolation=cv2.INTER_AREA)
            difference = np.abs(picture.astype(int) - shrunk)
            # At the border of what was seen a pixel may be in or out.
            assert np.percentile(difference, 95) <= 6

    @pytest.mark.parametrize(("size", "shape"), [("input", (100, 100)), ("original", (75, 100)), ("map", (3, 4))])
    def test_every_size_is_bounded(self, size: str, shape: tuple[int, int]) -> None:
        for picture in self.drawn(100, (0, 0, 300, 400), size=size).values():
            assert picture.shape == (*shape, 3)

    def test_what_is_no_larger_is_the_same(self) -> None:
        for name, picture in self.drawn(400, (0, 0, 300, 400)).items():
            np.testing.assert_array_equal(picture, self.drawn(None, (0, 0, 300, 400))[name])


class TestEncode:
    red = np.full((2, 3, 3), (255, 0, 0), np.uint8)
    blue = np.full((4, 3, 3), (0, 0, 255), np.uint8)

    def test_each_for_itself(self) -> None:
        first, second = encode({"a": self.red, "b": self.blue}, AnswerOptions(), together=False)
        assert (first.name, first.width, first.height) == ("a", 3, 2)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(first.data))), self.red)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(second.data))), self.blue)

    def test_together(self) -> None:
        (one,) = encode({"a": self.red, "b": self.blue}, AnswerOptions("png"), together=True)
        assert one.name == "a"
        assert one.height >= 6
        pixels = np.asarray(Image.open(io.BytesIO(one.data)))
        assert pixels.shape == (one.height, one.width, 3)
        np.testing.assert_array_equal(pixels[0, 0], (255, 0, 0))
        np.testing.assert_array_equal(pixels[-1, 0], (0, 0, 255))

    def test_nothing(self) -> None:
        assert encode({}, AnswerOptions("png"), together=True) == ()

    @pytest.mark.parametrize("form", ["jpeg", "webp"])
    def test_what_is_lost_follows_from_the_quality(self, form: PictureFormat) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
        smooth = np.asarray(Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC))
        sizes, losses = [], []
        for quality in (20, None, 100):
            (one,) = encode({"a": smooth}, AnswerOptions(form, quality=quality), together=False)
            assert (one.width, one.height, one.media_type) == (640, 480, f"image/{form}")
            file = Image.open(io.BytesIO(one.data))
            assert (file.format or "").lower() == form
            sizes.append(len(one.data))
            losses.append(float(np.abs(np.asarray(file.convert("RGB"), int) - smooth).mean()))
        assert sizes == sorted(sizes)
        assert losses == sorted(losses, reverse=True)
        assert losses[1] < 4
        assert losses[2] < 3

    def test_json_holds_what_was_asked_for(self) -> None:
        (one,) = encode({"a": self.red}, AnswerOptions(picture="webp"), together=False)
        assert one.media_type == "image/webp"
        assert Image.open(io.BytesIO(one.data)).format == "WEBP"

    @pytest.mark.parametrize(("form", "side"), [("webp", 16_384), ("jpeg", 65_501)])
    def test_larger_than_the_form_can_hold(self, form: PictureFormat, side: int) -> None:
        options = AnswerOptions(form)
        with pytest.raises(TooLarge, match=f"no side of {form.upper()} can have more than {side - 1}; ask for PNG"):
            encode({"a": np.zeros((side, 2, 3), np.uint8)}, options, together=False)
        (one,) = encode({"a": np.zeros((side - 1, 2, 3), np.uint8)}, options, together=False)
        assert Image.open(io.BytesIO(one.data)).size == (2, side - 1)
