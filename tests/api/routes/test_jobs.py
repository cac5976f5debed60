"""Background jobs over HTTP: submitted, followed, cancelled, and answered as a direct call would have been."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import keras
import numpy as np
import pytest
from PIL import Image

from service.api.answering.schemas_jobs import JobOut
from service.models.files.library import Library
from service.models.loaded import load_model
from tests.checks import CAM, MODEL, PNG, problem, saved, triangle
from tests.conftest import Service, start_service

PICTURE = saved(triangle())
ASYNC = {"Prefer": "respond-async"}
ASCENT = f"{MODEL}/maximization"
FILTERS = {"layer": "conv2d_1", "channels": "0-3", "steps": 20}
LONG = {"layer": "conv2d_3", "channels": "0-31", "steps": 10_000}


def submitted(service: Service, path: str = ASCENT, headers: dict[str, str] | None = None, **more: Any) -> Any:
    answer = service.client.post(path, headers=ASYNC | (headers or {}), **more)
    assert answer.status_code == 202, answer.text
    return answer


def ended(service: Service, job_id: str, limit_s: float = 60) -> dict[str, Any]:
    return until(service, job_id, lambda job: job["state"] in ("succeeded", "failed", "cancelled"), limit_s)


def until(
    service: Service, job_id: str, holds: Callable[[dict[str, Any]], bool], limit_s: float = 60
) -> dict[str, Any]:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        job = service.client.get(f"/v1/jobs/{job_id}").json()
        if holds(job):
            return dict(job)
        time.sleep(0.02)
    raise TimeoutError(f"the job is {job}")


def events(service: Service, job_id: str, last: str | None = None) -> list[tuple[str, str, dict[str, Any], float]]:
    """Name, ID, data and moment of every event until the stream ends."""
    found, fields = [], {}
    with service.client.stream(
        "GET", f"/v1/jobs/{job_id}/events", headers={} if last is None else {"Last-Event-ID": last}
    ) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            fields[name] = value
            if name == "data":
                found.append((fields["event"], fields["id"], json.loads(value), time.monotonic()))
    return found


class TestSubmission:
    def test_the_answer_says_where_the_job_is(self, service: Service) -> None:
        answer = submitted(service, params=FILTERS)
        job = JobOut.model_validate(answer.json())
        assert answer.headers["location"] == f"/v1/jobs/{job.id}" == job.links.self
        assert answer.headers["preference-applied"] == "respond-async"
        assert (job.method, job.model, job.priority) == ("maximization", "shapes", 5)
        done = ended(service, job.id)
        assert (done["state"], done["step"], done["total"], done["progress"]) == ("succeeded", 20, 20, 1.0)
        assert done["attempts"] == 1
        assert done["created_at"] <= done["started_at"] <= done["finished_at"] < done["expires_at"]

    @pytest.mark.parametrize("query", [{"method": "layercam"}, {"method": "gradcam", "target": "square"}])
    def test_a_job_gives_what_a_direct_call_gives(self, service: Service, query: dict[str, str]) -> None:
        parameters = query | {"format": "npy"}
        direct = service.client.post(CAM, params=parameters, headers=PNG, content=PICTURE)
        job = submitted(service, CAM, PNG, params=parameters, content=PICTURE).json()
        assert ended(service, job["id"])["method"] == "cam"
        result = service.client.get(job["links"]["result"])
        np.testing.assert_array_equal(np.load(io.BytesIO(result.content)), np.load(io.BytesIO(direct.content)))

    def test_several_methods_are_one_job(self, service: Service) -> None:
        query = {"methods": "gradcam,occlusion"}
        job = submitted(service, f"{MODEL}/explain", PNG, params=query, content=PICTURE).json()
        done = ended(service, job["id"])
        assert (done["state"], done["method"], done["step"]) == ("succeeded", "explain", done["total"])
        body = service.client.get(job["links"]["result"]).json()
        assert [result["name"] for result in body["results"]] == ["gradcam", "occlusion"]

    @pytest.mark.parametrize(
        ("route", "query", "parameters"),
        [
            (
                ASCENT,
                {"layer": "conv2d_3", "channels": "0-2", "steps": "3"},
                {"layer": "conv2d_3", "channels": [0, 1, 2], "steps": 3},
            ),
            (CAM, {"method": "layercam", "target": "square"}, {"method": "layercam", "target": "square"}),
            (f"{MODEL}/explain", {"methods": "gradcam,occlusion"}, None),
        ],
        ids=["ascent", "cam", "several methods"],
    )
    def test_it_tells_its_parameters_as_they_were_submitted(
        self, service: Service, route: str, query: dict[str, str], parameters: dict[str, Any] | None
    ) -> None:
        image = {} if route == ASCENT else {"headers": PNG, "content": PICTURE}
        job = submitted(service, route, params=query, **image).json()
        assert job["parameters"] == parameters
        assert ended(service, job["id"])["parameters"] == parameters

    def test_waiting_gives_the_answer_itself(self, service: Service) -> None:
        answer = service.client.post(ASCENT, params=FILTERS, headers={"Prefer": "wait=30"})
        assert answer.status_code == 200
        assert answer.headers["preference-applied"] == "wait=30"
        body = answer.json()
        assert body["method"]["variant"] == "chollet"
        assert [image["name"] for image in body["images"]] == ["grid", *(f"image:{n}" for n in range(4)), "history"]
        assert service.client.get(answer.headers["location"]).json()["state"] == "succeeded"

    def test_not_long_enough(self, service: Service) -> None:
        answer = service.client.post(ASCENT, params=LONG, headers={"Prefer": "respond-async, wait=1"})
        assert answer.status_code == 202
        assert answer.headers["preference-applied"] == "respond-async, wait=1"
        job = answer.json()
        assert job["state"] in ("queued", "running")
        service.client.delete(f"/v1/jobs/{job['id']}")

    def test_a_direct_call_may_wait_as_it_always_does(self, service: Service) -> None:
        answer = service.client.post(CAM, headers=PNG | {"Prefer": "wait=5"}, content=PICTURE)
        assert answer.status_code == 200
        assert "location" not in answer.headers

    def test_a_repeated_submission_is_one_job(self, service: Service) -> None:
        key = {"Idempotency-Key": f"twice-{time.time_ns()}"}
        first, second = (submitted(service, headers=key, params=FILTERS).json() for _ in range(2))
        assert first["id"] == second["id"]
        other = service.client.post(ASCENT, params=FILTERS | {"seed": 1}, headers=ASYNC | key)
        problem(other, 409, "idempotency-key-reused")

    def test_priority(self, service: Service) -> None:
        blocker = submitted(service, params=LONG).json()["id"]
        until(service, blocker, lambda job: job["state"] == "running")
        jobs = [submitted(service, params=FILTERS | {"priority": number}).json()["id"] for number in (9, 5, 1)]
        service.client.delete(f"/v1/jobs/{blocker}")
        started = [ended(service, job)["started_at"] for job in jobs]
        assert started == sorted(started, reverse=True)


class TestRefused:
    @pytest.mark.parametrize(
        ("query", "status", "kind", "words"),
        [
            ({}, 422, "invalid-parameter", "layer=<name>"),
            ({"layer": "conv9"}, 404, "unknown-layer", "'conv2d'"),
            ({"layer": "conv2d", "channels": "0-32"}, 422, "invalid-parameter", "0 to 31"),
            ({"layer": "conv2d", "target": "circle"}, 422, "invalid-parameter", "layer=<name>"),
            ({"target": "top1"}, 422, "invalid-parameter", "rank in the prediction"),
            ({"target": "hexagon"}, 404, "unknown-class", "hexagon"),
            ({"layer": "conv2d", "preset": "deepdream"}, 422, "invalid-parameter", "chollet"),
            ({"layer": "conv2d", "size": 4}, 422, "invalid-parameter", "8 to 1024"),
            ({"layer": "conv2d", "step": 4}, 422, "invalid-parameter", "'steps'"),
            ({"layer": "conv2d", "channels": "0-31", "steps": 10_001}, 422, "invalid-parameter", "10000"),
            ({"layer": "conv2d", "priority": 0}, 422, "invalid-parameter", "priority"),
            ({"layer": "conv2d", "init": "image"}, 400, "malformed-body", "no image"),
            ({"layer": "conv2d", "outputs": "heatmap"}, 422, "invalid-parameter", "grid"),
            ({"layer": "conv2d", "format": "bmp"}, 422, "invalid-parameter", "webp"),
        ],
    )
    def test_at_once(self, service: Service, query: dict[str, Any], status: int, kind: str, words: str) -> None:
        problem(service.client.post(ASCENT, params=query), status, kind, words)

    def test_an_image_that_nothing_looks_at(self, service: Service) -> None:
        answer = service.client.post(ASCENT, params={"layer": "conv2d"}, headers=PNG, content=PICTURE)
        problem(answer, 422, "invalid-parameter", "init=image")

    def test_a_key_that_is_none(self, service: Service) -> None:
        answer = service.client.post(ASCENT, params=FILTERS, headers={"Idempotency-Key": "two words"})
        problem(answer, 422, "invalid-parameter", "Idempotency-Key")

    def test_an_ascent_among_several_methods(self, service: Service) -> None:
        query = {"methods": "gradcam,maximization"}
        answer = service.client.post(f"{MODEL}/explain", params=query, headers=PNG, content=PICTURE)
        problem(answer, 404, "unknown-method", "'maximization'")

    @pytest.mark.parametrize("path", ["", "/events", "/preview", "/result"])
    def test_no_such_job(self, service: Service, path: str) -> None:
        problem(service.client.get(f"/v1/jobs/none{path}"), 404, "unknown-job", "'none'")

    def test_queries(self, service: Service) -> None:
        problem(service.client.get("/v1/jobs", params={"status": "queued"}), 422, "invalid-parameter", "'state'")
        problem(service.client.get("/v1/jobs", params={"state": "done"}), 422, "invalid-parameter", "succeeded")


@pytest.fixture(scope="module")
def job(service: Service) -> dict[str, Any]:
    """A job of four images with frames of their ascent, submitted with format=png, that has ended."""
    query = FILTERS | {"format": "png", "frames": 4}
    return ended(service, submitted(service, params=query).json()["id"])


class TestResult:
    def get(self, service: Service, job: dict[str, Any], accept: str = "*/*", **query: str) -> httpx.Response:
        return service.client.get(job["links"]["result"], params=query, headers={"Accept": accept})

    def test_the_form_of_the_submission(self, service: Service, job: dict[str, Any]) -> None:
        answer = self.get(service, job)
        assert answer.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(answer.content)).size[0] >= 4 * 48

    @pytest.mark.parametrize("form", ["webp", "gif"])
    def test_moving(self, service: Service, job: dict[str, Any], form: str) -> None:
        for answer in (self.get(service, job, format=form), self.get(service, job, f"image/{form}")):
            with Image.open(io.BytesIO(answer.content)) as moving:
                assert (moving.format, moving.n_frames) == (form.upper(), 4)

    def test_raw(self, service: Service, job: dict[str, Any]) -> None:
        images = np.load(io.BytesIO(self.get(service, job, format="npy").content))
        assert (images.shape, images.dtype) == ((4, 28, 28, 3), np.float32)
        with np.load(io.BytesIO(self.get(service, job, format="npz").content)) as arrays:
            np.testing.assert_array_equal(arrays["images"], images)
            assert arrays["history"].shape == (4, 20)
            # Channel 1 of this layer is dead.
            assert (arrays["activation"] > arrays["history"][:, 0]).tolist() == [True, False, True, True]

    def test_json_with_a_choice_of_pictures(self, service: Service, job: dict[str, Any]) -> None:
        body = self.get(service, job, "application/json", outputs="history,animation", arrays="list").json()
        assert [(image["name"], image["media_type"]) for image in body["images"]] == [
            ("history", "image/png"),
            ("animation", "image/webp"),
        ]
        assert next(array for array in body["arrays"] if array["name"] == "history")["shape"] == [4, 20]
        rows = body["statistics"]["images"]
        assert [row["name"] for row in rows] == ["0", "1", "2", "3"]
        assert all(len(row["history"]) == 20 for row in rows)

    def test_statistics_of_what_was_submitted_as_npz(self, service: Service) -> None:
        """A direct call would compute none: its answer could hold none."""
        query = {"layers": "conv2d_1", "format": "npz"}
        more = {"params": query, "content": PICTURE, "headers": PNG}
        job = ended(service, submitted(service, f"{MODEL}/activations", **more).json()["id"])
        body = self.get(service, job, "application/json").json()
        direct = service.client.post(f"{MODEL}/activations", **more | {"params": query | {"format": "json"}}).json()
        assert body["statistics"] == direct["statistics"]
        assert len(body["statistics"]["conv2d_1"]["mean"]) > 1
        assert body["warnings"] == direct["warnings"]

    def test_what_cannot_be_given(self, service: Service, job: dict[str, Any]) -> None:
        problem(self.get(service, job, "text/html"), 406, "not-acceptable", "image/png")
        problem(self.get(service, job, outputs="mask"), 422, "invalid-parameter", "grid")
        problem(self.get(service, job, top="3"), 422, "invalid-parameter", "top")
        still = ended(service, submitted(service, params=FILTERS).json()["id"])
        problem(self.get(service, still, format="webp"), 422, "invalid-parameter", "frames=24")

    def test_preview(self, service: Service, job: dict[str, Any]) -> None:
        assert job["preview_version"] >= 1
        picture = service.client.get(job["links"]["preview"])
        assert picture.headers["cache-control"] == "no-store"
        assert Image.open(io.BytesIO(picture.content)).format == "PNG"


@pytest.mark.parametrize("preset", ["chollet", "lucid"])
def test_without_a_photograph_the_image_is_preprocessed_all_the_same(
    service: Service, preset: str, tmp_path: Path
) -> None:
    """The levels of the result, divided by 255 as this network wants them, have the objective that is told."""
    query = FILTERS | {"layer": "conv2d", "preset": preset, "steps": 5, "format": "npz"}
    job = submitted(service, params=query).json()["id"]
    assert ended(service, job)["state"] == "succeeded"
    found = np.load(io.BytesIO(service.client.get(f"/v1/jobs/{job}/result").content))
    network = load_model(Library(None).get("shapes"), tmp_path).keras_model
    maps = keras.Model(network.inputs[0], network.get_layer("conv2d").output)(found["images"] / 255)
    means = np.asarray(maps).mean(axis=(1, 2))[:, :4].diagonal()
    np.testing.assert_allclose(found["activation"], means, rtol=1e-4)


class TestFollowing:
    def test_events(self, service: Service) -> None:
        job = submitted(service, params=LONG | {"steps": 300}).json()
        found = events(service, job["id"])
        names = [name for name, *_ in found]
        assert names == ["progress"] * (len(found) - 1) + ["succeeded"]
        assert len({identity for _, identity, *_ in found}) == len(found) > 5
        steps = [data["step"] for _, _, data, _ in found if data["step"] is not None]
        assert steps == sorted(steps)
        assert steps[-1] == found[-1][2]["total"]
        moments = [at for *_, at in found[1:-1]]
        assert len(moments) <= (moments[-1] - moments[0]) * 5 + 2
        told = [data for _, _, data, _ in found[:-1] if data["seconds_left"] is not None]
        assert told[-1]["seconds_left"] < told[0]["seconds_left"]
        assert told[-1]["loss"] > told[0]["loss"]
        assert told[-1]["preview_version"] >= 1
        assert found[-1][2]["loss"] >= told[-1]["loss"]

    def test_going_on_after_the_last_event(self, service: Service) -> None:
        job = submitted(service, params=FILTERS).json()
        everything = events(service, job["id"])
        last = everything[-1][1]
        assert [name for name, *_ in events(service, job["id"])] == ["succeeded"]
        assert events(service, job["id"], last) == []
        assert [name for name, *_ in events(service, job["id"], everything[0][1])] == ["succeeded"]

    def test_list(self, service: Service) -> None:
        job = ended(service, submitted(service, params=FILTERS).json()["id"])
        newest = service.client.get("/v1/jobs", params={"limit": 1}).json()["jobs"]
        assert newest == [job]
        older = service.client.get("/v1/jobs", params={"limit": 1, "offset": 1}).json()["jobs"]
        assert older[0]["created_at"] <= job["created_at"]
        states = {
            item["state"] for item in service.client.get("/v1/jobs", params={"state": "succeeded"}).json()["jobs"]
        }
        assert states == {"succeeded"}


class TestCancelling:
    def test_a_running_job(self, service: Service) -> None:
        job = submitted(service, params=LONG).json()
        until(service, job["id"], lambda seen: (seen["step"] or 0) > 0)
        problem(service.client.get(job["links"]["result"]), 409, "job-without-result", "running")
        assert service.client.delete(job["links"]["self"]).json()["state"] == "cancelled"
        following = submitted(service, params=FILTERS | {"channels": "0", "steps": 1}).json()
        began = time.monotonic()
        assert ended(service, following["id"])["state"] == "succeeded"
        assert time.monotonic() - began < 5
        assert service.client.get(job["links"]["self"]).json()["state"] == "cancelled"
        problem(service.client.get(job["links"]["result"]), 409, "job-without-result", "cancelled")

    def test_a_waiting_job_and_one_that_has_ended(self, service: Service) -> None:
        running, waiting = (submitted(service, params=LONG).json() for _ in range(2))
        assert service.client.delete(waiting["links"]["self"]).json()["state"] == "cancelled"
        service.client.delete(running["links"]["self"])
        assert ended(service, waiting["id"])["attempts"] == 0
        assert service.client.delete(waiting["links"]["self"]).json()["state"] == "cancelled"


DIGESTS = ",".join(f"sha256:{sha256(key).hexdigest()}" for key in (b"first", b"second"))


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose jobs wait for a worker that never comes."""
    bounds = {"max_jobs_per_key": "2", "max_queued_jobs": "3"}
    folder = tmp_path_factory.mktemp("idle")
    running = start_service(folder, api_keys=DIGESTS, run_jobs="false", preload="", **bounds)
    yield running
    running.stop()


