// Feature maps: a thumbnail for each layer, the grid of one, one channel large.

import { patiently, path, pictureUrl } from "../api.js";
import { colorbar } from "../colorbar.js";
import { calm, h, number, option, percent } from "../dom.js";
import { form } from "../form.js";
import { Refusal, about, problem, take, waiting, warnings } from "../result.js";
import { change, parameters, state } from "../state.js";

const THUMBNAILS = 12;
const HIDDEN = ["layers", "channels", "view"];

export async function activations(host, context) {
  const { layers, methods, model, picture, signal } = context;
  const maps = layers.filter((each) => each.methods.includes("activations"));
  const spatial = maps.filter((each) => each.output_shape.length === 3 && each.class !== "InputLayer");
  if (!maps.length) throw new Refusal("This model has no layer whose activations can be drawn.");
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
    if (signal.aborted) return;
    const layer = chosen();
    select.replaceChildren(...maps.map((each) => option(each.path, `${each.path} · ${each.output_shape.join("×")}`, each.path === layer)));
    for (const button of strip.children) button.setAttribute("aria-pressed", button.dataset.layer === layer);
    stage.replaceChildren(waiting("Computing …"));
    try {
      const query = { ...parameters(), layers: layer, channels: "", view: "grid" };
      const result = await ask(query, stage);
      const large = h("div", { class: "channel", "aria-live": "polite" });
      const one = (path, channels) => enlarge(large, path, channels, (query) => ask(query, large));
      stage.replaceChildren(...warnings(result), ...result.images.map((image) => grid(result, image, one)), large,
        about(result, methods.activations.variants[0]),
        take(`activations-${model}`, () => ({ route: path(base, query), method: "POST", picture }), ["png", "jpeg", result.images.length > 1 ? "npz" : "npy"]));
      // Channels are those of one layer: of several, of the first.
      if (state.channels) await one(result.images[0].name, state.channels);
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
  // Each picture has the name of its layer.
  strip.replaceChildren(...result.images.map((image) => h("button", {
    type: "button", "data-layer": image.name, "aria-pressed": String(image.name === state.layers),
    onclick: () => choose(image.name),
  }, h("img", { src: pictureUrl(image), alt: "" }), h("span", {}, image.name))));
}

/** The grid of the layer that `image` is named after; a click, or Enter on the number beside it, opens a channel. */
function grid(result, image, open) {
  const layer = image.name;
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
      if (row >= 0 && column >= 0 && column < columns && place < channels.length) open(layer, channels[place]);
    } });
  const input = h("input", { type: "number", min: 0, max: channels.at(-1), value: state.channels ?? "", name: "channel",
    onchange: (event) => event.target.value !== "" && open(layer, event.target.value) });
  return h("figure", {}, img, h("figcaption", {}, "Click a channel, or give its number: ", h("label", {}, "Channel", input)));
}

/** One channel large, or several as an address may name them (`0,4-6`). */
async function enlarge(place, layer, channels, ask) {
  change({ channels });
  place.replaceChildren(waiting(`Channel ${channels} …`));
  try {
    const result = await ask({ ...parameters(), layers: layer, channels, view: "channel" });
    const { colormap, normalize } = result.method.parameters;
    place.replaceChildren(...result.images.flatMap((image, row) => {
      const { channels: numbers, ...told } = result.statistics[layer];
      const [mean, std, max, active] = ["mean", "std", "max", "active_share"].map((name) => told[name][row]);
      const ends = normalize === "standard" ? [mean - 2 * std, mean + 2 * std] : ["lowest", "highest"];
      const channel = numbers[row];
      return [h("figure", {},
        h("img", { class: "large", src: pictureUrl(image), alt: `Channel ${channel} of ${layer}` }),
        h("figcaption", {}, h("strong", {}, `${layer}, channel ${channel}`),
          ` mean ${number(mean)}, deviation ${number(std)}, highest ${number(max)}, active in ${percent(active)} of its cells`)),
      colorbar(colormap, ...ends)];
    }));
  } catch (error) {
    if (error.name !== "AbortError") place.replaceChildren(problem(error));
  }
}
