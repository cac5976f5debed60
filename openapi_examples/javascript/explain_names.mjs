// Several methods by their names; those of one layer share their passes.
import { readFile, writeFile } from "node:fs/promises";

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

const answer = await call("POST", "/v1/models/efficientnet-lite0/explain?methods=predict,gradcam,layercam&outputs=heatmap&top=1", {
  headers: { "Content-Type": "image/png" },
  body: await readFile(new URL("../cat.png", import.meta.url)),
});
const found = await answer.json();
console.log(JSON.stringify(found));
for (const result of found.results) {
  for (const image of result.images) {
    await writeFile(`${result.name}-${image.name.replaceAll("/", "_")}.png`, Buffer.from(image.data, "base64"));
  }
}
