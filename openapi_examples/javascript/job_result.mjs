// The result of a job, in another form than at its submission.
import { writeFile } from "node:fs/promises";

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

const submitted = await call("POST", "/v1/models/shapes/maximization?layer=conv2d_1&channels=0-7&steps=40&format=png", {
  headers: { Prefer: "respond-async", "Idempotency-Key": "my-first-job" },
});
const job = (await submitted.json()).id;
await (await call("GET", `/v1/jobs/${job}/events`)).text();
const answer = await call("GET", `/v1/jobs/${job}/result?format=json&outputs=grid`);
const found = await answer.json();
console.log(JSON.stringify(found));
for (const image of found.images) await writeFile(`${image.name.replaceAll("/", "_")}.png`, Buffer.from(image.data, "base64"));
