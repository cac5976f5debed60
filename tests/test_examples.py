"""Every example in `openapi_examples/` is called and compared with its recording.

`pytest tests/test_examples.py --update-examples` records the answers anew, for a person to review.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.examples import FOLDER, NAMES, STREAMS, call, differences, recording_of, request_of, trimmed


@pytest.mark.parametrize("name", NAMES)
def test_answer_is_as_recorded(name: str, service: Any, request: pytest.FixtureRequest) -> None:
    example = request_of(name)
    response = call(service.client, example)
    assert response.status_code == example["status"], response.text
    if example.get("accept") in STREAMS:
        assert STREAMS[example["accept"]] in response.content
        return
    recording = recording_of(name)
    if not response.content:
        assert not recording.exists()
        return
    if recording.suffix == ".txt":
        if request.config.getoption("--update-examples"):
            recording.write_text(response.text, encoding="utf-8")
        assert response.text == recording.read_text(encoding="utf-8")
        return
    body = response.json()
    if request.config.getoption("--update-examples"):
        recording.write_text(json.dumps(trimmed(body), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert differences(json.loads(recording.read_text(encoding="utf-8")), body) == []


def test_generated_documents_are_current() -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / "make_docs.py", "--check"], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ("", 0)


def test_the_table_of_errors_has_what_is_answered_and_no_more() -> None:
    text = (FOLDER.parent / "docs" / "errors.md").read_text(encoding="utf-8")
    assert "| 403 | `urn:kerascope:problem:not-allowed` | That is not allowed |\n" in text
    assert "| 409 | `urn:kerascope:problem:model-not-loadable` | The model cannot be loaded |\n" in text
    for group in ("invalid-request", "not-found", "configuration-error", "kerascope-error"):
        assert f"problem:{group}`" not in text


def test_differences_are_noticed() -> None:
    assert differences({"a": 1.0}, {"a": 1.01}) == [".a: 1.0 and 1.01"]
    assert differences({"a": [1]}, {"a": [1, 2]}) == [".a: 1 and 2 items"]
    assert differences({"a": 1}, {"b": 1}) == [": keys ['a'] and ['b']"]
    assert differences({"label": "x"}, {"label": "y"}) == [".label: 'x' and 'y'"]
