// What many pictures of a class are made of, and whether a concept counts: files are chosen here and go with a job.

import { json, path, patiently, pictureUrl } from "../api.js";
import { h, number } from "../dom.js";
import { form } from "../form.js";
import { cancel, follow, setting, track } from "../jobs.js";
import { Refusal, about, problem, take, waiting, warnings } from "../result.js";
import { fill, parameters, restart, state } from "../state.js";

const SETS = { images: "pictures of the class", concept: "pictures of the concept, at least 10", random: "pictures of anything else, at least 20" };
const OF_CRAFT = ["images"];

export async function concepts(host, context) {
  const { details, methods, model, signal } = context;
  const method = methods.concepts;
  const base = `v1/models/${encodeURIComponent(model)}/concepts`;
  const stage = h("div", { class: "stage" });
  const fields = h("div", {});
  const layer = [["", "the model's CAM layer"], ...method.validity.layers.map((each) => [each, each])];
  const classes = details.labels.map((label, index) => [String(index), label]);
  const inputs = Object.fromEntries(Object.keys(SETS).map((name) =>
    [name, h("input", { type: "file", name, multiple: true, accept: "image/*,.zip,application/zip" })]));
  const rows = Object.entries(SETS).map(([name, what]) => h("label", { "data-set": name }, `${name}: ${what}`, inputs[name]));
  let followed = new AbortController();
  signal.addEventListener("abort", () => followed.abort());

  const asked = () => {
    const { job, ...given } = parameters();
    return given;
  };
  const wanted = () => (asked().method === "tcav" ? Object.keys(SETS) : OF_CRAFT);
  const edited = () => {
    if (state.job) fill({ job: "" });
    rows.forEach((row) => (row.hidden = !wanted().includes(row.dataset.set)));
  };
  const build = () => {
    const first = ["method", "layer", "target", "concepts"];
    fields.replaceChildren(form(method, { first, hidden: ["output"], choices: { layer }, lists: { target: classes } }, edited));
    rows.forEach((row) => (row.hidden = !wanted().includes(row.dataset.set)));
  };
  const watch = async (job) => {
    followed.abort();
    followed = new AbortController();
    const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress" });
    const line = h("p", { role: "status" }, "Queued …");
    const end = h("button", { type: "button", onclick: () => cancel(job.id).catch((error) => stage.append(problem(error))) }, "Cancel");
    stage.replaceChildren(line, h("p", { class: "note" }, setting(job)), bar, end);
    const seen = (now) => {
      bar.value = now.progress ?? 0;
      line.textContent = `${now.state}${now.seconds_left ? `, about ${number(now.seconds_left)} s left` : ""}`;
    };
    try {
      const last = await follow(job.id, seen, followed.signal, (error) => (line.textContent = `${error.message} Trying again …`));
      await ended(stage, last, method, followed.signal);
    } catch (error) {
      if (error.name !== "AbortError") stage.replaceChildren(problem(error));
    }
  };
  const submit = async () => {
    followed.abort();
    const body = new FormData();
    const empty = wanted().filter((name) => !inputs[name].files.length);
    if (empty.length) return stage.replaceChildren(problem(new Refusal(`Choose files for ${empty.join(", ")}: several pictures, or one zip.`)));
    for (const name of wanted()) for (const file of inputs[name].files) body.append(name, file);
    stage.replaceChildren(waiting("Sending the pictures …"));
    try {
      // Not with the signal of the view: a job that the service has taken is not lost when the view is left.
      const job = await patiently(path(base, asked()), { method: "POST", body }, (error) => stage.replaceChildren(waiting(error.message)));
      track(job);
      if (signal.aborted) return;
      restart({ ...asked(), job: job.id });
      await watch(job);
    } catch (error) {
      stage.replaceChildren(problem(error));
    }
  };
  build();
  host.replaceChildren(h("p", { class: "lead" }, method.summary), fields, h("div", { class: "fields" }, rows),
    h("p", { class: "row" }, h("button", { type: "button", class: "main", onclick: submit }, "Start")), stage);
  if (!state.job) return;
  try {
    const job = await json(`v1/jobs/${encodeURIComponent(state.job)}`, { signal });
    if (job.method !== "concepts" || job.model !== model) throw new Refusal(`This job is of ${job.method} on the model ${job.model}.`);
    await watch(job);
  } catch (error) {
    if (error.name !== "AbortError") stage.replaceChildren(problem(error));
  }
}

async function ended(stage, job, method, signal) {
  const of = h("p", { class: "note" }, setting(job));
  if (job.state === "cancelled") return stage.replaceChildren(h("p", { role: "status" }, "Cancelled."), of);
  if (job.state === "failed") return stage.replaceChildren(problem(new Refusal(job.error?.detail ?? "The job failed.")), of);
  const route = job.links.result.slice(1);
  const result = await json(path(route, { format: "json" }), { signal });
  stage.replaceChildren(h("p", { role: "status" }, "Finished."), of, ...warnings(result),
    h("div", {}, result.images.map((image) => h("figure", {}, h("img", { class: "grid", src: pictureUrl(image), alt: "The concepts" })))),
    about(result, method.variants.find((each) => each.name === result.method.variant)),
    take(`concepts-${job.model}`, () => ({ route }), ["png", "jpeg", "npz"]));
}
