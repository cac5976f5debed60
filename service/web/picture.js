// The picture: chosen, dropped, pasted, or one of the samples. The address says which; one of the user's own stands there
// by its name and size alone, as it never leaves this page but to be explained.

import { by, h } from "./dom.js";
import { Refusal } from "./result.js";
import { change, fill, state } from "./state.js";

const SAMPLES = [
  ["cat.jpg", "Cat"], ["coffee.jpg", "Cup of coffee"], ["rocket.jpg", "Rocket"],
  ["circle.png", "Circle"], ["square.png", "Square"], ["triangle.png", "Triangle"],
];
const LONGEST_NAME = 80;
// The service says itself how much it takes.
const largest = Number(document.querySelector("meta[name=max-body-bytes]").content);
const megabytes = (bytes) => `${(bytes / 1024 ** 2).toFixed(1).replace(".0", "")} MB`;

/** `blob`, its `name` for commands, `url` for an <img>; null before one is chosen, and where the one that the address names is not here. */
export let picture = null;
/** Why there is no picture, in a sentence; empty where there is one or it is still coming. */
export let missing = "";

// Those that were chosen since the page was opened, so that Back finds them.
const own = new Map();
let opening = new AbortController();

const named = () => (state.picture ? `own ${state.picture} ${state.bytes}` : `sample ${state.sample}`);
let shown = "";

/** Whether the picture on the page, or the want of one, is what the address says. */
export const isOpen = () => shown === named();

export const isSample = (name) => SAMPLES.some(([known]) => known === name);

/** `changed()` is called when another picture is there, or none; `complain(error)` when one cannot be taken. */
export function pictures(changed, complain) {
  const show = (found, why = "") => {
    if (picture) URL.revokeObjectURL(picture.url);
    picture = found && { ...found, url: URL.createObjectURL(found.blob) };
    missing = why;
    shown = named();
    const img = by("picture");
    img.hidden = !picture;
    if (picture) Object.assign(img, { src: picture.url, alt: `The picture that is looked at: ${picture.name}` });
    by("missing").hidden = !why;
    by("missing").textContent = why;
    for (const button of by("samples").children) button.setAttribute("aria-pressed", button.dataset.name === state.sample);
    changed();
  };
  /** Opens what the address names, else the sample `otherwise`. */
  const open = async (otherwise) => {
    opening.abort();
    opening = new AbortController();
    const { signal } = opening;
    if (!state.picture && !state.sample) fill({ sample: otherwise });
    if (state.picture) {
      const found = own.get(named());
      return show(found, found ? "" : `This link was made with ${state.picture}, which is not in it: drop it here, or choose another picture.`);
    }
    const { sample } = state;
    if (!isSample(sample)) return show(null, `There is no sample “${sample}”: choose one of those below, or a picture of your own.`);
    try {
      const answer = await fetch(`explorer/samples/${sample}`, { signal });
      show({ blob: await answer.blob(), name: sample });
    } catch (error) {
      if (error.name !== "AbortError") show(null, "The sample cannot be fetched: is the service running?");
    }
  };
  const take = (file) => {
    if (!file) return;
    const name = (file.name || "pasted.png").slice(-LONGEST_NAME);
    if (!file.type.startsWith("image/")) return complain(new Refusal(`“${name}” is ${file.type || "no picture"}; choose a PNG, JPEG, WebP, GIF or BMP.`));
    if (file.size > largest) return complain(new Refusal(`“${name}” has ${megabytes(file.size)}; the service takes ${megabytes(largest)}.`));
    change({ sample: "", picture: name, bytes: file.size });
    own.set(named(), { blob: file, name });
    open();
  };
  by("file").addEventListener("change", (event) => {
    take(event.target.files[0]);
    // The same file can be chosen again.
    event.target.value = "";
  });
  addEventListener("paste", (event) => take([...event.clipboardData.files][0]));
  const drop = by("drop");
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  const choose = (name) => {
    change({ sample: name, picture: "", bytes: "" });
    open();
  };
  by("samples").append(...SAMPLES.map(([name, title]) => h(
    "button", { type: "button", title, "aria-pressed": "false", "data-name": name, onclick: () => choose(name) },
    h("img", { src: `explorer/samples/${name}`, alt: title, width: 56, height: 40, loading: "lazy" }),
  )));
  return open;
}
