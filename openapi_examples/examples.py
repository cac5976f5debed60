"""Every call of Kerascope with httpx, a function each.

`python examples.py` lists them, and `python examples.py cam occlusion` makes those two calls. KERASCOPE_URL and
KERASCOPE_KEY in the environment say where the service is and with which key it is called. Pictures are saved where the
program runs. `make docs` writes this file from requests/.
"""

import base64
import os
import sys
from pathlib import Path

import httpx

HERE = Path(__file__).parent
URL = os.environ.get("KERASCOPE_URL", "http://127.0.0.1:8000")
KEY = os.environ.get("KERASCOPE_KEY")


class Problem(Exception):
    """The service refused a call, and said why."""


def check(answer):
    """Raises what the service says was wrong."""
    if answer.is_error:
        answer.read()
        problem = answer.json()
        raise Problem(f"{answer.status_code}: {problem.get('detail') or problem['error']}")


client = httpx.Client(
    base_url=URL,
    headers={"Authorization": f"Bearer {KEY}"} if KEY else {},
    timeout=120,
    event_hooks={"response": [check]},
)


def read(file):
    """Gives the bytes of a file that lies beside this one."""
    return (HERE / file).read_bytes()


def base64_of(file):
    """Gives such a file as JSON holds it."""
    return base64.b64encode(read(file)).decode()


def wait_for(job):
    """Waits for a job's end, which is where its events end."""
    client.get(f"/v1/jobs/{job}/events")


def show(name, answer):
    """Prints an answer; the pictures in it are saved, under names that begin with the example's."""
    kind = answer.headers.get("Content-Type")
    if kind == "image/png":
        Path(f"{name}.png").write_bytes(answer.content)
    elif answer.content:
        print(answer.text)
    if kind == "application/json" and answer.content:
        found = answer.json()
        for result in found.get("results", [found]):
            for image in result.get("images", []):
                parts = [name, result.get("name"), image["name"]]
                file = "-".join(part for part in parts if part).replace("/", "_")
                Path(f"{file}.png").write_bytes(base64.b64decode(image["data"]))


def activations():
    """Feature maps of three layers, by index."""
    return client.post(
        "/v1/models/shapes/activations",
        params={"layers": "0,3,6"},
        content=read("triangle.png"),
        headers={"Content-Type": "image/png"},
    )


def cam():
    """Grad-CAM of the most probable class."""
    return client.post(
        "/v1/models/efficientnet-lite0/cam",
        content=read("cat.png"),
        headers={"Content-Type": "image/png"},
    )


def cam_json():
    """Grad-CAM with the image as base64 in JSON, raw map as a list."""
    return client.post(
        "/v1/models/shapes/cam",
        json={
            "image": base64_of("triangle.png"),
            "target": "triangle",
            "outputs": "overlay",
            "arrays": "list",
        },
    )


def cam_multipart():
    """Grad-CAM of a class by its label, as multipart form."""
    return client.post(
        "/v1/models/efficientnet-lite0/cam",
        data={"target": "tabby", "outputs": "heatmap"},
        files={"image": ("cat.png", read("cat.png"))},
    )


def cancel_job():
    """Cancel a job; one that has ended stays as it is."""
    job = submit_job().json()["id"]
    wait_for(job)
    return client.delete(f"/v1/jobs/{job}")


def change_model():
    """Share an uploaded model with every key (after upload_model)."""
    return client.patch("/v1/models/mine", json={"visibility": "shared"})


def check_served_model_ready():
    """Open Inference Protocol: is a model warm?"""
    return client.get("/v2/models/efficientnet-lite0/ready")


def check_served_version_ready():
    """Open Inference Protocol, an error: there is no such model."""
    return client.get("/v2/models/shape/versions/1/ready")


def check_server_live():
    """Open Inference Protocol: is the server alive?"""
    return client.get("/v2/health/live")


def check_server_ready():
    """Open Inference Protocol: can calls be answered?"""
    return client.get("/v2/health/ready")


def concepts():
    """The concepts that pictures of a class are made of, waited for up to a minute."""
    return client.post(
        "/v1/models/shapes/concepts",
        json={
            "images": [base64_of("triangle.png"), base64_of("cat.png")],
            "target": "triangle",
            "concepts": 2,
            "outputs": "sheet",
        },
        headers={"Prefer": "wait=60"},
    )


def delete_model():
    """Delete an uploaded model with all its versions (after upload_model)."""
    return client.delete("/v1/models/mine")


def describe_layer():
    """One layer with its config and weight statistics."""
    return client.get("/v1/models/shapes/layers/conv2d_5")


def describe_model():
    """What is known about a model."""
    return client.get("/v1/models/shapes")


def describe_served_model():
    """Open Inference Protocol: a model's input and outputs."""
    return client.get("/v2/models/efficientnet-lite0")


