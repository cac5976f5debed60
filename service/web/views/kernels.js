// The kernels that a convolution has learned.

import { patiently, path, pictureUrl } from "../api.js";
import { calm, h, option } from "../dom.js";
import { form } from "../form.js";
import { Refusal, about, problem, take, waiting, warnings } from "../result.js";
import { change, parameters, state } from "../state.js";

export async function kernels(host, { methods, model, signal }) {
  const { kernels: method } = methods;
  const layers = method.validity.layers;
  if (!layers.length) throw new Refusal("This model has no layer with kernels.");
  const stage = h("div", { class: "stage" });
  const chosen = () => state.layer ?? layers[0];
  const select = h("select", { name: "layer", onchange: () => {
    change({ layer: select.value });
    draw();
  } }, layers.map((each) => option(each, each, each === chosen())));
  const draw = async () => {
    if (signal.aborted) return;
    const { layer, ...query } = parameters();
    const route = path(`v1/models/${encodeURIComponent(model)}/layers/${encodeURIComponent(chosen()).replaceAll("%2F", "/")}/kernels`, query);
    stage.replaceChildren(waiting("Drawing …"));
    try {
      const result = await patiently(route, { signal });
      stage.replaceChildren(...warnings(result), h("div", {}, result.images.slice(0, 64).map((image) => h("figure", {},
        h("img", { class: "grid", src: pictureUrl(image), alt: `Kernels of ${chosen()}` })))),
      about(result, method.variants[0]), take(`kernels-${model}`, () => ({ route })));
    } catch (error) {
      if (error.name !== "AbortError") stage.replaceChildren(problem(error));
    }
  };
  host.replaceChildren(h("p", { class: "lead" }, method.summary), h("label", {}, "Layer", select),
    form(method, { first: ["input_channel"], hidden: ["layer"] }, calm(draw)), stage);
  await draw();
}
