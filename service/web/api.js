// The public API, with the key where one is set, and its problems as errors.

const KEY = "kerascope-key";
const KINDS = "urn:kerascope:problem:";
// What passes by itself, and soon. Anything else stays until somebody does something, whatever its Retry-After says:
// weights that could not be downloaded, a full disk, too many jobs, a call that is too large for the memory.
const PASSING = ["engine-unavailable", "queue-full", "jobs-unavailable", "too-many-calls"];
const MOST_TRIES = 20;

export class Problem extends Error {
  constructor(status, title, detail, type = "", retryAfter = 0) {
    super(detail || title);
    Object.assign(this, { status, title, type, retryAfter });
  }

  /** Whether asking again mends it: THE place that decides it. */
  get passes() {
    if (this.type.startsWith(KINDS)) return PASSING.includes(this.type.slice(KINDS.length));
    // A proxy before the service, which names no kind.
    return [502, 503, 504].includes(this.status) && this.retryAfter > 0;
  }
}

/** Sleeps; raises AbortError as soon as nobody waits any more. */
export function rest(milliseconds, signal) {
  return new Promise((done, failed) => {
    signal?.throwIfAborted();
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      failed(signal.reason);
    }, { once: true });
  });
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
  throw new Problem(answer.status, told.title ?? answer.statusText, told.detail, told.type, Number(answer.headers.get("Retry-After")) || 0);
}

export const json = async (route, options) => (await call(route, options)).json();

/** The answer; asks again while the problem is one that passes, as often as the service says. */
export async function steadily(route, options = {}, waiting = () => {}) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await call(route, options);
    } catch (error) {
      if (!error.passes || tries === MOST_TRIES) throw error;
      waiting(error);
      await rest(1000 * Math.max(1, error.retryAfter), options.signal);
    }
  }
}

export const patiently = async (route, options, waiting) => (await steadily(route, options, waiting)).json();

/** Server-Sent Events over fetch, which unlike EventSource can carry a key. Calls `seen(data)` for each, `heard()` for each sign of life. */
export async function events(route, seen, signal, heard = () => {}) {
  const answer = await call(route, { headers: { Accept: "text/event-stream" }, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      throw error.name === "AbortError" ? error : new Problem(0, "No answer", "The connection to the service was lost.");
    });
    heard();
    if (done) return;
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split(/\r?\n/).map((line) => {
        const at = line.indexOf(":");
        return [line.slice(0, at), line.slice(at + 1).trimStart()];
      }));
      if (fields.event === "error") {
        const told = JSON.parse(fields.data);
        throw new Problem(told.status, told.title, told.detail, told.type);
      }
      if (fields.data) seen(JSON.parse(fields.data));
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
