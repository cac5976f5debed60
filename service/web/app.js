// The explorer: a model, a picture, and the views of them. It uses the public API and nothing else.

import { call, json, key, patiently } from "./api.js";
import { by, h, option } from "./dom.js";
import { isSample, picture, pictures } from "./picture.js";
import { problem, waiting } from "./result.js";
import { change, follow, restart, state } from "./state.js";
import { activations } from "./views/activations.js";
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
  filters: ["Filters", filters],
  kernels: ["Kernels", kernels],
  model: ["Model", modelView],
};
const NEEDS_PICTURE = ["activations", "cam", "saliency", "occlusion"];
const context = { model: null, details: null, methods: {}, layers: [], prediction: null };
let shown = new AbortController();
let predicted = new AbortController();

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
  const name = VIEWS[state.view] ? state.view : "cam";
  for (const tab of by("tabs").children) {
    tab.setAttribute("aria-selected", tab.id === `tab-${name}`);
    tab.tabIndex = tab.id === `tab-${name}` ? 0 : -1;
  }
  const host = by("view");
  host.setAttribute("aria-labelledby", `tab-${name}`);
  if (!context.details) return;
  if (NEEDS_PICTURE.includes(name) && !picture) return host.replaceChildren(h("p", {}, "Choose a picture first."));
  host.replaceChildren();
  try {
    await VIEWS[name][1](host, { ...context, picture, signal });
  } catch (error) {
    if (error.name !== "AbortError") host.replaceChildren(problem(error));
  }
}

async function predict() {
  predicted.abort();
  predicted = new AbortController();
  if (!context.details || !picture) return;
  context.prediction = predictions(by("predictions"), { ...context, picture, signal: predicted.signal }, (index) => {
    restart({ view: ["cam", "saliency", "occlusion"].includes(state.view) ? state.view : "cam", target: index });
    show();
  }).catch((error) => {
    if (error.name !== "AbortError") by("predictions").replaceChildren(problem(error));
  });
}

async function choose(id) {
  change({ model: id });
  Object.assign(context, { model: id, details: null });
  shown.abort();
  const busy = (error) => by("view").replaceChildren(waiting(error ? `${error.message} …` : `Loading ${id} …`));
  busy();
  while (!(await readiness())) await new Promise((done) => setTimeout(done, 500));
  by("predictions").replaceChildren();
  try {
    const base = `v1/models/${encodeURIComponent(id)}`;
    const details = await patiently(base, {}, busy);
    if (details.state !== "warm") {
      const loading = await call(`${base}/load`, { method: "POST" });
      await loading.text();
    }
    const [whole, methods, layers] = await Promise.all([
      patiently(base, {}, busy), json(`v1/methods?model=${encodeURIComponent(id)}`), json(`${base}/layers`),
    ]);
    if (context.model !== id) return;
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
    by("view").replaceChildren(problem(error));
    by("model-note").textContent = "";
    if (error.status === 401) ask();
  }
}

async function models() {
  const { models: rows, authentication } = await patiently("v1/models", {}, (error) => (by("ready").textContent = error.message));
  by("key").hidden = authentication === "open";
  const ids = rows.map((row) => row.id);
  const first = ids.includes("efficientnet-lite0") ? "efficientnet-lite0" : ids[0];
  const chosen = ids.includes(state.model) ? state.model : first;
  by("model").replaceChildren(...rows.map((row) =>
    option(row.id, `${row.id}${row.state === "warm" ? " · warm" : ""}${row.last_error ? " · failed" : ""}`, row.id === chosen)));
  return chosen;
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
  restart({});
  const small = by("model").value === "shapes";
  if (isSample(state.sample)) sample(small ? "triangle.png" : state.sample.endsWith(".png") ? "cat.jpg" : state.sample);
  choose(event.target.value);
});
const sample = pictures(() => {
  predict();
  if (state.view !== "filters" && state.view !== "kernels" && state.view !== "model") show();
}, (text) => by("view").prepend(problem(new Error(text))));
follow(() => (state.model && state.model !== context.model ? start() : show()));
sample(isSample(state.sample) ? state.sample : state.model === "shapes" ? "triangle.png" : "cat.jpg");
start();
