// The newest jobs that succeeded.
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
const answer = await call("GET", "/v1/jobs?state=succeeded&limit=100");
console.log(await answer.text());
