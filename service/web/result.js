// What stands around every result: waiting, problems, warnings, the command, downloads.

import { Problem, call, curl } from "./api.js";
import { h, number } from "./dom.js";

export function waiting(text) {
  return h("p", { class: "waiting", role: "status" }, h("span", { class: "spinner", "aria-hidden": "true" }), text);
}

export function problem(error) {
  const title = error instanceof Problem ? error.title : "Something went wrong in this page";
  return h("div", { class: "problem", role: "alert" }, h("strong", {}, title), h("p", {}, error.message));
}

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

/** The command for the PNG, and buttons that fetch what it would. `request` is {route, method, picture}. */
export function take(name, request, forms = ["png", "npy"]) {
  const at = (form) => {
    const joint = request.route.includes("?") ? "&" : "?";
    return `${request.route}${joint}format=${form}`;
  };
  const command = curl(at(forms[0]), { ...request, output: `${name}.${forms[0]}` });
  const line = h("code", { tabindex: 0, role: "textbox", "aria-readonly": "true", "aria-label": "curl command" }, command);
  const copy = h("button", { type: "button", onclick: async () => {
    await navigator.clipboard?.writeText(command).catch(() => {});
    getSelection().selectAllChildren(line);
    copy.textContent = "Copied";
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  } }, "Copy");
  const save = async (form) => {
    const { picture, method } = request;
    const headers = picture ? { "Content-Type": picture.blob.type } : {};
    const answer = await call(at(form), { method, body: picture?.blob, headers });
    const url = URL.createObjectURL(await answer.blob());
    h("a", { href: url, download: `${name}.${form}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  const buttons = forms.map((form) => h("button", { type: "button", onclick: (event) =>
    save(form).catch((error) => event.target.closest(".take").append(problem(error))) }, form.toUpperCase()));
  return h("div", { class: "take" }, h("div", { class: "command" }, line, copy),
    h("p", { class: "row" }, "Download", buttons));
}
