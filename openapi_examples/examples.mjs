// Every call of Kerascope with fetch, a function each, for Node 18 or newer.
//
// `node examples.mjs` lists them, and `node examples.mjs cam occlusion` makes those two calls. KERASCOPE_URL and
// KERASCOPE_KEY in the environment say where the service is and with which key it is called. Pictures are saved where
// the program runs. `make docs` writes this file from requests/.
import { realpathSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as examples from "./examples.mjs";

const url = process.env.KERASCOPE_URL ?? "http://127.0.0.1:8000";
const key = process.env.KERASCOPE_KEY;

/** The service refused a call, and said why. */
class Problem extends Error {}

/** Calls the service as fetch does, with the key; throws what the service says was wrong. */
async function call(path, { headers, ...options } = {}) {
  const authorization = key ? { Authorization: `Bearer ${key}` } : {};
  const answer = await fetch(url + path, { ...options, headers: { ...authorization, ...headers } });
  if (!answer.ok) {
    const problem = await answer.json();
    throw new Problem(`${answer.status}: ${problem.detail ?? problem.error}`);
  }
  return answer;
}

/** Gives the bytes of a file that lies beside this one. */
function read(file) {
  return readFile(new URL(file, import.meta.url));
}

/** Gives such a file as JSON holds it. */
async function base64(file) {
  return (await read(file)).toString("base64");
}

/** Waits for a job's end, which is where its events end. */
async function waitFor(job) {
  await (await call(`/v1/jobs/${job}/events`)).text();
}

/** Prints an answer; the pictures in it are saved, under names that begin with the example's. */
async function show(name, answer) {
  const type = answer.headers.get("Content-Type");
  if (type === "image/png") {
    await writeFile(`${name}.png`, Buffer.from(await answer.arrayBuffer()));
  } else if (type === "application/json" && answer.status !== 204) {
    const text = await answer.text();
    console.log(text);
    const found = JSON.parse(text);
    for (const result of found.results ?? [found]) {
      for (const image of result.images ?? []) {
        const file = [name, result.name, image.name].filter(Boolean).join("-").replaceAll("/", "_");
        await writeFile(`${file}.png`, Buffer.from(image.data, "base64"));
      }
    }
  } else {
    for await (const part of answer.body ?? []) process.stdout.write(part);
  }
}

/** Feature maps of three layers, by index. */
export async function activations() {
  return call("/v1/models/shapes/activations?layers=0,3,6", {
    method: "POST",
    headers: { "Content-Type": "image/png" },
    body: await read("triangle.png"),
  });
}

/** Grad-CAM of the most probable class. */
export async function cam() {
  return call("/v1/models/efficientnet-lite0/cam", {
    method: "POST",
    headers: { "Content-Type": "image/png" },
    body: await read("cat.png"),
  });
}

/** Grad-CAM with the image as base64 in JSON, raw map as a list. */
export async function cam_json() {
  return call("/v1/models/shapes/cam", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      image: await base64("triangle.png"),
      target: "triangle",
      outputs: "overlay",
      arrays: "list",
    }),
  });
}

/** Grad-CAM of a class by its label, as multipart form. */
export async function cam_multipart() {
  const form = new FormData();
  form.append("image", new Blob([await read("cat.png")], { type: "image/png" }), "cat.png");
  form.append("target", "tabby");
  form.append("outputs", "heatmap");
  return call("/v1/models/efficientnet-lite0/cam", { method: "POST", body: form });
}

/** Cancel a job; one that has ended stays as it is. */
export async function cancel_job() {
  const submitted = await submit_job();
  const { id: job } = await submitted.json();
  await waitFor(job);
  return call(`/v1/jobs/${job}`, { method: "DELETE" });
}

/** Share an uploaded model with every key (after upload_model). */
export async function change_model() {
  return call("/v1/models/mine", {
    method: "PATCH",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ visibility: "shared" }),
  });
}

/** Open Inference Protocol: is a model warm? */
export async function check_served_model_ready() {
  return call("/v2/models/efficientnet-lite0/ready");
}

/** Open Inference Protocol, an error: there is no such model. */
export async function check_served_version_ready() {
  return call("/v2/models/shape/versions/1/ready");
}

/** Open Inference Protocol: is the server alive? */
export async function check_server_live() {
  return call("/v2/health/live");
}

/** Open Inference Protocol: can calls be answered? */
export async function check_server_ready() {
  return call("/v2/health/ready");
}

