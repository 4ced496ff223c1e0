// One request to the server and its errors. Knows no route and no token; session.js and api.js build on it.

// The server lives at the root of this page's origin unless <meta name="api-base"> names another one.
const BASE = document.querySelector('meta[name="api-base"]')?.content || location.origin;

/** The environment this shop belongs to. */
export const CLIENT_ID = document.querySelector('meta[name="client-id"]')?.content || "demo";

// Longer than the server's own deadline for a request, so that its answer, not our impatience, is what people see.
const TIMEOUT_MS = 15_000;

/** A refused or failed request. `kind` chooses the words shown; `code` and `requestId` are the server's own. */
export class ApiError extends Error {
  constructor(kind, { status = 0, code = "", message = "", requestId = "" } = {}) {
    super(message);
    Object.assign(this, { name: "ApiError", kind, status, code, requestId });
  }

  /** Whether the same request may succeed a little later: it was lost, or the server asked for patience. */
  get transient() {
    return ["offline", "timeout", "busy", "server"].includes(this.kind);
  }
}

function kindOf(status) {
  if (status === 401) return "signed_out";
  if (status === 403) return "forbidden";
  if (status === 404) return "missing";
  if (status === 408 || status === 504) return "timeout";
  if (status === 429 || status === 503) return "busy";
  return status >= 500 ? "server" : "rejected";
}

// The two dialects: /auth/v1 says {error, error_code, error_description}, /v1 says {code, message, requestId}.
function refusal(response, body) {
  return new ApiError(kindOf(response.status), {
    status: response.status,
    code: String(body.code ?? body.error ?? response.status),
    message: String(body.message ?? body.error_description ?? ""),
    requestId: String(body.requestId ?? body.request_id ?? response.headers.get("x-request-id") ?? ""),
  });
}

/** Sends one request and gives the parsed JSON answer, or throws an ApiError. */
export async function send(method, path, { body, token, headers = {} } = {}) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), TIMEOUT_MS);
  try {
    const response = await fetch(new URL(path, BASE), {
      method,
      signal: abort.signal,
      cache: "no-store",
      headers: {
        Accept: "application/json",
        "Accept-Language": document.documentElement.lang,
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...(token ? { Authorization: `Bearer ${token}` } : {}),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    // The body is read inside the deadline too; one that is not JSON only matters when the request succeeded.
    const text = await response.text();
    const answer = parse(text);
    if (!response.ok) throw refusal(response, answer ?? {});
    if (answer === undefined) throw new ApiError("server", { status: response.status, code: "not_json" });
    return answer;
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError(abort.signal.aborted ? "timeout" : "offline", { message: String(error) });
  } finally {
    clearTimeout(timer);
  }
}

function parse(text) {
  if (text === "") return {};
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
