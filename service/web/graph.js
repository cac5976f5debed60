// The layers as a graph: each as deep as its longest way from the input, beside those of the same depth.

import { h } from "./dom.js";

const WIDTH = 190;
const HEIGHT = 24;
const GAP_X = 16;
const GAP_Y = 18;

export function graph(layers, open) {
  const places = placed(layers);
  const widest = Math.max(...[...places.values()].map((each) => each.column)) + 1;
  const deepest = Math.max(...[...places.values()].map((each) => each.depth)) + 1;
  const x = (place) => place.column * (WIDTH + GAP_X) + GAP_X;
  const y = (place) => place.depth * (HEIGHT + GAP_Y) + GAP_Y / 2;
  const edges = layers.flatMap((layer) => layer.inputs.map((input) => {
    const from = places.get(input);
    const to = places.get(layer.path);
    const [x1, y1, x2, y2] = [x(from) + WIDTH / 2, y(from) + HEIGHT, x(to) + WIDTH / 2, y(to)];
    const aside = to.depth - from.depth > 1 ? WIDTH * 0.62 : 0;
    return h("svg:path", { class: "edge", d: `M${x1} ${y1} C${x1 + aside} ${y1 + GAP_Y} ${x2 + aside} ${y2 - GAP_Y} ${x2} ${y2}` });
  }));
  const nodes = layers.map((layer) => {
    const place = places.get(layer.path);
    const kind = /Conv/.test(layer.class) ? "conv" : /Pool/.test(layer.class) ? "pool" : /Dense/.test(layer.class) ? "dense" : "other";
    const name = layer.path.length > 26 ? `…${layer.path.slice(-25)}` : layer.path;
    const pressed = (event) => ["Enter", " "].includes(event.key) && (event.preventDefault(), open(layer.path));
    return h("svg:g", { class: `node ${kind}`, role: "button", tabindex: 0, "aria-label": `${layer.path}, ${layer.class}`,
      onclick: () => open(layer.path), onkeydown: pressed },
    h("svg:title", {}, `${layer.path} · ${layer.class} · ${layer.output_shape.join("×")}`),
    h("svg:rect", { x: x(place), y: y(place), width: WIDTH, height: HEIGHT, rx: 5 }),
    h("svg:text", { x: x(place) + WIDTH / 2, y: y(place) + 16, "text-anchor": "middle" }, name));
  });
  const [width, height] = [widest * (WIDTH + GAP_X) + GAP_X + WIDTH / 2, deepest * (HEIGHT + GAP_Y)];
  return h("svg:svg", { class: "graph", width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Layers" }, edges, nodes);
}

function placed(layers) {
  const places = new Map();
  const taken = new Map();
  for (const layer of layers) {
    const before = layer.inputs.map((input) => places.get(input)).filter(Boolean);
    const depth = before.length ? Math.max(...before.map((each) => each.depth)) + 1 : 0;
    const column = taken.get(depth) ?? 0;
    taken.set(depth, column + 1);
    places.set(layer.path, { depth, column });
  }
  return places;
}