/** The concepts that pictures of a class are made of, waited for up to a minute. */
export async function concepts() {
  return call("/v1/models/shapes/concepts", {
    method: "POST",
    headers: { Prefer: "wait=60", "Content-Type": "application/json" },
    body: JSON.stringify({
      images: [await base64("triangle.png"), await base64("cat.png")],
      target: "triangle",
      concepts: 2,
      outputs: "sheet",
    }),
  });
}

/** Delete an uploaded model with all its versions (after upload_model). */
export async function delete_model() {
  return call("/v1/models/mine", { method: "DELETE" });
}

/** One layer with its config and weight statistics. */
export async function describe_layer() {
  return call("/v1/models/shapes/layers/conv2d_5");
}

/** What is known about a model. */
export async function describe_model() {
  return call("/v1/models/shapes");
}

/** Open Inference Protocol: a model's input and outputs. */
export async function describe_served_model() {
  return call("/v2/models/efficientnet-lite0");
}

/** Open Inference Protocol, an error: models that were not uploaded have no versions. */
export async function describe_served_version() {
  return call("/v2/models/shapes/versions/1");
}

/** Open Inference Protocol: who answers. */
export async function describe_server() {
  return call("/v2");
}

/** Three methods for one class, measured by three metrics and ranked. */
export async function evaluate() {
  return call("/v1/models/shapes/evaluate?methods=gradcam,smoothgrad,occlusion&metrics=deletion,insertion,energy&box=14,14,50,50&target=triangle&steps=16&outputs=chart", {
    method: "POST",
    headers: { "Content-Type": "image/png" },
    body: await read("triangle.png"),
  });
}

/** Several methods at once, by name or with parameters of their own. */
export async function explain() {
  return call("/v1/models/shapes/explain", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      image: await base64("triangle.png"),
      target: "triangle",
      methods: [
        "gradcam",
        "gradcam++",
        { method: "saliency", variant: "smoothgrad", samples: 10, seed: 7 },
        { method: "occlusion", patch: 7, target: "triangle-square" },
      ],
      outputs: "overlay",
      top: 1,
    }),
  });
}

/** KServe V1: a batch explained by a method with its parameters. */
export async function explain_instances() {
  return call("/v1/models/shapes:explain", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      instances: [{ b64: await base64("triangle.png") }],
      parameters: { method: "layercam", target: "triangle", layer: "conv2d_5", top: 1 },
    }),
  });
}

/** How far a job is. */
export async function get_job() {
  const submitted = await submit_job();
  const { id: job } = await submitted.json();
  await waitFor(job);
  return call(`/v1/jobs/${job}`);
}

/** Open Inference Protocol: a picture as BYTES, one of the two outputs. */
export async function infer_served_model() {
  return call("/v2/models/shapes/infer", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      id: "42",
      inputs: [
        {
          name: "image",
          shape: [1],
          datatype: "BYTES",
          data: [await base64("triangle.png")],
        },
      ],
      outputs: [{ name: "probabilities" }],
    }),
  });
}

/** Open Inference Protocol: the first version of an uploaded model (after upload_model). */
export async function infer_served_version() {
  return call("/v2/models/mine/versions/1/infer", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      inputs: [
        {
          name: "image",
          shape: [1],
          datatype: "BYTES",
          data: [await base64("triangle.png")],
        },
      ],
    }),
  });
}

/** Follow a job until it ends. */
export async function job_events() {
  const submitted = await submit_job();
  const { id: job } = await submitted.json();
  return call(`/v1/jobs/${job}/events`, {
    headers: { Accept: "text/event-stream" },
  });
}

/** What a job has so far, as PNG. */
export async function job_preview() {
  const submitted = await submit_job();
  const { id: job } = await submitted.json();
  await waitFor(job);
  return call(`/v1/jobs/${job}/preview`, {
    headers: { Accept: "image/png" },
  });
}

/** The result of a job, in another form than at its submission. */
export async function job_result() {
  const submitted = await submit_job();
  const { id: job } = await submitted.json();
  await waitFor(job);
  return call(`/v1/jobs/${job}/result?format=json&outputs=grid`);
}

/** Kernels of the first convolution in gray. */
export async function kernels() {
  return call("/v1/models/shapes/layers/0/kernels?colormap=gray&filters=0-15");
}

/** The newest jobs that succeeded. */
export async function list_jobs() {
  const submitted = await submit_job();
  const { id: job } = await submitted.json();
  await waitFor(job);
  return call("/v1/jobs?state=succeeded&limit=100");
}

/** Layers, and which methods take them. */
export async function list_layers() {
  return call("/v1/models/shapes/layers");
}

/** The catalogue of methods, with what is valid for a model and why not. */
export async function list_methods() {
  return call("/v1/methods?model=shapes");
}

