// Requests to the server that the page came from, and what goes wrong with them.

const KEY = "nibble.api-key";

/// The key is kept for this tab's session only.
export const apiKey = {
  get() {
    try {
      return sessionStorage.getItem(KEY) ?? "";
    } catch {
      return "";
    }
  },
  set(key) {
    if (key)
      sessionStorage.setItem(KEY, key);
    else
      sessionStorage.removeItem(KEY);
  },
};

/// kind: "network" (no answer), "unavailable" (503: loading or busy), "key" (401, 403), "request" (other 4xx),
/// "server" (5xx and what cannot be understood). retryAfter: seconds, where the server said so.
export class ApiError extends Error {
  constructor(kind, message, retryAfter = null) {
    super(message);
    this.kind = kind;
    this.retryAfter = retryAfter;
  }
}

function kindOf(status) {
  if (status === 503 || status === 429) return "unavailable";
  if (status === 401 || status === 403) return "key";
  return status < 500 ? "request" : "server";
}

async function failure(response) {
  let message = `The server answered ${response.status}${response.statusText ? ` ${response.statusText}` : ""}.`;
  try {
    const said = JSON.parse((await response.text()).slice(0, 100000))?.error?.message;
    if (typeof said === "string" && said) message = said;
  } catch {
    // Not the error object of the interface; the status has to do.
  }
  const seconds = Number(response.headers.get("Retry-After"));
  return new ApiError(kindOf(response.status), message, seconds > 0 ? Math.min(seconds, 60) : null);
}

/// The response when its status says success, else an ApiError. An aborted request throws the AbortError it always did.
export async function request(path, options = {}) {
  const headers = new Headers(options.headers);
  if (apiKey.get()) headers.set("Authorization", `Bearer ${apiKey.get()}`);
  let response;
  try {
    response = await fetch(path, {...options, headers, credentials: "omit", referrerPolicy: "no-referrer"});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("network", "The server does not answer. Is nibble serve still running?");
  }
  if (!response.ok) throw await failure(response);
  return response;
}

export async function getJson(path, signal) {
  const response = await request(path, {signal});
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("server", `${path}: the answer is not JSON.`);
  }
}

export function postJson(path, body, signal) {
  return request(
      path, {method: "POST", signal, body: JSON.stringify(body), headers: {"Content-Type": "application/json"}});
}

/// Resolves after some seconds, or rejects with an AbortError as soon as the signal fires.
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    };
    if (signal?.aborted) return reject(new DOMException("stopped", "AbortError"));
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, 1000 * seconds);
    signal?.addEventListener("abort", stop, {once: true});
  });
}