class TestOwners:
    def post(self, idle: Service, key: str, **more: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"} | more
        return idle.client.post(ASCENT, params=FILTERS, headers=headers)

    def test_bounds_and_owners(self, idle: Service) -> None:
        jobs = [self.post(idle, "first").json()["id"] for _ in range(2)]
        full = self.post(idle, "first")
        problem(full, 429, "too-many-jobs", "2")
        assert int(full.headers["retry-after"]) > 0
        third = self.post(idle, "second", **{"Idempotency-Key": "k"}).json()["id"]
        assert self.post(idle, "second", **{"Idempotency-Key": "k"}).json()["id"] == third
        full = self.post(idle, "second")
        problem(full, 503, "queue-full", "3")
        assert int(full.headers["retry-after"]) > 0
        headers = {"Authorization": "Bearer second"}
        for path in ("", "/events", "/preview", "/result"):
            problem(idle.client.get(f"/v1/jobs/{jobs[0]}{path}", headers=headers), 404, "unknown-job")
        problem(idle.client.delete(f"/v1/jobs/{jobs[0]}", headers=headers), 404, "unknown-job")
        listed = idle.client.get("/v1/jobs", headers=headers).json()["jobs"]
        assert [job["id"] for job in listed] == [third]
        assert listed[0]["state"] == "queued"
        first = {"Authorization": "Bearer first"}
        problem(idle.client.get(f"/v1/jobs/{jobs[0]}/preview", headers=first), 409, "job-without-result", "queued")
        assert idle.client.delete(f"/v1/jobs/{jobs[0]}", headers=first).json()["state"] == "cancelled"
        assert self.post(idle, "first").status_code == 202
