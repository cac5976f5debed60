// What is shown stands in the address bar, so that a view can be shared: #model=…&view=…&sample=… and parameters.
// A step that somebody takes is an entry of the history; what the page adds by itself is none.

const OWN = ["model", "view", "sample", "picture", "bytes"];
// One field that is stepped through with the arrows is one step of the history.
const SAME_STEP_MS = 1000;

export const state = read();
let last = { field: "", at: 0 };

function read() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

function written() {
  const names = [...OWN.filter((name) => name in state), ...Object.keys(state).filter((name) => !OWN.includes(name))];
  return `#${new URLSearchParams(names.map((name) => [name, state[name]])).toString().replaceAll("%2C", ",")}`;
}

const sorted = (values) => JSON.stringify(Object.entries(values).sort());

function set(values) {
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined || value === null || value === "") delete state[name];
    else state[name] = String(value);
  }
}

function step(field = "") {
  if (sorted(state) === sorted(read())) return;
  const now = performance.now();
  const again = field && field === last.field && now - last.at < SAME_STEP_MS;
  last = { field, at: now };
  history[again ? "replaceState" : "pushState"](null, "", written());
}

/** A step of the user: Back leads to what was there before. */
export function change(values, field) {
  set(values);
  step(field);
}

/** What the page adds to the address by itself, or while a slider is dragged: no step of its own. */
export function fill(values) {
  set(values);
  history.replaceState(null, "", written());
}

/** The parameters of the view, without model, view and picture. */
export function parameters() {
  return Object.fromEntries(Object.entries(state).filter(([name]) => !OWN.includes(name)));
}

/** A step to another view, model or job: its parameters are others. */
export function restart(values) {
  for (const name of Object.keys(state)) if (!OWN.includes(name)) delete state[name];
  change(values);
}

/** Calls `changed` when somebody edits the address, or goes back or forward. */
export function follow(changed) {
  addEventListener("hashchange", () => {
    for (const name of Object.keys(state)) delete state[name];
    Object.assign(state, read());
    last = { field: "", at: 0 };
    changed();
  });
}
