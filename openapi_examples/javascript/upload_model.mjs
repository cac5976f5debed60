// Upload a model; a second upload of its ID is its second version.
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

const form = new FormData();
form.append("id", "mine");
const model = await readFile(new URL("../../service/models/catalogue/shapes/shapes.keras", import.meta.url));
form.append("model", new Blob([model], { type: "application/octet-stream" }), "shapes.keras");
const answer = await call("POST", "/v1/models", { body: form });
console.log(await answer.text());
