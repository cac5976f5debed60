// The most probable classes; a click makes one the target of the view.

import { patiently, path } from "../api.js";
import { h, percent } from "../dom.js";
import { waiting } from "../result.js";

export async function predictions(host, { model, picture, signal }, chosen) {
  host.replaceChildren(waiting("Predicting …"));
  const route = path(`v1/models/${encodeURIComponent(model)}/predict`, { top: 5 });
  const options = { method: "POST", body: picture.blob, headers: { "Content-Type": picture.blob.type }, signal };
  const result = await patiently(route, options, (error) => host.replaceChildren(waiting(error.message)));
  const rows = result.predictions.map((each) => {
    const share = each.probability ?? 0;
    const bar = h("span", { class: "share", "aria-hidden": "true" });
    bar.style.width = `${Math.max(1, share * 100)}%`;
    const name = each.label ?? `class ${each.class_index}`;
    return h("li", {}, h("button", { type: "button", title: "Explain this class", onclick: () => chosen(each.class_index) },
      bar, h("span", {}, name.replaceAll("_", " ")), h("span", {}, each.probability === null ? each.score.toPrecision(4) : percent(share))));
  });
  host.replaceChildren(h("ol", {}, rows));
  return result;
}
