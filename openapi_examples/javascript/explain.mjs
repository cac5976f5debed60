// Several methods at once, by name or with parameters of their own.
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

const triangle = (await readFile(new URL("../triangle.png", import.meta.url))).toString("base64");
const answer = await call("POST", "/v1/models/shapes/explain", {
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({
    image: triangle,
    target: "triangle",
    methods: [
      "gradcam",
      "gradcam++",
      { method: "saliency", variant: "smoothgrad", samples: 10, seed: 7 },
      { method: "occlusion", patch: 7, target: "triangle-square" },
    ],
    outputs: "overlay",
    top: 1,
  }),
});
const found = await answer.json();
console.log(JSON.stringify(found));
for (const result of found.results) {
  for (const image of result.images) {
    await writeFile(`${result.name}-${image.name.replaceAll("/", "_")}.png`, Buffer.from(image.data, "base64"));
  }
}
