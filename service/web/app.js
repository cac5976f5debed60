// The explorer: a model, a picture, and the views of them. It uses the public API and nothing else.

import { json, key, patiently, rest } from "./api.js";
import { by, h, option } from "./dom.js";
import { query, watchJobs } from "./jobs.js";
import { isOpen, isSample, missing, picture, pictures } from "./picture.js";
import { Refusal, problem, waiting } from "./result.js";
import { fill, follow, restart, state } from "./state.js";
import { activations } from "./views/activations.js";
import { concepts } from "./views/concepts.js";
import { evaluation } from "./views/evaluation.js";
import { filters } from "./views/filters.js";
import { heatmaps } from "./views/heatmaps.js";
import { kernels } from "./views/kernels.js";
import { model as modelView } from "./views/model.js";
import { predictions } from "./views/predictions.js";

const VIEWS = {
  activations: ["Activations", activations],
  cam: ["Class activation", (host, context) => heatmaps(host, context, "cam")],
  saliency: ["Saliency", (host, context) => heatmaps(host, context, "saliency")],
  occlusion: ["Occlusion", (host, context) => heatmaps(host, context, "occlusion")],
  perturbation: ["Perturbation", (host, context) => heatmaps(host, context, "perturbation")],
  evaluate: ["Which to trust", evaluation],
  filters: ["Filters", filters],
  concepts: ["Concepts", concepts],
  kernels: ["Kernels", kernels],
  model: ["Model", modelView],
};
const NEEDS_PICTURE = ["activations", "cam", "saliency", "occlusion", "perturbation", "evaluate"];
const context = { model: null, details: null, methods: {}, layers: [] };
let shown = new AbortController();
let predicted = new AbortController();
let choosing = new AbortController();

function tabs() {
  const list = by("tabs");
  const names = Object.keys(VIEWS);
  const go = (name, focus) => {
    restart({ view: name });
    show();
    if (focus) by(`tab-${name}`).focus();
  };
  list.append(...names.map((name, place) => h("button", {
    type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "view",
    onclick: () => go(name),
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const to = step ? names.at((place + step) % names.length) : { Home: names[0], End: names.at(-1) }[event.key];
      if (to) go(to, true);
    },
  }, VIEWS[name][0])));
}

async function show() {
  shown.abort();
  shown = new AbortController();
  const { signal } = shown;
  const name = state.view ?? "cam";
  const known = Object.hasOwn(VIEWS, name);
  for (const tab of by("tabs").children) {
    tab.setAttribute("aria-selected", tab.id === `tab-${name}`);
    tab.tabIndex = tab.id === `tab-${known ? name : "cam"}` ? 0 : -1;
  }
  const host = by("view");
  host.setAttribute("aria-labelledby", `tab-${known ? name : "cam"}`);
  if (!context.details) return;
  if (!known) return host.replaceChildren(problem(new Refusal(`There is no view “${name}”; choose one of the tabs above.`)));
  if (NEEDS_PICTURE.includes(name) && !(picture && isOpen())) return host.replaceChildren(missing && isOpen() ? h("p", { class: "warning" }, missing) : waiting("Opening the picture …"));
  host.replaceChildren();
  try {
    await VIEWS[name][1](host, { ...context, picture, signal });
  } catch (error) {
    if (error.name !== "AbortError") host.replaceChildren(problem(error));
  }
}

function predict() {
  predicted.abort();
  predicted = new AbortController();
  by("predictions").replaceChildren();
  if (!context.details || !picture || !isOpen()) return;
  predictions(by("predictions"), { ...context, picture, signal: predicted.signal }, (index) => {
    restart({ view: ["cam", "saliency", "occlusion", "perturbation"].includes(state.view) ? state.view : "cam", target: index });
    show();
  }).catch((error) => {
    if (error.name !== "AbortError") by("predictions").replaceChildren(problem(error));
  });
}

/** What was known of a model is no longer shown, nor asked: the address may say another one by now. */
function leave(id) {
  choosing.abort();
  choosing = new AbortController();
  Object.assign(context, { model: id, details: null });
  shown.abort();
  predicted.abort();
  return choosing.signal;
}

