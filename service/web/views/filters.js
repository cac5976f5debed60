// What excites a filter or a class most: a background job, followed while it climbs, and the gallery of those that ended.

import { call, curl, events, json, path, patiently, pictureUrl } from "../api.js";
import { h, number } from "../dom.js";
import { form } from "../form.js";
import { about, problem, take, waiting, warnings } from "../result.js";
import { change, parameters, state } from "../state.js";

const ENDED = ["succeeded", "failed", "cancelled"];
const GALLERY = 12;

export async function filters(host, context) {
  const { details, layers, methods, model, signal } = context;
  const method = methods.maximization;
  const valid = method.validity.layers;
  const stage = h("div", { class: "stage" });
  const gallery = h("div", { class: "gallery", role: "group", "aria-label": "Gallery" });
  const base = `v1/models/${encodeURIComponent(model)}/maximization`;
  const preferred = layers.filter((each) => valid.includes(each.path) && /Conv/.test(each.class));
  const layer = [["", "a class, not a filter"], ...valid.map((each) => [each, each])];
  if (!state.job && !state.layer && !state.target && preferred.length) change({ layer: preferred[Math.floor(preferred.length / 2)].path, channels: "0-8" });
  const command = h("code", { tabindex: 0 });
  const query = () => {
    const { job, ...given } = parameters();
    return given;
  };
  const told = () => (command.textContent = curl(path(base, query()), { method: "POST", headers: { Prefer: "respond-async" } }));

  const follow = async (id) => {
    change({ job: id });
    const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress" });
    const line = h("p", { role: "status" }, "Queued …");
    const preview = h("img", { class: "grid preview", alt: "Preview", hidden: true });
    const cancel = h("button", { type: "button", onclick: () => call(`v1/jobs/${id}`, { method: "DELETE" }).catch((error) => stage.append(problem(error))) }, "Cancel");
    stage.replaceChildren(line, bar, cancel, preview);
    let version = 0;
    const seen = async (job) => {
      bar.value = job.progress ?? 0;
      line.textContent = `${job.state}${job.total ? `, step ${job.step ?? 0} of ${job.total}` : ""}`
        + `${job.loss === null ? "" : `, activation ${number(job.loss)}`}${job.seconds_left ? `, ${number(job.seconds_left)} s left` : ""}`;
      if (job.preview_version > version && !ENDED.includes(job.state)) {
        version = job.preview_version;
        const answer = await call(job.links.preview.slice(1), { signal }).catch(() => null);
        if (!answer) return;
        URL.revokeObjectURL(preview.src);
        preview.src = URL.createObjectURL(await answer.blob());
        preview.hidden = false;
      }
    };
    try {
      let job = await json(`v1/jobs/${id}`, { signal });
      await seen(job);
      while (!ENDED.includes(job.state)) {
        await events(`v1/jobs/${id}/events`, (_, data) => {
          job = { ...job, ...data };
          seen(job);
        }, signal);
        job = await json(`v1/jobs/${id}`, { signal });
        await seen(job);
      }
      await ended(stage, job, method);
      await refill();
    } catch (error) {
      if (error.name !== "AbortError") stage.replaceChildren(problem(error));
    }
  };
  const submit = async () => {
    stage.replaceChildren(waiting("Submitting …"));
    try {
      const answer = await patiently(path(base, query()), { method: "POST", headers: { Prefer: "respond-async" }, signal });
      await follow(answer.id);
    } catch (error) {
      if (error.name !== "AbortError") stage.replaceChildren(problem(error));
    }
  };
  const refill = async () => {
    const { jobs } = await json(path("v1/jobs", { limit: 50 }), { signal });
    const own = jobs.filter((job) => job.method === "maximization" && job.model === model && job.state === "succeeded" && !job.expired);
    gallery.replaceChildren(...await Promise.all(own.slice(0, GALLERY).map((job) => card(job, signal, follow))));
  };
  const classes = details.labels.map((label, index) => [String(index), label]);
  host.replaceChildren(h("p", { class: "lead" }, method.summary),
    form(method, { first: ["layer", "channels", "target", "preset", "steps"], hidden: ["output"], choices: { layer }, lists: { target: classes } }, told),
    h("p", { class: "row" }, h("button", { type: "button", class: "main", onclick: submit }, "Start")),
    h("div", { class: "command" }, command), stage, h("h3", {}, "Gallery"), gallery);
  told();
  refill().catch((error) => error.name !== "AbortError" && gallery.replaceChildren(problem(error)));
  if (state.job) await follow(state.job);
}

async function ended(stage, job, method) {
  if (job.state === "cancelled") return stage.replaceChildren(h("p", { role: "status" }, "Cancelled."));
  if (job.state === "failed") return stage.replaceChildren(problem(new Error(job.error?.detail ?? "The job failed.")));
  const route = job.links.result.slice(1);
  const result = await json(route);
  const shown = result.images.filter((image) => ["grid", "history"].includes(image.name));
  const gains = (result.statistics.images ?? []).map((each) => `${each.name}: ${number(each.activation)}`).join(", ");
  stage.replaceChildren(h("p", { role: "status" }, "Finished."), ...warnings(result),
    h("div", {}, shown.map((image) => h("figure", {}, h("img", { class: "grid", src: pictureUrl(image), alt: image.name === "grid" ? "The patterns" : "Activation over the steps" })))),
    gains && h("p", { class: "note" }, `Activation reached: ${gains}.`),
    about(result, method.variants.find((each) => each.name === result.method.variant)), take(`filters-${job.model}`, { route }));
}

async function card(job, signal, follow) {
  const answer = await call(`${job.links.result.slice(1)}?format=png`, { signal }).catch(() => null);
  const url = answer && URL.createObjectURL(await answer.blob());
  return h("button", { type: "button", onclick: () => follow(job.id) },
    url ? h("img", { src: url, alt: "" }) : "", h("span", {}, new Date(job.created_at).toLocaleString()));
}
