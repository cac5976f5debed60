// CAM, saliency and occlusion: the map over the picture, its opacity set here in the browser.

import { patiently, path, pictureUrl } from "../api.js";
import { colorbar } from "../colorbar.js";
import { calm, h, number } from "../dom.js";
import { form } from "../form.js";
import { about, problem, take, waiting, warnings } from "../result.js";
import { parameters } from "../state.js";

const FIRST = {
  cam: ["method", "layer", "target"],
  saliency: ["method", "target", "sign"],
  occlusion: ["patch", "stride", "target", "measure"],
};
// What only the blended picture of the service would use.
const HIDDEN = ["alpha", "size"];

export async function heatmaps(host, context, name) {
  const { details, methods, model, picture, signal } = context;
  const method = methods[name];
  const reasons = method.validity.not_valid;
  if (!method.validity.valid) throw new Error(Object.values(reasons)[0]);
  const variants = method.variants.map((each) => [each.name, each.name, reasons[each.name]]);
  const spatial = method.validity.layers;
  const classes = details.labels.map((label, index) => [String(index), label]);
  const choices = {
    ...(variants.length > 1 && { method: variants }),
    ...(spatial.length && method.parameters.properties.layer && { layer: [["", `automatic (${details.cam_layer ?? "the last with a map"})`], ...spatial.toReversed().map((each) => [each, each])] }),
  };
  const stage = h("div", { class: "stage" });
  const cost = h("p", { class: "note", id: "cost" });
  let pending = new AbortController();
  signal.addEventListener("abort", () => pending.abort());

  const draw = async () => {
    pending.abort();
    pending = new AbortController();
    if (name === "occlusion") await predicted(cost, context);
    const base = `v1/models/${encodeURIComponent(model)}/${name}`;
    const request = { route: path(base, parameters()), method: "POST", picture };
    stage.replaceChildren(waiting("Computing …"));
    const options = { method: "POST", body: picture.blob, headers: { "Content-Type": picture.blob.type }, signal: pending.signal };
    const more = name === "occlusion" ? "heatmap,mask,masked" : "heatmap";
    try {
      const result = await patiently(path(base, { ...parameters(), outputs: more, arrays: "base64" }), options,
        (error) => stage.replaceChildren(waiting(error.message)));
      stage.replaceChildren(...blended(result, picture, name),
        about(result, method.variants.find((each) => each.name === result.method.variant)), take(`${name}-${model}`, request));
    } catch (error) {
      if (error.name !== "AbortError") stage.replaceChildren(problem(error));
    }
  };
  host.replaceChildren(
    h("p", { class: "lead" }, method.summary),
    form(method, { first: FIRST[name], hidden: HIDDEN, choices, lists: { target: classes } }, calm(draw)),
    cost, stage);
  await draw();
}

function blended(result, picture, name) {
  const image = Object.fromEntries(result.images.map((each) => [each.name, each]));
  const array = result.arrays.find((each) => each.name === "heatmap");
  const { colormap, normalize } = result.method.parameters;
  const signed = normalize === "symmetric";
  const reach = Math.max(Math.abs(array.min), Math.abs(array.max));
  const top = h("img", { class: "map", src: pictureUrl(image.heatmap), alt: `${name} map of ${said(result)}` });
  const start = signed ? 80 : 55;
  top.style.opacity = start / 100;
  const slider = h("input", { type: "range", min: 0, max: 100, value: start, "aria-label": "Opacity of the map",
    oninput: (event) => (top.style.opacity = event.target.value / 100) });
  const bottom = h("img", { src: picture.url, alt: "" });
  const low = signed ? -reach : normalize === "max" ? 0 : array.min;
  const bar = colorbar(colormap, low, signed ? reach : array.max, name === "occlusion" ? result.method.parameters.measure.replaceAll("_", " ") : "");
  const extra = ["mask", "masked"].filter((each) => image[each]).map((each) => h("figure", { class: "small" },
    h("img", { src: pictureUrl(image[each]), alt: each }), h("figcaption", {}, each === "mask" ? "mask" : "what the mask keeps")));
  return [
    h("p", { class: "target" }, h("strong", {}, said(result)), ` ${result.target?.score_kind ?? ""} ${number(result.target?.score)}`),
    ...warnings(result),
    h("div", { class: "layers" }, bottom, top),
    h("label", { class: "slider" }, "Opacity", slider), bar, extra.length ? h("div", { class: "row" }, extra) : "",
  ];
}

function said({ target }) {
  if (!target) return "the network";
  const name = (target.label ?? (target.neuron === null ? `class ${target.class_index}` : `neuron ${target.neuron}`)).replaceAll("_", " ");
  return target.minus ? `${name} against ${(target.minus.label ?? `class ${target.minus.class_index}`).replaceAll("_", " ")}` : name;
}

// Milliseconds of a pass, by the description of the model.
const paces = new WeakMap();

/** How many windows occlusion will need, and how long that takes at the pace of the prediction. */
async function predicted(place, { details, model, picture, prediction, signal }) {
  const { height, width } = details.input;
  if (!height || !width) return;
  const pair = (text, otherwise) => {
    const given = String(text ?? "").split(",").map(Number).filter((value) => value > 0);
    return given.length ? [given[0], given.at(-1)] : otherwise;
  };
  const given = parameters();
  const patch = pair(given.patch, [height, width].map((side) => Math.max(1, Math.floor(side / 4))));
  const stride = pair(given.stride, patch.map((side) => Math.max(1, Math.floor(side / 4))));
  const windows = [height, width].reduce((product, side, axis) => product * (given.paint === "cell"
    ? Math.ceil(side / stride[axis]) : 1 + Math.max(0, Math.ceil((side - patch[axis]) / stride[axis]))), 1);
  await prediction;
  if (!paces.has(details)) {
    const options = { method: "POST", body: picture.blob, headers: { "Content-Type": picture.blob.type }, signal };
    // A second one, as the first of a model is also built.
    const again = await patiently(path(`v1/models/${encodeURIComponent(model)}/predict`, { top: 1 }), options);
    paces.set(details, again.timing_ms.engine);
  }
  const engine = paces.get(details);
  place.textContent = `${windows.toLocaleString("en")} windows`
    + (engine ? `, at most ${number((windows * engine) / 1000)} s at ${number(engine)} ms a pass.` : ".");
}