async function choose(id) {
  const signal = leave(id);
  const busy = (error) => by("view").replaceChildren(waiting(error ? `${error.message} …` : `Loading ${id} …`));
  busy();
  by("predictions").replaceChildren();
  by("model-note").textContent = "";
  try {
    while (!(await readiness())) await rest(500, signal);
    const base = `v1/models/${encodeURIComponent(id)}`;
    // Its layers first: that loads a cold model, which a description leaves cold, and every key that may look may do so.
    const layers = await patiently(`${base}/layers`, { signal }, busy);
    const [whole, methods] = await Promise.all([
      patiently(base, { signal }, busy), json(`v1/methods?model=${encodeURIComponent(id)}`, { signal }),
    ]);
    Object.assign(context, {
      details: whole, layers: layers.layers, methods: Object.fromEntries(methods.methods.map((each) => [each.name, each])),
    });
    const { input, head, licence, origin, obstacle } = whole;
    const taken = input ? `${input.height ?? "?"}×${input.width ?? "?"}×${input.channels ?? "?"} px` : "no picture";
    by("model-note").textContent = `${taken}, ${head.classes ?? "no"} classes (${head.kind}), `
      + `${whole.parameters.toLocaleString("en")} parameters`
      + `${licence ? `, ${licence}` : ""}${origin ? `; ${origin}` : ""}.${obstacle ? ` Note: ${obstacle}.` : ""}`;
    predict();
    await show();
  } catch (error) {
    // Another model has been chosen meanwhile: what became of this one is no longer asked.
    if (signal.aborted) return;
    by("view").replaceChildren(problem(error, () => choose(id)));
    if (error.status === 401) ask();
  }
}

async function models() {
  const { models: rows, authentication } = await patiently("v1/models", {}, (error) => (by("ready").textContent = error.message));
  by("key").hidden = authentication === "open";
  const ids = rows.map((row) => row.id);
  const first = ids.includes("efficientnet-lite0") ? "efficientnet-lite0" : ids[0];
  if (!state.model) fill({ model: first });
  // Of a model that the address names and that is not there, the service says so itself.
  const named = ids.includes(state.model) ? [] : [option("", state.model, true)];
  by("model").replaceChildren(...named, ...rows.map((row) =>
    option(row.id, `${row.id}${row.state === "warm" ? " · warm" : ""}${row.last_error ? " · failed" : ""}`, row.id === state.model)));
  return state.model;
}

/** Whether the engines answer; `/livez` says it without an error where they do not yet. */
async function readiness() {
  const answer = await fetch("livez").catch(() => null);
  const engines = answer?.ok ? (await answer.json()).engines : [];
  const up = engines.length > 0 && engines.every((state) => state === "up");
  by("ready").textContent = up ? "Ready" : answer ? "The engine is starting …" : "The service cannot be reached.";
  by("ready").className = up ? "ok" : "wait";
  return up;
}

async function watched() {
  setTimeout(watched, (await readiness()) ? 15_000 : 500);
}

function ask() {
  by("key").hidden = false;
  by("key-value").value = key.get();
  by("key-dialog").showModal();
}

async function start() {
  leave(state.model);
  try {
    await choose(await models());
  } catch (error) {
    by("view").replaceChildren(problem(error));
    if (error.status === 401) ask();
  }
}

tabs();
watched();
by("key").hidden = true;
by("key").addEventListener("click", ask);
by("key-dialog").addEventListener("close", () => {
  const { returnValue } = by("key-dialog");
  if (returnValue === "save") key.set(by("key-value").value.trim());
  if (returnValue === "forget") key.set("");
  if (returnValue) start();
});
by("model").addEventListener("change", (event) => {
  const model = event.target.value;
  const { sample } = state;
  const fitting = model === "shapes" ? "triangle.png" : sample?.endsWith(".png") ? "cat.jpg" : sample;
  restart({ model, ...(isSample(sample) && { sample: fitting }) });
  arrive();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  // Its #view would take the place of what the address says.
  event.preventDefault();
  by("view").focus();
});
const open = pictures(() => {
  predict();
  if (NEEDS_PICTURE.includes(state.view ?? "cam")) show();
}, (error) => {
  by("view").querySelector(".refused")?.remove();
  by("view").prepend(h("div", { class: "refused" }, problem(error)));
});
const usual = () => (state.model === "shapes" ? "triangle.png" : "cat.jpg");

/** Makes the page what the address says, after a step of the history or an edit. */
function arrive() {
  const opened = isOpen();
  if (!opened) open(usual());
  if (state.model !== context.model) start();
  // A view of the picture is drawn when that has come.
  else if (opened || !NEEDS_PICTURE.includes(state.view ?? "cam")) show();
}

follow(arrive);
watchJobs((job) => {
  restart({ model: job.model, view: job.method === "concepts" ? "concepts" : "filters", ...query(job), job: job.id });
  arrive();
});
open(usual());
start();
