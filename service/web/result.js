// What stands around every result: waiting, problems, warnings, the command, downloads.

import { Problem, call, curl } from "./api.js";
import { h, number } from "./dom.js";

export function waiting(text) {
  return h("p", { class: "waiting", role: "status" }, h("span", { class: "spinner", "aria-hidden": "true" }), text);
}

/** An error as its own sentence; with `again`, a button that tries once more. */
export function problem(error, again) {
  const title = error instanceof Problem ? error.title : error instanceof Refusal ? "" : "Something went wrong in this page";
  return h("div", { class: "problem", role: "alert" }, title && h("strong", {}, title), h("p", {}, error.message),
    again && h("p", {}, h("button", { type: "button", onclick: again }, "Try again")));
}

/** What the page itself refuses, in a sentence that needs no title. */
export class Refusal extends Error {}

export function warnings(result) {
  return (result.warnings ?? []).map((each) => h("p", { class: "warning" }, each.detail));
}

/** What the answer says of itself: variant, paper, effective parameters, times. */
export function about(result, variant) {
  const { method, timing_ms: times } = result;
  const rows = Object.entries(method.parameters).filter(([, value]) => value !== null);
  return h("details", { class: "about" },
    h("summary", {}, `${method.variant} · ${number(times.total ?? times.engine)} ms`),
    variant?.summary && h("p", {}, variant.summary), variant?.caution && h("p", { class: "note" }, variant.caution),
    method.reference && h("p", {}, h("a", { href: method.reference, rel: "noreferrer" }, method.reference)),
    h("dl", {}, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, JSON.stringify(value))])));
}

/**
 * The command for the first of `forms`, and buttons that fetch what it would. `request(form)` is {route, method, picture}
 * as it is now; after it has changed, the element's `refresh()` shows the new command.
 */
export function take(name, request, forms = ["png", "jpeg", "npy"]) {
  const at = (form) => {
    const { route, ...given } = request(form);
    return { ...given, route: `${route}${route.includes("?") ? "&" : "?"}format=${form}` };
  };
  const line = h("code", { tabindex: 0, role: "textbox", "aria-readonly": "true", "aria-label": "curl command" });
  const refresh = () => {
    const given = at(forms[0]);
    line.textContent = curl(given.route, { ...given, output: `${name}.${forms[0]}` });
  };
  const copy = h("button", { type: "button", onclick: async () => {
    await navigator.clipboard?.writeText(line.textContent).catch(() => {});
    getSelection().selectAllChildren(line);
    copy.textContent = "Copied";
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  } }, "Copy");
  const save = async (form) => {
    const { route, picture, method } = at(form);
    const headers = picture ? { "Content-Type": picture.blob.type } : {};
    const answer = await call(route, { method, body: picture?.blob, headers });
    const url = URL.createObjectURL(await answer.blob());
    h("a", { href: url, download: `${name}.${form}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  const buttons = forms.map((form) => h("button", { type: "button", onclick: async (event) => {
    const place = event.target.closest(".take");
    place.querySelector(".problem")?.remove();
    await save(form).catch((error) => place.append(problem(error)));
  } }, form.toUpperCase()));
  refresh();
  const element = h("div", { class: "take" }, h("div", { class: "command" }, line, copy), h("p", { class: "row" }, "Download", buttons));
  return Object.assign(element, { refresh });
}
