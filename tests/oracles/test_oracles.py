"""Our maps against those of the peers' own code, on one small network; `make oracles` writes the fixtures.

Where definitions differ, the row says why, and another one compares what is left without the difference.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracles.given import given
from tests.oracles.row import BEYOND_THREE, TOLERANCE, Row, fixture
from tests.oracles.table import ROWS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}, {row.peer}")
def test_a_map(row: Row) -> None:
    if not row.available:
        pytest.skip(f"{row.name} is not there")
    if row.estimate:
        errors, beyond = row.in_standard_errors()
        assert errors < row.most_errors
        assert beyond < BEYOND_THREE
    elif row.why:
        assert row.difference() > row.tolerance, "the definitions agree now: the row needs no reason"
    else:
        assert row.difference() < row.tolerance


def test_what_the_peers_were_given() -> None:
    """The weights, the image and the masks that ours draw are still those of the fixtures."""
    for name, values in given().items():
        np.testing.assert_allclose(values, fixture("given")[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("of", ["torch", "tensorflow"])
def test_the_networks_are_one(of: str) -> None:
    logits = fixture("given")["logits"]
    np.testing.assert_allclose(fixture(of)["logits"], logits, atol=TOLERANCE * np.abs(logits).max())
