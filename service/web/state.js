// What is shown stands in the address bar, so that a view can be shared: #model=…&view=…&sample=… and parameters.

const OWN = ["model", "view", "sample"];

export const state = read();

function read() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

function write() {
  history.replaceState(null, "", `#${new URLSearchParams(Object.entries(state)).toString().replaceAll("%2C", ",")}`);
}

export function change(values) {
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined || value === null || value === "") delete state[name];
    else state[name] = String(value);
  }
  write();
}

/** The parameters of the view, without model, view and sample. */
export function parameters() {
  return Object.fromEntries(Object.entries(state).filter(([name]) => !OWN.includes(name)));
}

/** Another view or model: its parameters are others. */
export function restart(values) {
  for (const name of Object.keys(state)) if (!OWN.includes(name)) delete state[name];
  change(values);
}

/** Calls `changed` when somebody edits the address or goes back. */
export function follow(changed) {
  addEventListener("hashchange", () => {
    for (const name of Object.keys(state)) delete state[name];
    Object.assign(state, read());
    changed();
  });
}
