// Feature maps: a thumbnail for each layer, the grid of one, one channel large.

import { patiently, path, pictureUrl } from "../api.js";
import { colorbar } from "../colorbar.js";
import { calm, h, number, option, percent } from "../dom.js";
import { form } from "../form.js";
import { about, problem, take, waiting, warnings } from "../result.js";
import { change, parameters, state } from "../state.js";

const THUMBNAILS = 12;
const HIDDEN = ["layers", "channels", "view"];

export async function activations(host, context) {
  const { layers, methods, model, picture, signal } = context;
  const maps = layers.filter((each) => each.methods.includes("activations"));
  const spatial = maps.filter((each) => each.output_shape.length === 3 && each.class !== "InputLayer");
  if (!maps.length) throw new Error("This model has no layer whose activations can be drawn.");
  const base = `v1/models/${encodeURIComponent(model)}/activations`;
  const options = { method: "POST", body: picture.blob, headers: { "Content-Type": picture.blob.type }, signal };
  const ask = (query, place) => patiently(path(base, query), options, (error) => place.replaceChildren(waiting(error.message)));
  const stage = h("div", { class: "stage" });
  const strip = h("div", { class: "thumbnails", role: "group", "aria-label": "Layers" });
  const select = h("select", { name: "layers", onchange: () => choose(select.value) });
  const chosen = () => state.layers ?? (spatial[0] ?? maps[0]).path;

  const choose = (layer) => {
    change({ layers: layer, channels: "" });
    draw();
  };
  const draw = async () => {
    const layer = chosen();
    select.replaceChildren(...maps.map((each) => option(each.path, `${each.path} · ${each.output_shape.join("×")}`, each.path === layer)));
    for (const button of strip.children) button.setAttribute("aria-pressed", button.dataset.layer === layer);
    stage.replaceChildren(waiting("Computing …"));
    try {
      const query = { ...parameters(), layers: layer, channels: "", view: "grid" };
      const result = await ask(query, stage);
      const large = h("div", { class: "channel", "aria-live": "polite" });
      const one = (channel) => enlarge(large, layer, channel, (query) => ask(query, large));
      stage.replaceChildren(...warnings(result), grid(result, layer, one), large,
        about(result, methods.activations.variants[0]), take(`activations-${model}`, { route: path(base, query), method: "POST", picture }, ["png", "npy"]));
      if (state.channels) await one(Number(state.channels));
    } catch (error) {
      if (error.name !== "AbortError") stage.replaceChildren(problem(error));
    }
  };
  host.replaceChildren(
    h("p", { class: "lead" }, methods.activations.summary), strip,
    h("label", {}, "Layer", select), form(methods.activations, { hidden: HIDDEN }, calm(draw)), stage);
  thumbnails(strip, spatial.filter((each) => /Conv|Pool/.test(each.class)).slice(0, THUMBNAILS), ask, choose).catch(() => strip.remove());
  await draw();
}

async function thumbnails(strip, layers, ask, choose) {
  if (!layers.length) return strip.remove();
  const channels = `0-${Math.min(8, ...layers.map((each) => each.output_shape[2] - 1))}`;
  const result = await ask({ layers: layers.map((each) => each.path).join(","), channels, per_row: 3 }, strip);
  strip.replaceChildren(...result.images.map((image, place) => h("button", {
    type: "button", "data-layer": layers[place].path, "aria-pressed": String(layers[place].path === state.layers),
    onclick: () => choose(layers[place].path),
  }, h("img", { src: pictureUrl(image), alt: "" }), h("span", {}, layers[place].path))));
}

/** The grid as a picture; a click, or Enter on the number beside it, opens a channel. */
function grid(result, layer, open) {
  const image = result.images[0];
  const { channels } = result.statistics[layer];
  const columns = Math.min(result.method.parameters.per_row, channels.length);
  const rows = Math.ceil(channels.length / columns);
  const gap = 2;
  const side = (image.width - gap) / columns;
  const title = image.height - rows * side - gap;
  const img = h("img", { src: pictureUrl(image), alt: `${channels.length} feature maps of ${layer}`, class: "grid",
    onclick: (event) => {
      const scale = image.width / img.clientWidth;
      const column = Math.floor((event.offsetX * scale - gap / 2) / side);
      const row = Math.floor((event.offsetY * scale - title - gap / 2) / side);
      const place = row * columns + column;
      if (row >= 0 && column >= 0 && column < columns && place < channels.length) open(channels[place]);
    } });
  const input = h("input", { type: "number", min: 0, max: channels.at(-1), value: state.channels ?? "", name: "channel",
    onchange: (event) => event.target.value !== "" && open(Number(event.target.value)) });
  return h("figure", {}, img, h("figcaption", {}, "Click a channel, or give its number: ", h("label", {}, "Channel", input)));
}

async function enlarge(place, layer, channel, ask) {
  change({ channels: channel });
  place.replaceChildren(waiting(`Channel ${channel} …`));
  try {
    const result = await ask({ ...parameters(), layers: layer, channels: channel, view: "channel" });
    const { mean, std, max, active_share: active } = result.statistics[layer];
    const { colormap, normalize } = result.method.parameters;
    const ends = normalize === "standard" ? [mean[0] - 2 * std[0], mean[0] + 2 * std[0]] : ["lowest", "highest"];
    place.replaceChildren(h("figure", {},
      h("img", { class: "large", src: pictureUrl(result.images[0]), alt: `Channel ${channel} of ${layer}` }),
      h("figcaption", {}, h("strong", {}, `${layer}, channel ${channel}`),
        ` mean ${number(mean[0])}, deviation ${number(std[0])}, highest ${number(max[0])}, active in ${percent(active[0])} of its cells`)),
      colorbar(colormap, ...ends));
  } catch (error) {
    if (error.name !== "AbortError") place.replaceChildren(problem(error));
  }
}
