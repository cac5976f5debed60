"""Numbers of a model that are infinite or NaN are null in an answer, and no failure of the service."""

from __future__ import annotations

import numpy as np

from tests.checks import NPY, as_npy
from tests.conftest import Service

IMAGE = as_npy(np.full((2, 3, 1), 3, np.float32))


def test_scores_that_are_infinite_beside_a_map_that_is_not(pencils: Service) -> None:
    for method in ("cam", "saliency"):
        answer = pencils.client.post(
            f"/v1/models/large/{method}", content=IMAGE, headers=NPY, params={"preprocess": "false", "arrays": "list"}
        )
        assert answer.status_code == 200, answer.text
        assert {row["score"] for row in answer.json()["predictions"]} == {None}
        (heatmap, *_) = answer.json()["arrays"]
        assert np.isfinite(np.array(heatmap["data"], np.float64)).all()


def test_statistics_of_weights_that_are_no_numbers(pencils: Service) -> None:
    (kernel,) = pencils.client.get("/v1/models/nan/layers/conv").raise_for_status().json()["weights"]
    assert (kernel["shape"], kernel["mean"], kernel["min"], kernel["zero_share"]) == ([1, 1, 1, 2], None, None, 0)
