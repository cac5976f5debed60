// A form from the JSON Schema of a method's parameters, as the catalogue gives it: a new method needs nothing here.

import { h, option } from "./dom.js";
import { change, parameters } from "./state.js";

/** `first` are the names shown at once, the rest is folded; `choices` overrides a field's values with [value, text]. */
export function form(method, { first = [], hidden = [], choices = {}, lists = {} }, changed) {
  const schema = method.parameters.properties;
  const names = Object.keys(schema).filter((name) => !hidden.includes(name));
  const field = (name) => control(name, schema[name], choices[name], lists[name], () => changed(name));
  const shown = first.filter((name) => names.includes(name)).map(field);
  const folded = names.filter((name) => !first.includes(name)).map(field);
  const given = parameters();
  const open = names.some((name) => !first.includes(name) && name in given);
  return h("form", { class: "parameters", onsubmit: (event) => event.preventDefault() }, shown,
    folded.length ? h("details", { open }, h("summary", {}, "More parameters"), h("div", { class: "fields" }, folded)) : null);
}

function kinds(schema) {
  return schema.anyOf ? schema.anyOf.filter((each) => each.type !== "null") : [schema];
}

function control(name, schema, values, list, changed) {
  const given = parameters()[name];
  const told = (event) => {
    const value = event.target.type === "checkbox" ? String(event.target.checked) : event.target.value.trim();
    change({ [name]: value === String(schema.default ?? "") ? "" : value }, name);
    changed();
  };
  const kind = kinds(schema).find((each) => each.enum) ?? kinds(schema)[0];
  const label = name.replaceAll("_", " ");
  const help = schema.description ?? "";
  if (values || kind.enum) {
    const rows = values ?? kind.enum.map((value) => [value, value]);
    const chosen = String(given ?? schema.default ?? "");
    const free = schema.default === null && !values ? [option("", "automatic", chosen === "")] : [];
    // What a link or a job says is shown as it is said, be it among the choices (`conv2d:linear`, an index) or not.
    if (chosen !== "" && !rows.some(([value]) => String(value) === chosen)) free.push(option(chosen, chosen, true));
    return h("label", { title: help }, label, h("select", { name, onchange: told },
      free, rows.map(([value, text, problem]) => {
        const item = option(value, text, String(value) === chosen);
        if (problem) Object.assign(item, { disabled: true, title: problem });
        return item;
      })));
  }
  if (kind.type === "boolean") {
    const checked = (given ?? String(schema.default)) === "true";
    return h("label", { class: "check", title: help }, h("input", { type: "checkbox", name, checked, onchange: told }), label);
  }
  // Of a list of names each can be picked, and more written behind a comma.
  list ??= kind.items?.enum?.map((value) => [value, value]);
  const only = kinds(schema).length === 1 && ["integer", "number"].includes(kind.type);
  const id = list && `list-${name}`;
  return h("label", { title: help }, label,
    h("input", {
      type: only ? "number" : "text", name, value: given ?? "", onchange: told, list: id,
      min: only && kind.minimum, max: only && kind.maximum, step: kind.type === "number" ? "any" : only && 1,
      placeholder: schema.default === null || schema.default === undefined ? "automatic" : String(schema.default),
    }),
    list ? h("datalist", { id }, list.map(([value, text]) => option(value, text))) : null);
}