def describe_served_version():
    """Open Inference Protocol, an error: models that were not uploaded have no versions."""
    return client.get("/v2/models/shapes/versions/1")


def describe_server():
    """Open Inference Protocol: who answers."""
    return client.get("/v2")


def evaluate():
    """Three methods for one class, measured by three metrics and ranked."""
    return client.post(
        "/v1/models/shapes/evaluate",
        params={
            "methods": "gradcam,smoothgrad,occlusion",
            "metrics": "deletion,insertion,energy",
            "box": "14,14,50,50",
            "target": "triangle",
            "steps": 16,
            "outputs": "chart",
        },
        content=read("triangle.png"),
        headers={"Content-Type": "image/png"},
    )


def explain():
    """Several methods at once, by name or with parameters of their own."""
    return client.post(
        "/v1/models/shapes/explain",
        json={
            "image": base64_of("triangle.png"),
            "target": "triangle",
            "methods": [
                "gradcam",
                "gradcam++",
                {"method": "saliency", "variant": "smoothgrad", "samples": 10, "seed": 7},
                {"method": "occlusion", "patch": 7, "target": "triangle-square"},
            ],
            "outputs": "overlay",
            "top": 1,
        },
    )


def explain_instances():
    """KServe V1: a batch explained by a method with its parameters."""
    return client.post(
        "/v1/models/shapes:explain",
        json={
            "instances": [{"b64": base64_of("triangle.png")}],
            "parameters": {"method": "layercam", "target": "triangle", "layer": "conv2d_5", "top": 1},
        },
    )


def get_job():
    """How far a job is."""
    job = submit_job().json()["id"]
    wait_for(job)
    return client.get(f"/v1/jobs/{job}")


def infer_served_model():
    """Open Inference Protocol: a picture as BYTES, one of the two outputs."""
    return client.post(
        "/v2/models/shapes/infer",
        json={
            "id": "42",
            "inputs": [
                {
                    "name": "image",
                    "shape": [1],
                    "datatype": "BYTES",
                    "data": [base64_of("triangle.png")],
                },
            ],
            "outputs": [{"name": "probabilities"}],
        },
    )


def infer_served_version():
    """Open Inference Protocol: the first version of an uploaded model (after upload_model)."""
    return client.post(
        "/v2/models/mine/versions/1/infer",
        json={
            "inputs": [
                {
                    "name": "image",
                    "shape": [1],
                    "datatype": "BYTES",
                    "data": [base64_of("triangle.png")],
                },
            ],
        },
    )


def job_events():
    """Follow a job until it ends."""
    job = submit_job().json()["id"]
    with client.stream("GET", f"/v1/jobs/{job}/events", headers={"Accept": "text/event-stream"}) as events:
        for line in events.iter_lines():
            print(line)


def job_preview():
    """What a job has so far, as PNG."""
    job = submit_job().json()["id"]
    wait_for(job)
    return client.get(f"/v1/jobs/{job}/preview", headers={"Accept": "image/png"})


def job_result():
    """The result of a job, in another form than at its submission."""
    job = submit_job().json()["id"]
    wait_for(job)
    return client.get(f"/v1/jobs/{job}/result", params={"format": "json", "outputs": "grid"})


def kernels():
    """Kernels of the first convolution in gray."""
    return client.get("/v1/models/shapes/layers/0/kernels", params={"colormap": "gray", "filters": "0-15"})


def list_jobs():
    """The newest jobs that succeeded."""
    job = submit_job().json()["id"]
    wait_for(job)
    return client.get("/v1/jobs", params={"state": "succeeded", "limit": 100})


def list_layers():
    """Layers, and which methods take them."""
    return client.get("/v1/models/shapes/layers")


def list_methods():
    """The catalogue of methods, with what is valid for a model and why not."""
    return client.get("/v1/methods", params={"model": "shapes"})


def list_models():
    """Every model that can be loaded."""
    return client.get("/v1/models")


def livez():
    """Is the process alive?"""
    return client.get("/livez")


def load_model():
    """Warm a model now."""
    return client.post("/v1/models/shapes/load")


def maximization():
    """What excites the first eight filters of a convolution, waited for up to a minute."""
    return client.post(
        "/v1/models/shapes/maximization",
        json={
            "layer": "conv2d_1",
            "channels": "0-7",
            "size": 32,
            "steps": 30,
            "columns": 4,
            "outputs": "grid,history",
        },
        headers={"Prefer": "wait=60"},
    )


def metrics():
    """Metrics for Prometheus."""
    return client.get("/metrics", headers={"Accept": "text/plain;version=0.0.4"})


def model_summary():
    """model.summary() as text."""
    return client.get("/v1/models/shapes/summary", headers={"Accept": "text/plain"})


def model_versions():
    """The versions of an uploaded model (after upload_model)."""
    return client.get("/v1/models/mine/versions")


