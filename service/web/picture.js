// The picture: chosen, dropped, pasted, or one of the samples.

import { by, h } from "./dom.js";
import { change, state } from "./state.js";

const SAMPLES = [
  ["cat.jpg", "Cat"], ["coffee.jpg", "Cup of coffee"], ["rocket.jpg", "Rocket"],
  ["circle.png", "Circle"], ["square.png", "Square"], ["triangle.png", "Triangle"],
];
const LARGEST = 16 * 1024 ** 2;

/** `blob`, its `name` for commands, `url` for an <img>; null before one is chosen. */
export let picture = null;

export function pictures(changed, complain) {
  const take = (blob, name) => {
    if (!blob) return;
    if (!blob.type.startsWith("image/")) return complain(`“${name}” is ${blob.type || "no picture"}; choose a PNG, JPEG, WebP, GIF or BMP.`);
    if (blob.size > LARGEST) return complain(`“${name}” has ${(blob.size / 1024 ** 2).toFixed(1)} MB; the service takes 16 MB.`);
    if (picture) URL.revokeObjectURL(picture.url);
    picture = { blob, name, url: URL.createObjectURL(blob) };
    by("picture").src = picture.url;
    by("picture").alt = `The picture that is looked at: ${name}`;
    for (const button of by("samples").children) button.setAttribute("aria-pressed", button.dataset.name === state.sample);
    changed();
  };
  const own = (file) => {
    if (file) change({ sample: "" });
    take(file, file?.name || "pasted.png");
  };
  const sample = async (name) => {
    change({ sample: name });
    take(await (await fetch(`explorer/samples/${name}`)).blob(), name);
  };
  by("file").addEventListener("change", (event) => own(event.target.files[0]));
  addEventListener("paste", (event) => own([...event.clipboardData.files][0]));
  const drop = by("drop");
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    own(event.dataTransfer.files[0]);
  });
  by("samples").append(...SAMPLES.map(([name, title]) => h(
    "button", { type: "button", title, "aria-pressed": "false", "data-name": name, onclick: () => sample(name) },
    h("img", { src: `explorer/samples/${name}`, alt: title, width: 56, height: 40, loading: "lazy" }),
  )));
  return sample;
}

export const isSample = (name) => SAMPLES.some(([known]) => known === name);
