// Which of several maps to trust: a table of the methods with their numbers, and the curves behind them.

import { path, pictureUrl, steadily } from "../api.js";
import { h } from "../dom.js";
import { form } from "../form.js";
import { Refusal, about, problem, take, waiting, warnings } from "../result.js";
import { parameters } from "../state.js";

// A map of one's own is a file, which this form has no place for.
const HIDDEN = ["own_map"];

export async function evaluation(host, { details, methods, model, picture, signal }) {
  const method = methods.evaluate;
  if (!method.validity.valid) throw new Refusal(Object.values(method.validity.not_valid)[0]);
  const stage = h("div", { class: "stage" });
  const base = `v1/models/${encodeURIComponent(model)}/evaluate`;
  const classes = details.labels.map((label, index) => [String(index), label]);
  const options = { method: "POST", body: picture.blob, headers: { "Content-Type": picture.blob.type } };
  let pending = new AbortController();
  signal.addEventListener("abort", () => pending.abort());

  const compare = async () => {
    pending.abort();
    pending = new AbortController();
    const query = parameters();
    stage.replaceChildren(waiting("Making the maps and measuring them, which takes up to a minute …"));
    try {
      const answer = await steadily(path(base, query), { ...options, signal: pending.signal },
        (error) => stage.replaceChildren(waiting(error.message)));
      const result = await answer.json();
      stage.replaceChildren(...shown(result),
        take(`evaluate-${model}`, (form) => ({ route: path(base, form === "png" ? { ...query, outputs: "chart,curves" } : query), method: "POST", picture }), ["png", "npz"]));
    } catch (error) {
      if (error.name !== "AbortError") stage.replaceChildren(problem(error, compare));
    }
  };
  host.replaceChildren(
    h("p", { class: "lead" }, method.summary),
    form(method, { first: ["methods", "metrics", "target", "box"], hidden: HIDDEN, lists: { target: classes } }, () => {}),
    h("p", {}, h("button", { type: "button", class: "main", onclick: compare }, "Compare")), stage);
}

function shown(result) {
  const { metrics, left_out: leftOut = {} } = result.statistics;
  return [
    ...warnings(result),
    ...Object.entries(leftOut).map(([name, why]) => h("p", { class: "note" }, `${name} is left out: ${why}.`)),
    ...result.images.map((image) => h("img", { class: "sheet", src: pictureUrl(image), alt: image.name === "chart" ? chartSaid(result) : "Curves of the metrics" })),
    h("details", { class: "about" }, h("summary", {}, "What each number means, and when it misleads"), h("dl", {},
      metrics.map((each) => [h("dt", {}, h("a", { href: each.paper, rel: "noreferrer" }, each.name)), h("dd", {}, `${each.meaning} ${each.caution}`)]))),
    about(result),
  ];
}

/** The ranking in words, for who does not see the picture. */
function chartSaid({ statistics: { rows } }) {
  const ranked = rows.filter((row) => row.rank).sort((one, other) => one.rank - other.rank);
  return ranked.length ? `Ranking: ${ranked.map((row) => `${row.rank} ${row.name}`).join(", ")}` : "Table of the maps";
}
