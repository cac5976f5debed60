// CAM, saliency, occlusion and perturbation: a map for each target over the picture, its opacity set here in the browser.

import { path, pictureUrl, steadily } from "../api.js";
import { colorbar } from "../colorbar.js";
import { calm, h, number } from "../dom.js";
import { expected, learn, plans } from "../estimates.js";
import { form } from "../form.js";
import { Refusal, about, problem, take, waiting, warnings } from "../result.js";
import { fill, parameters, state } from "../state.js";

const FIRST = {
  cam: ["method", "layer", "target"],
  saliency: ["method", "target", "sign"],
  occlusion: ["patch", "stride", "target", "measure"],
  perturbation: ["method", "samples", "target", "segments"],
};
// The opacity is a slider's; the map is drawn as large as the picture, over which it is laid.
const HIDDEN = ["alpha", "size"];
// More pixels than this are not seen on the page; what is taken away has them all.
const SHOWN_PX = 1600;

export async function heatmaps(host, context, name) {
  const { details, methods, model, picture, signal } = context;
  const method = methods[name];
  const reasons = method.validity.not_valid;
  if (!method.validity.valid) throw new Refusal(Object.values(reasons)[0]);
  const variants = method.variants.map((each) => [each.name, each.name, reasons[each.name]]);
  const spatial = method.validity.layers;
  const classes = details.labels.map((label, index) => [String(index), label]);
  const choices = {
    ...(variants.length > 1 && { method: variants }),
    ...(spatial.length && method.parameters.properties.layer && { layer: [["", `automatic (${details.cam_layer ?? "the last with a map"})`], ...spatial.toReversed().map((each) => [each, each])] }),
  };
  const stage = h("div", { class: "stage" });
  const cost = h("p", { class: "note", id: "cost" });
  const base = `v1/models/${encodeURIComponent(model)}/${name}`;
  const options = { method: "POST", body: picture.blob, headers: { "Content-Type": picture.blob.type } };
  const outputs = name === "occlusion" ? "heatmap,mask,masked" : "heatmap";
  let pending = new AbortController();
  signal.addEventListener("abort", () => pending.abort());

  const draw = async () => {
    if (signal.aborted) return;
    pending.abort();
    pending = new AbortController();
    const own = pending.signal;
    const { alpha, size, ...query } = parameters();
    const plan = { occlusion: () => planned(details, query), perturbation: () => drawn(method, query) }[name]?.() ?? null;
    cost.textContent = plan ? foretold(model, name, plan) : "";
    stage.replaceChildren(waiting("Computing …"));
    try {
      const before = plan && await plans(model, own);
      const answer = await steadily(path(base, { ...query, outputs, arrays: "base64", max_side: SHOWN_PX }), { ...options, signal: own },
        (error) => stage.replaceChildren(waiting(error.message)));
      const result = await answer.json();
      stage.replaceChildren(...tiles(result, { name, picture, model, base, query, method }));
      // An answer that was kept says nothing of how long it takes.
      if (!plan || answer.headers.get("Server-Timing")?.startsWith("cache")) return;
      const { total, queue = 0 } = result.timing_ms;
      const after = await plans(model, own);
      if (before !== null && after !== null) learn(model, name, { setting: plan.setting, count: plan.count, ms: total - queue, compiled: after !== before });
    } catch (error) {
      if (error.name === "AbortError") return;
      cost.textContent = "";
      stage.replaceChildren(problem(error));
    }
  };
  host.replaceChildren(
    h("p", { class: "lead" }, method.summary),
    form(method, { first: FIRST[name], hidden: HIDDEN, choices, lists: { target: classes } }, calm(draw)),
    cost, stage);
  await draw();
}

/** The answer's maps, each over the picture with its own target, opacity and colours; a single one large, several side by side. */
function tiles(result, view) {
  const maps = result.arrays.filter((each) => /^heatmap(:|$)/.test(each.name)).map((array) => mapOf(result, array));
  const several = maps.length > 1;
  const { name, model, base, query, method } = view;
  const variant = method.variants.find((each) => each.name === result.method.variant);
  const parts = maps.map((map) => tile(map, result, { ...view, several }));
  return [
    ...warnings(result),
    several ? h("div", { class: "maps" }, parts) : parts,
    about(result, variant),
    several && take(`${name}-${model}`, () => ({ route: path(base, query), method: "POST", picture: view.picture }), ["npz"]),
  ].flat().filter(Boolean);
}

