"""The use case without HTTP: the cheap checks come first, and the answer holds pictures, arrays and times."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.configuration import engine_config
from service.contract.models import Unloaded
from service.contract.options import AnswerOptions
from service.contract.questions import Load, Unload
from service.engine.host.pool import EnginePool, Place
from service.engine.host.queue import Deadline
from service.errors import ImageTooLarge, InvalidParameter, TooLarge, UndecodableImage, UnknownModel
from service.explainers import BY_NAME
from service.imaging.decode import DecodeLimits
from service.models.files.library import Library
from service.settings import Settings
from service.usecases.explain import Explain
from service.usecases.models import Models
from service.usecases.request import ExplainRequest, MethodCall, SentImage
from tests.checks import as_npy, saved, triangle

PICTURE = SentImage(saved(triangle()))


def request(model_id: str = "shapes", method: str = "cam", image: SentImage | None = PICTURE, **options: Any) -> Any:
    explainer = BY_NAME[method]
    params = explainer.Params(**({"layer": "conv2d"} if method == "kernels" else {}))
    return ExplainRequest(model_id, (MethodCall(method, explainer, params),), image, AnswerOptions(**options))


def run(folder: Path, body: Callable[[Any, Models], Awaitable[None]], *, started: bool) -> None:
    settings = Settings(data_dir=folder, preload="", device="cpu")
    library = Library(settings.models_folder)

    async def whole() -> None:
        engines = EnginePool([engine_config(settings, 0)], deadline_s=60 if started else 0.1, queue_limit=8)
        with ThreadPoolExecutor(2) as threads:
            explain = Explain(engines, library, DecodeLimits(10_000, 200), threads, max_response_bytes=50_000)
            if started:
                engines.start()
            try:
                place = Place("me", Deadline.after(60))
                await body(partial(explain, place=place), Models(engines, library, 60 if started else 0.1))
            finally:
                await engines.stop()

    asyncio.run(whole())


def test_what_can_be_refused_needs_no_engine(tmp_path: Path) -> None:
    async def body(explain: Any, models: Models) -> None:
        with pytest.raises(UnknownModel, match="no model 'shapez'"):
            await explain(request("shapez", image=SentImage(b"no image either")))
        with pytest.raises(InvalidParameter, match="'cam' draws"):
            await explain(request(outputs=("photo",), image=SentImage(b"no image either")))
        with pytest.raises(UndecodableImage, match="plain text"):
            await explain(request(image=SentImage(b"hello")))
        with pytest.raises(ImageTooLarge, match="201 x 2"):
            await explain(request(image=SentImage(saved(triangle(201, 2)))))
        with pytest.raises(ImageTooLarge, match="200 x 51"):
            await explain(request(image=SentImage(as_npy(np.zeros((51, 200, 3))), npy=True)))
        with pytest.raises(InvalidParameter, match="preprocess=false needs an array"):
            await explain(replace(request(), preprocess=False))
        with pytest.raises(UnknownModel):
            await models.describe("shapez", "me")
        with pytest.raises(UnknownModel):
            await models.ask(Load(model="shapez"), "me")
        rows = await models.overview()
        assert {row.state for row in rows} == {"cold"}
        assert [row.id for row in rows] == sorted(row.id for row in rows)

    run(tmp_path, body, started=False)


def test_answers(tmp_path: Path) -> None:
    async def body(explain: Any, models: Models) -> None:
        answer = await explain(request())
        (result,) = answer.results
        assert [(picture.name, picture.width, picture.height) for picture in result.pictures] == [
            ("overlay", 60, 40),
            ("heatmap", 60, 40),
        ]
        assert (result.name, result.said.primary) == ("cam", "heatmap")
        assert list(result.arrays) == ["heatmap"]
        assert answer.model.id == "shapes"
        assert answer.image is not None
        assert answer.image["format"] == "png"
        parts = ["decode", "load", "queue", "engine", "render", "total"]
        assert [name for name in answer.timing_ms if name != "trace"] == parts
        assert all(value >= 0 for value in answer.timing_ms.values())
        # The first call of a layer waits until it is compiled, and says so; the second waits for nothing.
        call = replace(request().methods[0], params=BY_NAME["cam"].Params(layer="conv2d"))
        asked = replace(request(), methods=(call,))
        first = (await explain(asked)).timing_ms
        assert first["trace"] > 1
        assert sum(value for name, value in first.items() if name != "total") <= first["total"] + 1
        assert "trace" not in (await explain(asked)).timing_ms

        (one,) = (await explain(request(format="png", outputs=("heatmap", "overlay")))).results
        assert [picture.name for picture in one.pictures] == ["heatmap"], "a png holds one picture"
        assert (one.pictures[0].width, one.pictures[0].height) == (60, 40 + 8 + 40)
        (one,) = (await explain(request(format="png"))).results
        assert one.pictures[0].data == result.pictures[0].data
        for form in ("npy", "npz"):
            assert (await explain(request(format=form))).results[0].pictures == (), "nobody would see them"

        kernels = await explain(request(method="kernels", image=None))
        assert kernels.image is None
        assert kernels.results[0].arrays["kernels"].shape == (3, 3, 32)

        with pytest.raises(TooLarge, match=r"more than one answer may hold \(50000\)"):
            await explain(request(method="activations", format="npz"))
        together = await explain(request(method="activations", format="png"))
        assert len(together.results[0].pictures) == 1, "the grids of all layers in one picture"

        details = await models.describe("shapes", "me")
        assert (details.state, details.device) == ("warm", "cpu")
        assert (await models.overview())[0].id == "shapes", "warm ones first"
        assert await models.ask(Unload(model="shapes"), "me") == Unloaded(unloaded=True)

    run(tmp_path, body, started=True)
