// What excites a filter or a class most: a background job, followed while it climbs, and the gallery of those that ended.

import { call, curl, json, path, patiently, pictureUrl } from "../api.js";
import { h, number } from "../dom.js";
import { form } from "../form.js";
import { cancel, follow, hasEnded, query, setting, track } from "../jobs.js";
import { Refusal, about, problem, take, waiting, warnings } from "../result.js";
import { fill, parameters, restart, state } from "../state.js";

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
  const classes = details.labels.map((label, index) => [String(index), label]);
  const command = h("code", { tabindex: 0 });
  const fields = h("div", {});
  const differs = h("p", { class: "warning", role: "status", hidden: true });
  let followed = new AbortController();
  signal.addEventListener("abort", () => followed.abort());

  const asked = () => {
    const { job, ...given } = parameters();
    return given;
  };
  const told = () => (command.textContent = curl(path(base, asked()), { method: "POST", headers: { Prefer: "respond-async" } }));
  const edited = () => {
    told();
    if (!state.job) return;
    // What is on the stage stays there, and its job goes on; but it is no longer what the form says.
    fill({ job: "" });
    differs.hidden = false;
    differs.textContent = "The form has been changed since: what is shown below is of the setting that stands above it.";
  };
  const build = () => {
    fields.replaceChildren(form(method, {
      first: ["layer", "channels", "target", "preset", "steps"], hidden: ["output"], choices: { layer }, lists: { target: classes },
    }, edited));
    told();
  };
  /** The form, the command and the address as they were for that job. */
  const restore = (job) => {
    if (job.method !== "maximization") throw new Refusal(`This job is of the method ${job.method}; here are those of maximization.`);
    if (job.model !== model) throw new Refusal(`This job is of the model ${job.model}; choose that model to see it.`);
    if (!job.parameters) return;
    const others = Object.fromEntries(Object.keys(asked()).map((name) => [name, ""]));
    fill({ ...others, ...query(job), job: job.id });
  };
  const watch = async (job) => {
    followed.abort();
    followed = new AbortController();
    differs.hidden = true;
    const own = followed.signal;
    const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress" });
    const line = h("p", { role: "status" }, "Queued …");
    const preview = h("img", { class: "grid preview", alt: "Preview", hidden: true });
    const end = h("button", { type: "button", onclick: () => cancel(job.id).catch((error) => stage.append(problem(error))) }, "Cancel");
    const of = h("p", { class: "note" }, setting(job));
    stage.replaceChildren(line, of, bar, end, preview);
    let version = 0;
    const seen = async (now) => {
      bar.value = now.progress ?? 0;
      line.textContent = `${now.state}${now.total ? `, step ${now.step ?? 0} of ${now.total}` : ""}`
        + `${now.loss === null ? "" : `, activation ${number(now.loss)}`}${now.seconds_left ? `, about ${number(now.seconds_left)} s left` : ""}`;
      if (now.preview_version > version && !hasEnded(now)) {
        version = now.preview_version;
        const drawn = await call(now.links.preview.slice(1), { signal: own }).then((answer) => answer.blob()).catch(() => null);
        if (!drawn) return;
        URL.revokeObjectURL(preview.src);
        preview.src = URL.createObjectURL(drawn);
        preview.hidden = false;
      }
    };
    try {
      const last = await follow(job.id, seen, own, (error) => (line.textContent = `${error.message} Trying again …`));
      await ended(stage, { ...last, parameters: last.parameters ?? job.parameters }, method, own);
      await refill();
    } catch (error) {
      if (error.name !== "AbortError") stage.replaceChildren(problem(error));
    }
  };
  const open = async (id) => {
    followed.abort();
    stage.replaceChildren(waiting("Opening …"));
    try {
      const job = await complete(await json(`v1/jobs/${encodeURIComponent(id)}`, { signal }), method, signal);
      restore(job);
      build();
      await watch(job);
    } catch (error) {
      if (error.name !== "AbortError") stage.replaceChildren(problem(error));
    }
  };
  const submit = async () => {
    followed.abort();
    stage.replaceChildren(waiting("Submitting …"));
    try {
      // Not with the signal of the view: a job that the service has taken is not lost when the view is left.
      const job = await patiently(path(base, asked()), { method: "POST", headers: { Prefer: "respond-async" } },
        (error) => stage.replaceChildren(waiting(error.message)));
      track(job);
      if (signal.aborted) return;
      restart({ ...asked(), job: job.id });
      await watch(job);
    } catch (error) {
      stage.replaceChildren(problem(error));
    }
  };
  const refill = async () => {
    const { jobs } = await json(path("v1/jobs", { limit: 50 }), { signal });
    const own = jobs.filter((job) => job.method === "maximization" && job.model === model && job.state === "succeeded" && !job.expired);
    const chosen = (id) => {
      restart({ job: id });
      open(id);
    };
    const ids = own.slice(0, GALLERY).map((job) => job.id).join(" ");
    // Cards that are still right stay the elements they are, so that the focus stays too.
    if (ids === gallery.dataset.ids) return;
    gallery.replaceChildren(...await Promise.all(own.slice(0, GALLERY).map((job) => card(job, signal, chosen))));
    gallery.dataset.ids = ids;
  };
  if (!state.job && !state.layer && !state.target && preferred.length) fill({ layer: preferred[Math.floor(preferred.length / 2)].path, channels: "0-8" });
  build();
  host.replaceChildren(h("p", { class: "lead" }, method.summary), fields,
    h("p", { class: "row" }, h("button", { type: "button", class: "main", onclick: submit }, "Start")),
    h("div", { class: "command" }, command), differs, stage, h("h3", {}, "Gallery"), gallery);
  refill().catch((error) => error.name !== "AbortError" && gallery.replaceChildren(problem(error)));
  if (state.job) await open(state.job);
}

