"""One module for Node 18 or newer in which each example is a function that makes the call with fetch."""

from __future__ import annotations

import json
from collections.abc import Iterable

from generators.example import FILE_PARTS, Example, filename
from generators.literal import Literals

LITERALS = Literals("true", "false", "null", "  ", picture="await base64({})", bare_keys=True, pad=" ")

START = """// Every call of Kerascope with fetch, a function each, for Node 18 or newer.
//
// `node examples.mjs` lists them, and `node examples.mjs cam occlusion` makes those two calls. KERASCOPE_URL and
// KERASCOPE_KEY in the environment say where the service is and with which key it is called. Pictures are saved where
// the program runs. `make docs` writes this file from requests/.
import { realpathSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import * as examples from "./examples.mjs";

const url = process.env.KERASCOPE_URL ?? "http://127.0.0.1:8000";
const key = process.env.KERASCOPE_KEY;

/** The service refused a call, and said why. */
class Problem extends Error {}

/** Calls the service as fetch does, with the key; throws what the service says was wrong. */
async function call(path, { headers, ...options } = {}) {
  const authorization = key ? { Authorization: `Bearer ${key}` } : {};
  const answer = await fetch(url + path, { ...options, headers: { ...authorization, ...headers } });
  if (!answer.ok) {
    const problem = await answer.json();
    throw new Problem(`${answer.status}: ${problem.detail ?? problem.error}`);
  }
  return answer;
}

/** Gives the bytes of a file that lies beside this one. */
function read(file) {
  return readFile(new URL(file, import.meta.url));
}

/** Gives such a file as JSON holds it. */
async function base64(file) {
  return (await read(file)).toString("base64");
}

/** Waits for a job's end, which is where its events end. */
async function waitFor(job) {
  await (await call(`/v1/jobs/${job}/events`)).text();
}

/** Prints an answer; the pictures in it are saved, under names that begin with the example's. */
async function show(name, answer) {
  const type = answer.headers.get("Content-Type");
  if (type === "image/png") {
    await writeFile(`${name}.png`, Buffer.from(await answer.arrayBuffer()));
  } else if (type === "application/json" && answer.status !== 204) {
    const text = await answer.text();
    console.log(text);
    const found = JSON.parse(text);
    for (const result of found.results ?? [found]) {
      for (const image of result.images ?? []) {
        const file = [name, result.name, image.name].filter(Boolean).join("-").replaceAll("/", "_");
        await writeFile(`${file}.png`, Buffer.from(image.data, "base64"));
      }
    }
  } else {
    for await (const part of answer.body ?? []) process.stdout.write(part);
  }
}
"""

END = """
/** Makes the calls of that name one after another, or lists them all; gives the exit code. */
async function main(names) {
  if (names.length === 0) {
    const source = (await read("examples.mjs")).toString();
    const documented = source.matchAll(/^\\/\\*\\* (.*) \\*\\/\\nexport async function (\\w+)/gm);
    for (const [, summary, name] of documented) console.log(name.padEnd(28) + summary);
  }
  for (const name of names) {
    if (!Object.hasOwn(examples, name)) {
      console.error(`there is no example '${name}'; examples.mjs without a name lists them`);
      return 2;
    }
  }
  for (const name of names) {
    if (names.length > 1) console.log(`\\n==> ${name}`);
    try {
      await show(name, await examples[name]());
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      console.error(error.message);
      return 1;
    }
  }
  return 0;
}

// Where another module imports the functions, nothing is called.
if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2));
}
"""


def module(examples: Iterable[Example]) -> str:
    """Gives the whole file."""
    functions = (
        f"\n/** {each.summary} */\nexport async function {each.name}() {{\n{_body(each)}}}\n" for each in examples
    )
    return START + "".join(functions) + END


def _body(example: Example) -> str:
    lines = []
    if example.of_job:
        lines += [f"const submitted = await {example.after}();", "const { id: job } = await submitted.json();"]
    if example.finished:
        lines.append("await waitFor(job);")
    if example.form:
        lines.append("const form = new FormData();")
    for name, value in example.form.items():
        content = json.dumps(value)
        if name in FILE_PARTS:
            content = f"new Blob([await read({content})], {{ type: {json.dumps(FILE_PARTS[name])} }})"
            content += f", {json.dumps(filename(value))}"
        lines.append(f"form.append({json.dumps(name)}, {content});")
    return "".join(f"  {line}\n" for line in [*lines, f"return {_call(example)};"])


def _call(example: Example) -> str:
    target = example.target.replace("{job}", "${job}")
    path = f"`{target}`" if "{job}" in example.path else json.dumps(target)
    options = [f'method: "{example.method}"'] if example.method != "GET" else []
    headers = dict(example.headers)
    if example.json is not None:
        headers["Content-Type"] = "application/json"
    if headers:
        options.append(f"headers: {LITERALS.write(dict(headers), '    ')}")
    if example.file:
        options.append(f"body: await read({json.dumps(example.file)})")
    if example.form:
        options.append("body: form")
    if example.json is not None:
        options.append(f"body: JSON.stringify({LITERALS.write(example.json, '    ')})")
    if not options:
        return f"call({path})"
    if not headers:
        return f"call({path}, {{ {', '.join(options)} }})"
    return f"call({path}, {{\n" + "".join(f"    {option},\n" for option in options) + "  })"
