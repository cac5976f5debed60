"""The pictures of a job's sets: decoded one at a time, and stopped between two of them."""

from __future__ import annotations

import numpy as np
import pytest

from service.contract.jobs import SetTaken
from service.imaging.decode import DecodeLimits
from service.imaging.picture_zip import zipped
from service.usecases.picture_sets import SetArrays
from service.usecases.request import ExplainRequest, SentSet
from tests.checks import saved, triangle


def test_a_call_can_be_stopped_between_two_pictures() -> None:
    data = zipped([(f"{place}.png", saved(triangle())) for place in range(5)])
    taken = SetTaken(pictures=tuple(f"{place}.png" for place in range(5)), left_out=())
    request = ExplainRequest("shapes", (), None, sets={"images": SentSet(data, taken)})
    asked: list[int] = []

    def before_each() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise InterruptedError

    arrays = SetArrays(request, DecodeLimits(max_pixels=100_000, max_side_px=1000), before_each)
    assert len(arrays) == 5
    np.testing.assert_array_equal(arrays["images/0"], np.asarray(triangle()))
    np.testing.assert_array_equal(arrays["images/4"], np.asarray(triangle()))
    with pytest.raises(InterruptedError):
        arrays["images/1"]