/** The job with its parameters: where it does not tell them itself, those of its result that are not the method's own. */
async function complete(job, method, signal) {
  if (job.parameters || job.method !== "maximization" || job.state !== "succeeded") return job;
  const result = await json(path(job.links.result.slice(1), { format: "json", outputs: "history" }), { signal });
  const usual = method.parameters.properties;
  const own = Object.entries(result.method.parameters).filter(([name, value]) => name in usual && value !== (usual[name].default ?? null));
  return { ...job, parameters: Object.fromEntries(own) };
}

async function ended(stage, job, method, signal) {
  const of = h("p", { class: "note" }, setting(job));
  if (job.state === "cancelled") return stage.replaceChildren(h("p", { role: "status" }, "Cancelled."), of);
  if (job.state === "failed") return stage.replaceChildren(problem(new Refusal(job.error?.detail ?? "The job failed.")), of);
  const route = job.links.result.slice(1);
  // Whatever the job was asked to draw, these two are what is shown.
  const result = await json(path(route, { format: "json", outputs: "grid,history" }), { signal });
  const gains = (result.statistics.images ?? []).map((each) => `${each.name}: ${number(each.activation)}`).join(", ");
  stage.replaceChildren(h("p", { role: "status" }, "Finished."), of, ...warnings(result),
    h("div", {}, result.images.map((image) => h("figure", {}, h("img", { class: "grid", src: pictureUrl(image), alt: image.name === "grid" ? "The patterns" : "Activation over the steps" })))),
    gains && h("p", { class: "note" }, `Activation reached: ${gains}.`),
    about(result, method.variants.find((each) => each.name === result.method.variant)),
    take(`filters-${job.model}`, (form) => ({ route: form === "npy" ? route : path(route, { outputs: "grid" }) })));
}

async function card(job, signal, chosen) {
  const answer = await call(path(job.links.result.slice(1), { format: "png", outputs: "grid" }), { signal }).catch(() => null);
  const url = answer && URL.createObjectURL(await answer.blob());
  return h("button", { type: "button", title: setting(job), onclick: () => chosen(job.id) },
    url ? h("img", { src: url, alt: "" }) : "", h("span", {}, new Date(job.created_at).toLocaleString()));
}
