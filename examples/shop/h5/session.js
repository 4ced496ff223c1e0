// Who is visiting: the tokens, how they are won and renewed. Everyone begins as an anonymous visitor, who may browse.

import { ApiError, CLIENT_ID, send } from "./http.js";
import { announce, recall, remember } from "./store.js";

const KEY = "session";
const QUERY = `?client_id=${encodeURIComponent(CLIENT_ID)}`;

// A token this close to its end is renewed before use, so that it does not expire on the way.
const RENEW_BEFORE_MS = 30_000;

/** `{name, anonymous}` of the present visitor; before the first request everyone is anonymous. */
export function visitor() {
  const session = recall(KEY);
  return { name: session?.name ?? "", anonymous: !session?.name };
}

/** The development login: the name typed is the whole proof, which is why it exists only in a demo environment. */
export async function signInForDevelopment(name) {
  const { provider_token } = await send("POST", `/auth/v1/provider/token${QUERY}`, {
    body: { provider_id: "development", provider_code: name, provider_params: { provider_code_type: "open_id" } },
  });
  const tokens = await send("POST", `/auth/v1/signin/with/provider${QUERY}`, { body: { provider_token } });
  keep(tokens, name);
}

async function signInAnonymously() {
  return keep(await send("POST", `/auth/v1/signin/anonymously${QUERY}`, { body: {} }), "");
}

/** Who the server thinks we are. */
export const me = () => withToken((token) => send("GET", "/auth/v1/user/me", { token }));

/** Forgets the session here first: a server out of reach must not keep someone signed in on a shared phone. */
export async function signOut() {
  const session = recall(KEY);
  drop();
  if (session) await send("POST", "/auth/v1/user/signout", { token: session.access_token, body: {} });
}

/** Runs `call(token)`; a token refused as stale is renewed and the call made once more. */
export async function withToken(call) {
  const token = await freshToken();
  try {
    return await call(token);
  } catch (error) {
    if (error.status !== 401) throw error;
    return call(await renewed(token));
  }
}

async function freshToken() {
  const session = recall(KEY);
  if (session && session.expires_at_ms - Date.now() > RENEW_BEFORE_MS) return session.access_token;
  return renewed(session?.access_token);
}

let renewal;

/** One renewal at a time: refresh tokens rotate, and using one twice looks like theft to the server. */
function renewed(stale) {
  renewal ??= acrossTabs(() => renew(stale)).finally(() => (renewal = undefined));
  return renewal;
}

// Browsers give locks to secure contexts only; elsewhere the check inside renew() still covers all but a close race.
const acrossTabs = (work) => (navigator.locks ? navigator.locks.request("yunzhan-shop-session", work) : work());

async function renew(stale) {
  const session = recall(KEY);
  if (!session) return signInAnonymously();
  if (session.access_token !== stale) return session.access_token; // another tab was faster
  try {
    const body = { client_id: CLIENT_ID, grant_type: "refresh_token", refresh_token: session.refresh_token };
    return keep(await send("POST", "/auth/v1/token", { body }), session.name);
  } catch (error) {
    if (error.transient) throw error;
    drop();
    if (!session.name) return signInAnonymously();
    // Never carry on as someone else: an order would land in a stranger's list.
    throw new ApiError("signed_out", error);
  }
}

function keep(tokens, name) {
  const { access_token, refresh_token, expires_in } = tokens;
  const changed = visitor().name !== name;
  remember(KEY, { access_token, refresh_token, name, expires_at_ms: Date.now() + expires_in * 1000 });
  if (changed) announce("session");
  return access_token;
}

function drop() {
  const changed = !visitor().anonymous;
  remember(KEY, undefined);
  if (changed) announce("session");
}