def occlusion():
    """What the probability loses where a part of the image is covered, and the part that matters."""
    return client.post(
        "/v1/models/efficientnet-lite0/occlusion",
        params={"patch": 64, "stride": 32},
        content=read("cat.png"),
        headers={"Content-Type": "image/png"},
    )


def perturbation():
    """Shapley values of the parts of the image, for the class and against it, with their standard errors."""
    return client.post(
        "/v1/models/shapes/perturbation",
        params={
            "method": "kernelshap",
            "target": "triangle",
            "cells": "6",
            "samples": 200,
            "outputs": "heatmap",
        },
        content=read("triangle.png"),
        headers={"Content-Type": "image/png"},
    )


def predict():
    """The most probable classes."""
    return client.post(
        "/v1/models/efficientnet-lite0/predict",
        params={"top": 3},
        content=read("cat.png"),
        headers={"Content-Type": "image/png"},
    )


def predict_instances():
    """KServe V1: the probability of every class, for a batch of pictures."""
    return client.post(
        "/v1/models/shapes:predict",
        json={
            "instances": [{"b64": base64_of("triangle.png")}, {"b64": base64_of("triangle.png")}],
        },
    )


def readyz():
    """Can calls be answered?"""
    return client.get("/readyz")


def saliency():
    """Integrated gradients with signs; the answer says how complete the sum is."""
    return client.post(
        "/v1/models/shapes/saliency",
        params={
            "method": "integrated_gradients",
            "target": "triangle",
            "sign": "signed",
            "outputs": "heatmap",
        },
        content=read("triangle.png"),
        headers={"Content-Type": "image/png"},
    )


def submit_job():
    """Any method as a background job."""
    return client.post(
        "/v1/models/shapes/maximization",
        params={"layer": "conv2d_1", "channels": "0-7", "steps": 40, "format": "png"},
        headers={"Prefer": "respond-async", "Idempotency-Key": "my-first-job"},
    )


def unknown_layer():
    """A problem: the layer does not exist."""
    return client.post(
        "/v1/models/efficientnet-lite0/cam",
        params={"layer": "top_activaton"},
        content=read("cat.png"),
        headers={"Content-Type": "image/png"},
    )


def unload_model():
    """Free a model's memory."""
    return client.post("/v1/models/shapes/unload")


def upload_model():
    """Upload a model; a second upload of its ID is its second version."""
    return client.post(
        "/v1/models",
        data={"id": "mine"},
        files={"model": ("shapes.keras", read("../service/models/catalogue/shapes/shapes.keras"))},
    )


EXAMPLES = {
    "activations": activations,
    "cam": cam,
    "cam_json": cam_json,
    "cam_multipart": cam_multipart,
    "cancel_job": cancel_job,
    "change_model": change_model,
    "check_served_model_ready": check_served_model_ready,
    "check_served_version_ready": check_served_version_ready,
    "check_server_live": check_server_live,
    "check_server_ready": check_server_ready,
    "concepts": concepts,
    "delete_model": delete_model,
    "describe_layer": describe_layer,
    "describe_model": describe_model,
    "describe_served_model": describe_served_model,
    "describe_served_version": describe_served_version,
    "describe_server": describe_server,
    "evaluate": evaluate,
    "explain": explain,
    "explain_instances": explain_instances,
    "get_job": get_job,
    "infer_served_model": infer_served_model,
    "infer_served_version": infer_served_version,
    "job_events": job_events,
    "job_preview": job_preview,
    "job_result": job_result,
    "kernels": kernels,
    "list_jobs": list_jobs,
    "list_layers": list_layers,
    "list_methods": list_methods,
    "list_models": list_models,
    "livez": livez,
    "load_model": load_model,
    "maximization": maximization,
    "metrics": metrics,
    "model_summary": model_summary,
    "model_versions": model_versions,
    "occlusion": occlusion,
    "perturbation": perturbation,
    "predict": predict,
    "predict_instances": predict_instances,
    "readyz": readyz,
    "saliency": saliency,
    "submit_job": submit_job,
    "unknown_layer": unknown_layer,
    "unload_model": unload_model,
    "upload_model": upload_model,
}


def main(names):
    """Makes the calls of that name one after another, or lists them all; gives the exit code."""
    if not names:
        for name, example in EXAMPLES.items():
            print(f"{name:28}{example.__doc__}")
    for name in names:
        if name not in EXAMPLES:
            print(f"there is no example {name!r}; examples.py without a name lists them", file=sys.stderr)
            return 2
    for name in names:
        if len(names) > 1:
            print(f"\n==> {name}")
        try:
            answer = EXAMPLES[name]()
        except Problem as problem:
            print(problem, file=sys.stderr)
            return 1
        if answer is not None:
            show(name, answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
