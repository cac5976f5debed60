// The colours of a map beside its lowest and highest value; the stops are those of the service's own tables.

import { h, number } from "./dom.js";

const STOPS = {
  viridis: "#440154, #482878, #3e4989, #31688e, #26828e, #1f9e89, #35b779, #6ece58, #b5de2b, #fde725",
  jet: "#000080, #0000ff 11%, #0080ff 25%, #00ffff 36%, #80ff80 50%, #ffff00 65%, #ff8000 76%, #ff0000 90%, #800000",
  gray: "#000, #fff",
  inferno: "#000004, #1b0c41, #4a0c6b, #781c6d, #a52c60, #cf4446, #ed6925, #fb9b06, #f7d13d, #fcffa4",
  coolwarm: "#3b4cc0, #6282ea, #8db0fe, #b8d0f9, #dddddd, #f5c4ad, #f49a7b, #de604d, #b40426",
};

/** `low` and `high` are numbers, or words that stand for them. */
export function colorbar(colormap, low, high, unit = "") {
  const bar = h("div", { class: "bar", "aria-hidden": "true" });
  bar.style.background = `linear-gradient(to right, ${STOPS[colormap] ?? STOPS.gray})`;
  const word = (value) => (typeof value === "number" ? number(value) : value);
  const middle = colormap === "coolwarm" && typeof low === "number" ? h("span", {}, number((low + high) / 2)) : null;
  return h("figure", { class: "colorbar" }, bar,
    h("figcaption", {}, h("span", {}, word(low)), middle, unit && h("em", {}, unit), h("span", {}, word(high))));
}
