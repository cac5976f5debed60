// How long a call will take, from the calls that were measured here: same model, same method, same machine.

import { json } from "./api.js";

// Calls with more than so many times more or fewer parts say too little of one another.
const REACH = 8;
// The least and the most that the measured calls leave open may differ so much: their middle is right within a factor of 2.
const OPEN = 4;
const measured = new Map();

/**
 * The ms that `count` parts (windows, passes) at `setting` will take, or null where the measured calls do not tell.
 * What was compiled during a call is a cost that comes once a setting.
 */
export function expected(model, method, setting, count) {
  const calls = measured.get(`${model} ${method}`) ?? [];
  const same = calls.filter((call) => call.setting === setting);
  const near = calls.filter((call) => Math.max(call.count / count, count / call.count) <= REACH);
  const steady = (same.some((call) => !call.compiled) ? same : near).filter((call) => !call.compiled);
  const compiled = near.filter((call) => call.compiled);
  let [least, most] = [Infinity, 0];
  if (steady.length) {
    const paces = steady.map((call) => call.ms / call.count);
    const once = same.length ? [] : compiled.map((call) => Math.max(0, call.ms - Math.min(...paces) * call.count));
    [least, most] = [Math.min(...paces) * count, Math.max(...paces) * count + Math.max(0, ...once)];
  } else if (!same.length) {
    // How much of such a call was compiling is not known: between nothing and all of it.
    const fewer = compiled.filter((call) => call.count <= count);
    least = Math.min(...fewer.map((call) => call.ms));
    most = Math.max(...fewer.map((call) => (call.ms * count) / call.count));
  }
  return least > 0 && most > 0 && most / least <= OPEN ? Math.sqrt(least * most) : null;
}

/** How many plans the service has compiled for the model; null where it does not say. It answers this while it computes. */
export async function plans(model, signal) {
  const { models } = await json("v1/models", { signal }).catch(() => ({ models: [] }));
  return models.find((each) => each.id === model)?.traces ?? null;
}

/** Keeps what a call at `setting` took: `count` parts in `ms`, and whether something was `compiled` for it. */
export function learn(model, method, call) {
  const key = `${model} ${method}`;
  measured.set(key, [...(measured.get(key) ?? []), call].slice(-50));
}
