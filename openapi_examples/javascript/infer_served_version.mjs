// Open Inference Protocol: the first version of an uploaded model.
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
await call("POST", "/v1/models", { body: form });
const triangle = (await readFile(new URL("../triangle.png", import.meta.url))).toString("base64");
const answer = await call("POST", "/v2/models/mine/versions/1/infer", {
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ inputs: [{ name: "image", shape: [1], datatype: "BYTES", data: [triangle] }] }),
});
console.log(await answer.text());