/** What belongs to an array named `heatmap`, `heatmap:285` or, for a contrast among several targets, `heatmap:281-285`. */
function mapOf(result, array) {
  const which = array.name.slice("heatmap".length);
  const images = Object.fromEntries(result.images.filter((each) => each.name.endsWith(which)).map((each) => [each.name.slice(0, each.name.length - which.length), each]));
  const suffix = (target) => `:${target.class_index}${target.minus ? `-${target.minus.class_index}` : ""}`;
  const target = which ? result.targets.find((each) => suffix(each) === which) : result.target;
  return { array, images, target, wanted: which.slice(1) };
}

function tile({ array, images, target, wanted }, result, { name, picture, model, base, query, several }) {
  const { colormap, normalize, measure } = result.method.parameters;
  const signed = normalize === "symmetric";
  const reach = Math.max(Math.abs(array.min), Math.abs(array.max));
  const what = said(target);
  const given = Number(state.alpha);
  let alpha = state.alpha !== undefined && given >= 0 && given <= 1 ? given : signed ? 0.8 : 0.55;
  const top = h("img", { class: "map", src: pictureUrl(images.heatmap), alt: `${name} map of ${what}` });
  top.style.opacity = alpha;
  const own = several ? { ...query, target: wanted } : query;
  const taken = take(several ? `${name}-${model}-${wanted}` : `${name}-${model}`,
    // Arrays have no opacity.
    (form) => ({ route: path(base, form === "npy" ? own : { ...own, alpha }), method: "POST", picture }));
  const slider = h("input", { type: "range", min: 0, max: 100, value: Math.round(alpha * 100), "aria-label": several ? `Opacity of the map of ${what}` : "Opacity of the map",
    oninput: (event) => {
      alpha = event.target.value / 100;
      top.style.opacity = alpha;
      taken.refresh();
    },
    onchange: () => several || fill({ alpha }) });
  const low = signed ? -reach : normalize === "max" ? 0 : array.min;
  const bar = colorbar(colormap, low, signed ? reach : array.max, measure ? measure.replaceAll("_", " ") : "");
  const extra = ["mask", "masked"].filter((each) => images[each]).map((each) => h("figure", { class: "small" },
    h("img", { src: pictureUrl(images[each]), alt: `${each} of ${what}` }), h("figcaption", {}, each === "mask" ? "mask" : "what the mask keeps")));
  return h("section", { class: "tile", "aria-label": `Map of ${what}` },
    h("p", { class: "target" }, h("strong", {}, what), ` ${target?.score_kind ?? ""} ${number(target?.score)}`),
    h("div", { class: "layers" }, h("img", { src: picture.url, alt: "" }), top),
    h("label", { class: "slider" }, "Opacity", slider), bar, extra.length > 0 && h("div", { class: "row" }, extra), taken);
}

function said(target) {
  if (!target) return "the network";
  const one = ({ label, class_index: index }) => (label ?? `class ${index}`).replaceAll("_", " ");
  if (target.label === null && target.neuron !== null) return `neuron ${target.neuron}`;
  return target.minus ? `${one(target)} against ${one(target.minus)}` : one(target);
}

/** How many windows occlusion will need, and what else decides how long they take; null where the form cannot tell. */
function planned({ input }, given) {
  const sides = [input?.height, input?.width];
  const pair = (text, otherwise) => {
    const read = String(text ?? "").split(",").map(Number).filter((value) => value > 0);
    return read.length ? [read[0], read.at(-1)] : otherwise;
  };
  const patch = pair(given.patch, sides.map((side) => Math.max(1, Math.floor(side / 4))));
  const stride = pair(given.stride, patch.map((side) => Math.max(1, Math.floor(side / 4))));
  if (sides.some((side, axis) => !side || patch[axis] > side || stride[axis] > patch[axis])) return null;
  const windows = sides.reduce((product, side, axis) => product * (given.paint === "cell"
    ? Math.ceil(side / stride[axis]) : 1 + Math.ceil((side - patch[axis]) / stride[axis])), 1);
  return { count: windows, what: "windows", setting: [patch, stride, given.paint ?? "window", given.strategy ?? "auto"].join(" ") };
}

/** How many masks a perturbation map will draw at most. */
function drawn({ parameters: { properties } }, given) {
  const variant = given.method ?? properties.method.default;
  const usual = new RegExp(`(\\d+) for ${variant}\\b`).exec(properties.samples.description);
  const count = Number(given.samples) || Number(usual?.[1]);
  return count ? { count, what: "masks", setting: [variant, given.segments, given.cells, given.segment_count].join(" ") } : null;
}

function foretold(model, name, { count, what, setting }) {
  const ms = expected(model, name, setting, count);
  return `${count.toLocaleString("en")} ${what}${ms ? `, about ${number(Number((ms / 1000).toPrecision(2)))} s by what was measured here` : ""}.`;
}
