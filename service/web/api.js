// The public API, with the key where one is set, and its problems as errors.

const KEY = "kerascope-key";

export class Problem extends Error {
  constructor(status, title, detail, retryAfter = 0) {
    super(detail || title);
    Object.assign(this, { status, title, retryAfter });
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

function headersOf(headers = {}) {
  return key.get() ? { ...headers, Authorization: `Bearer ${key.get()}` } : headers;
}

/** The path with a query of what is set. */
export function path(route, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(given).toString().replaceAll("%2C", ",");
  return text ? `${route}?${text}` : route;
}

export async function call(route, { method = "GET", body, headers, signal } = {}) {
  let answer;
  try {
    answer = await fetch(route, { method, body, headers: headersOf(headers), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "No answer", "The service cannot be reached. Is it running?");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, told.title ?? answer.statusText, told.detail, Number(answer.headers.get("Retry-After")));
}

export const json = async (route, options) => (await call(route, options)).json();

/** Asks again while the engine is starting or has no place, as often as the service says. */
export async function patiently(route, options = {}, waiting = () => {}) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await json(route, options);
    } catch (error) {
      if (error.status !== 503 || tries === 20) throw error;
      waiting(error);
      await new Promise((done) => setTimeout(done, 1000 * Math.max(1, error.retryAfter)));
      options.signal?.throwIfAborted();
    }
  }
}

/** Server-Sent Events over fetch, which unlike EventSource can carry a key. Calls `seen(event, data)` for each. */
export async function events(route, seen, signal) {
  const answer = await call(route, { headers: { Accept: "text/event-stream" }, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split(/\r?\n/).map((line) => {
        const at = line.indexOf(":");
        return [line.slice(0, at), line.slice(at + 1).trimStart()];
      }));
      if (fields.data) seen(fields.event ?? "message", JSON.parse(fields.data));
    }
  }
}

export const pictureUrl = (image) => `data:${image.media_type};base64,${image.data}`;

/** The command that makes the same call. */
export function curl(route, { method = "GET", picture, output, headers = {} } = {}) {
  const parts = ["curl -s"];
  if (picture) parts.push(`--data-binary @${quoted(picture.name)}`, `-H 'Content-Type: ${picture.blob.type}'`);
  else if (method !== "GET") parts.push(`-X ${method}`);
  for (const [name, value] of Object.entries(headers)) parts.push(`-H '${name}: ${value}'`);
  if (key.get()) parts.push('-H "Authorization: Bearer $KERASCOPE_KEY"');
  parts.push(quoted(new URL(route, document.baseURI).href));
  if (output) parts.push(`-o ${output}`);
  return parts.join(" ");
}

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
