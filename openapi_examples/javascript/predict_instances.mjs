// KServe V1: the probability of every class, for a batch of pictures.
import { readFile } from "node:fs/promises";

const url = process.env.KERASCOPE_URL ?? "http://127.0.0.1:8000";
const key = process.env.KERASCOPE_KEY;

/** The answer; a problem ends the program and says what was wrong. */
async function call(method, path, { headers = {}, body } = {}) {
  const authorization = key ? { Authorization: `Bearer ${key}` } : {};
  const answer = await fetch(url + path, { method, headers: { ...authorization, ...headers }, body });
  if (!answer.ok) {
    const problem = await answer.json();
    console.error(`${answer.status}: ${problem.detail ?? problem.error}`);
    process.exit(1);
  }
  return answer;
}

const triangle = (await readFile(new URL("../triangle.png", import.meta.url))).toString("base64");
const answer = await call("POST", "/v1/models/shapes:predict", {
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ instances: [{ b64: triangle }, { b64: triangle }] }),
});
console.log(await answer.text());