/** Every model that can be loaded. */
export async function list_models() {
  return call("/v1/models");
}

/** Is the process alive? */
export async function livez() {
  return call("/livez");
}

/** Warm a model now. */
export async function load_model() {
  return call("/v1/models/shapes/load", { method: "POST" });
}

/** What excites the first eight filters of a convolution, waited for up to a minute. */
export async function maximization() {
  return call("/v1/models/shapes/maximization", {
    method: "POST",
    headers: { Prefer: "wait=60", "Content-Type": "application/json" },
    body: JSON.stringify({
      layer: "conv2d_1",
      channels: "0-7",
      size: 32,
      steps: 30,
      columns: 4,
      outputs: "grid,history",
    }),
  });
}

/** Metrics for Prometheus. */
export async function metrics() {
  return call("/metrics", {
    headers: { Accept: "text/plain;version=0.0.4" },
  });
}

/** model.summary() as text. */
export async function model_summary() {
  return call("/v1/models/shapes/summary", {
    headers: { Accept: "text/plain" },
  });
}

/** The versions of an uploaded model (after upload_model). */
export async function model_versions() {
  return call("/v1/models/mine/versions");
}

/** What the probability loses where a part of the image is covered, and the part that matters. */
export async function occlusion() {
  return call("/v1/models/efficientnet-lite0/occlusion?patch=64&stride=32", {
    method: "POST",
    headers: { "Content-Type": "image/png" },
    body: await read("cat.png"),
  });
}

/** Shapley values of the parts of the image, for the class and against it, with their standard errors. */
export async function perturbation() {
  return call("/v1/models/shapes/perturbation?method=kernelshap&target=triangle&cells=6&samples=200&outputs=heatmap", {
    method: "POST",
    headers: { "Content-Type": "image/png" },
    body: await read("triangle.png"),
  });
}

/** The most probable classes. */
export async function predict() {
  return call("/v1/models/efficientnet-lite0/predict?top=3", {
    method: "POST",
    headers: { "Content-Type": "image/png" },
    body: await read("cat.png"),
  });
}

/** KServe V1: the probability of every class, for a batch of pictures. */
export async function predict_instances() {
  return call("/v1/models/shapes:predict", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      instances: [{ b64: await base64("triangle.png") }, { b64: await base64("triangle.png") }],
    }),
  });
}

/** Can calls be answered? */
export async function readyz() {
  return call("/readyz");
}

/** Integrated gradients with signs; the answer says how complete the sum is. */
export async function saliency() {
  return call("/v1/models/shapes/saliency?method=integrated_gradients&target=triangle&sign=signed&outputs=heatmap", {
    method: "POST",
    headers: { "Content-Type": "image/png" },
    body: await read("triangle.png"),
  });
}

/** Any method as a background job. */
export async function submit_job() {
  return call("/v1/models/shapes/maximization?layer=conv2d_1&channels=0-7&steps=40&format=png", {
    method: "POST",
    headers: { Prefer: "respond-async", "Idempotency-Key": "my-first-job" },
  });
}

/** A problem: the layer does not exist. */
export async function unknown_layer() {
  return call("/v1/models/efficientnet-lite0/cam?layer=top_activaton", {
    method: "POST",
    headers: { "Content-Type": "image/png" },
    body: await read("cat.png"),
  });
}

/** Free a model's memory. */
export async function unload_model() {
  return call("/v1/models/shapes/unload", { method: "POST" });
}

/** Upload a model; a second upload of its ID is its second version. */
export async function upload_model() {
  const form = new FormData();
  form.append("id", "mine");
  form.append("model", new Blob([await read("../service/models/catalogue/shapes/shapes.keras")], { type: "application/octet-stream" }), "shapes.keras");
  return call("/v1/models", { method: "POST", body: form });
}

/** Makes the calls of that name one after another, or lists them all; gives the exit code. */
async function main(names) {
  if (names.length === 0) {
    const source = (await read("examples.mjs")).toString();
    const documented = source.matchAll(/^\/\*\* (.*) \*\/\nexport async function (\w+)/gm);
    for (const [, summary, name] of documented) console.log(name.padEnd(28) + summary);
  }
  for (const name of names) {
    if (!Object.hasOwn(examples, name)) {
      console.error(`there is no example '${name}'; examples.mjs without a name lists them`);
      return 2;
    }
  }
  for (const name of names) {
    if (names.length > 1) console.log(`\n==> ${name}`);
    try {
      await show(name, await examples[name]());
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      console.error(error.message);
      return 1;
    }
  }
  return 0;
}

// Where another module imports the functions, nothing is called.
if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2));
}
