// The model: its layers as a table and as a graph, one of them in detail, and the summary as Keras prints it.

import { call, curl, patiently } from "../api.js";
import { graph } from "../graph.js";
import { h, number } from "../dom.js";
import { problem, waiting } from "../result.js";
import { change, state } from "../state.js";

export async function model(host, { details, layers, model: id, signal }) {
  const base = `v1/models/${encodeURIComponent(id)}`;
  const detail = h("div", { class: "detail", "aria-live": "polite" });
  const open = async (layer) => {
    change({ layer });
    detail.replaceChildren(waiting(layer));
    try {
      detail.replaceChildren(one(await patiently(`${base}/layers/${encodeURIComponent(layer).replaceAll("%2F", "/")}`, { signal })));
    } catch (error) {
      if (error.name !== "AbortError") detail.replaceChildren(problem(error));
    }
  };
  const rows = layers.map((each) => h("tr", {},
    h("td", {}, each.index ?? ""), h("th", { scope: "row" }, h("button", { type: "button", class: "link", onclick: () => open(each.path) }, each.path)),
    h("td", {}, each.class), h("td", {}, each.output_shape.map((side) => side ?? "?").join("×")),
    h("td", { class: "number" }, each.parameters.toLocaleString("en"))));
  const summary = h("pre", { tabindex: 0 }, "");
  const text = h("details", { ontoggle: async () => {
    if (summary.textContent) return;
    await call(`${base}/summary`, { headers: { Accept: "text/plain" }, signal }).then((answer) => answer.text())
      .then((told) => (summary.textContent = told), (error) => error.name !== "AbortError" && (summary.textContent = error.message));
  } }, h("summary", {}, "Summary as Keras prints it"), summary, h("code", { tabindex: 0 }, curl(`${base}/summary`)));
  host.replaceChildren(
    h("p", { class: "lead" }, `${details.title || id}: ${layers.length} layers, ${details.parameters.toLocaleString("en")} parameters, ${details.digest.slice(0, 19)}….`),
    ...details.notes.map((note) => h("p", { class: "note" }, note)),
    detail,
    h("div", { class: "two" },
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Layers as a table" }, h("table", {},
        h("thead", {}, h("tr", {}, ["", "layer", "class", "output", "parameters"].map((title) => h("th", { scope: "col" }, title || h("span", { class: "hidden" }, "index"))))),
        h("tbody", {}, rows))),
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Layers as a graph" }, graph(layers, open))),
    text);
  if (state.layer) await open(state.layer);
}

function one(layer) {
  const weights = layer.weights.map((each) => h("tr", {}, h("th", { scope: "row" }, each.name),
    [each.shape.join("×"), number(each.mean), number(each.std), number(each.min), number(each.max), each.zero_share === undefined ? "–" : `${(each.zero_share * 100).toFixed(1)} %`]
      .map((value) => h("td", { class: "number" }, value))));
  return h("section", { "aria-label": layer.path }, h("h3", {}, `${layer.path} · ${layer.class}`),
    h("p", { class: "note" }, `Takes ${layer.inputs.join(", ") || "the picture"}. Methods: ${layer.methods.join(", ")}.`),
    weights.length ? h("table", {}, h("thead", {}, h("tr", {}, ["weights", "shape", "mean", "deviation", "lowest", "highest", "zeros"].map((title) => h("th", { scope: "col" }, title)))), h("tbody", {}, weights)) : "",
    h("details", {}, h("summary", {}, "Configuration"), h("pre", { tabindex: 0 }, JSON.stringify(layer.config, null, 1))));
}
