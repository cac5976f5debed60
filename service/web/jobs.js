// The background jobs that this tab has submitted: followed through lost connections, and in sight beside every view.

import { call, events, json, rest } from "./api.js";
import { by, h } from "./dom.js";
import { problem } from "./result.js";

const KEY = "kerascope-jobs";
const MOST = 5;
const LOOK_MS = 1000;
// The service says something every 15 s at least.
const SILENT_MS = 40_000;
const LONGEST_PAUSE_MS = 10_000;
const ENDED = ["succeeded", "failed", "cancelled"];

export const hasEnded = (job) => ENDED.includes(job.state);

/** `channels 0-8` rather than `0,1,2,…`, and everything else as a query carries it. */
function written(name, value) {
  if (!Array.isArray(value)) return String(value);
  if (name !== "channels" || value.length < 3 || value.some((each, place) => each !== value[0] + place)) return value.join(",");
  return `${value[0]}-${value.at(-1)}`;
}

/** The parameters a job was submitted with, as a query has them. */
export function query(job) {
  return Object.fromEntries(Object.entries(job.parameters ?? {}).filter(([, value]) => value !== null)
    .map(([name, value]) => [name, written(name, value)]));
}

/** What a job is of: `layer conv2d_3, channels 0-8, steps 30`. */
export function setting(job) {
  const parts = Object.entries(query(job)).map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`);
  return parts.join(", ") || (job.parameters ? "the method's defaults" : `job ${job.id}`);
}

export const cancel = (id) => call(`v1/jobs/${id}`, { method: "DELETE" });

/**
 * Calls `seen(job)` with what is new until the job has ended, and gives it as it is then. A lost, frozen or silent
 * connection is made again, at once when the browser's tab comes back into sight; `lost(error)` hears of each.
 */
export async function follow(id, seen, signal, lost = () => {}) {
  let latest = null;
  const told = (job) => {
    latest = job;
    seen(job);
  };
  for (let pause = LOOK_MS; ;) {
    const stream = new AbortController();
    const seenAgain = () => document.visibilityState === "visible" && stream.abort();
    let silence = 0;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => stream.abort(), SILENT_MS);
    };
    document.addEventListener("visibilitychange", seenAgain);
    try {
      told(await json(`v1/jobs/${id}`, { signal }));
      if (hasEnded(latest)) return latest;
      pause = LOOK_MS;
      heard();
      await events(`v1/jobs/${id}/events`, told, AbortSignal.any([signal, stream.signal]), heard);
      if (!hasEnded(latest)) await rest(pause, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      if (!stream.signal.aborted) {
        if (error.status !== 0 && !error.passes) throw error;
        lost(error);
        await rest(pause, signal);
        pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
      }
    } finally {
      clearTimeout(silence);
      document.removeEventListener("visibilitychange", seenAgain);
    }
  }
}

const kept = () => JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
let timer = 0;
let open = () => {};

/** From now on the job stands beside every view until four others have come after it, or it is taken away. */
export function track(job) {
  sessionStorage.setItem(KEY, JSON.stringify([job, ...kept().filter((each) => each.id !== job.id)].slice(0, MOST)));
  look();
}

function forget(id) {
  sessionStorage.setItem(KEY, JSON.stringify(kept().filter((each) => each.id !== id)));
  draw();
}

/** Looks at the jobs that still run; nothing is asked while the tab is hidden. `opened(job)` is called on a click. */
export function watchJobs(opened) {
  open = opened;
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && look());
  look();
}

async function look() {
  clearTimeout(timer);
  draw();
  let pause = LOOK_MS;
  for (const { id } of kept().filter((job) => !hasEnded(job))) {
    try {
      const job = await json(`v1/jobs/${id}`);
      sessionStorage.setItem(KEY, JSON.stringify(kept().map((each) => (each.id === id ? job : each))));
    } catch (error) {
      if (error.status === 404) forget(id);
      else pause = LONGEST_PAUSE_MS;
    }
  }
  draw();
  clearTimeout(timer);
  if (document.visibilityState === "visible" && kept().some((job) => !hasEnded(job))) timer = setTimeout(look, pause);
}

function draw() {
  const place = by("jobs");
  const list = place.querySelector("ul");
  const jobs = kept();
  place.hidden = !jobs.length;
  const rows = new Map([...list.children].map((row) => [row.dataset.id, row]));
  // Rows stay the elements they are, so that the focus stays too.
  list.replaceChildren(...jobs.map((job) => rows.get(job.id) ?? row(job)));
  for (const job of jobs) {
    const element = rows.get(job.id) ?? [...list.children].find((each) => each.dataset.id === job.id);
    element.querySelector("progress").value = job.state === "succeeded" ? 1 : job.progress ?? 0;
    element.querySelector(".state").textContent = job.state + (job.seconds_left ? `, about ${Math.ceil(job.seconds_left)} s left` : "");
    element.querySelector(".end").textContent = hasEnded(job) ? "Take away" : "Stop";
  }
}

function row(job) {
  const end = async () => {
    const now = kept().find((each) => each.id === job.id);
    if (!now || hasEnded(now)) return forget(job.id);
    await cancel(job.id).catch((error) => element.append(problem(error)));
    look();
  };
  const name = `${job.model}: ${setting(job)}`;
  const element = h("li", { "data-id": job.id },
    h("button", { type: "button", class: "link", onclick: () => open(kept().find((each) => each.id === job.id) ?? job) }, name),
    h("progress", { max: 1, value: 0, "aria-label": `Progress of ${name}` }),
    h("p", { class: "row" }, h("span", { class: "state note" }), h("button", { type: "button", class: "end", onclick: end })));
  return element;
}
