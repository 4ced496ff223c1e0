'use strict';
// Drives login and the gateway dialect with the unmodified @cloudbase/js-sdk, its mini-program build, over wx-shim.js.
//   YUNZHAN_URL         http://127.0.0.1:8080       YUNZHAN_ENV     the environment's id
//   YUNZHAN_APPID       the environment's appid     YUNZHAN_WECHAT  the WeChat stand-in's base URL
// The environment must have empty collections e2e_private (PRIVATE), e2e_readonly (READONLY) and e2e_adminonly
// (ADMINONLY). Users are new in every run, so it may run again on the same data.
const assert = require('node:assert/strict');
const path = require('node:path');
const { documents } = require('./documents.js');
const { step, run, setting, refusal, fresh } = require('./harness.js');
const { installWx } = require('./wx-shim.js');

const base = new URL(setting('YUNZHAN_URL'));
const env = setting('YUNZHAN_ENV');
const appid = setting('YUNZHAN_APPID');
const [ALICE, BOB] = [fresh('alice'), fresh('bob')];

const phone = installWx({ appid, login: () => phone.nextCode() });
const sdk = require(path.join(path.dirname(require.resolve('@cloudbase/js-sdk')), '..', 'miniprogram_dist', 'index.js'));
const app = (sdk.default ?? sdk).init({ env });
app.registerHost(base.host, base.protocol.slice(0, -1));
const auth = app.auth({ persistence: 'local' });

run(async () => {
  const client = clientOf(app.database());
  const alice = await logins();
  await documents(client, 'e2e_private');
  await ownership(client, alice);
  await neighbours(client);
  await sessions();
  await strangers(client);
});

function clientOf(db) {
  return {
    db,
    add: async (collection, data) => taken((await collection.add(data)).id),
    addAll: async (collection, data) => taken((await collection.add(data)).ids),
    list: async (query) => {
      const result = await query.get();
      if (result.code) throw refused(result.code, result.data?.message);
      return result.data;
    },
    count: async (query) => taken((await query.count()).total),
    update: async (query, data) => taken((await query.update(data)).updated),
    set: async (document, data) => taken((await document.set(data)).updated),
    remove: async (query) => taken((await query.remove()).deleted),
    code: (error) => error.code,
  };
}

/** This build loses the server's refusal of a write: the result merely lacks its value. The wire still has it. */
function taken(value) {
  if (value !== undefined && !(Array.isArray(value) && value.length === 0)) return value;
  const { answer } = phone.seen.at(-1);
  throw refused(answer?.code, answer?.message);
}

function refused(code, message) {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}

/** What wx.login gives on `user`'s phone from now on: a code of the stand-in. */
function holdPhone(user) {
  phone.nextCode = async () => {
    const response = await fetch(`${setting('YUNZHAN_WECHAT')}/stand-in/login-code?${new URLSearchParams({ appid, user })}`);
    return (await response.json()).code;
  };
}

/** Logs in as WeChat's `user`; gives the access token, the refresh token and the openid. */
async function login(user) {
  holdPhone(user);
  const { data, error } = await auth.signInWithOpenId({ useWxCloud: false });
  if (error) throw error;
  const openid = (await auth.getUserInfo()).open_id;
  return { access: data.session.access_token, refresh: data.session.refresh_token, openid, uid: data.user.id };
}

async function logins() {
  let alice;
  await step('signInWithOpenId logs in', async () => {
    alice = await login(ALICE);
    assert.match(alice.access, /^[\w-]+\.[\w-]+\.[\w-]+$/);
    assert.ok(alice.refresh);
    assert.ok(alice.uid);
  });
  await step('user/me names the openid', () => assert.equal(typeof alice.openid, 'string'));
  await step('the same user is the same person at the next login', async () => {
    const again = await login(ALICE);
    assert.deepEqual([again.openid, again.uid], [alice.openid, alice.uid]);
    assert.notEqual(again.access, alice.access);
  });
  await step('a code is good once', async () => {
    holdPhone(ALICE);
    const code = await phone.nextCode();
    phone.nextCode = async () => code;
    assert.equal((await auth.signInWithOpenId({ useWxCloud: false })).error, null);
    const { data, error } = await auth.signInWithOpenId({ useWxCloud: false });
    assert.equal(data.session, null);
    assert.ok(error.code && error.code !== 'unknown', `the refusal has no word: ${error.message}`);
  });
  await step('a code that WeChat never gave is refused', async () => {
    phone.nextCode = async () => 'made-up';
    assert.ok((await auth.signInWithOpenId({ useWxCloud: false })).error);
  });
  return login(ALICE);
}

async function ownership(client, alice) {
  const notes = client.db.collection('e2e_private');
  await step('add writes the caller\'s openid', async () => {
    const id = await client.add(notes, { text: 'mine' });
    const [found] = await client.list(notes.doc(id));
    assert.equal(found._openid, alice.openid);
  });
  await step('doc.set writes it too', async () => {
    const id = fresh('note');
    await client.set(notes.doc(id), { text: 'set' });
    assert.equal((await client.list(notes.doc(id)))[0]._openid, alice.openid);
  });
  await step('an openid of the caller\'s choice is not written', async () => {
    // READONLY, where a document would be seen even if it had become somebody else's.
    const board = client.db.collection('e2e_readonly');
    const text = fresh('forged');
    const _openid = 'o-somebody';
    const id = await client.add(board, { text });
    await client.add(board, { text, _openid }).catch(() => undefined);
    await client.update(board.doc(id), { _openid }).catch(() => undefined);
    await client.set(board.doc(id), { text, _openid }).catch(() => undefined);
    await client.set(board.doc(fresh('forged')), { text, _openid }).catch(() => undefined);
    const owners = (await client.list(board.where({ text }))).map((document) => document._openid);
    assert.ok(owners.length >= 1);
    assert.deepEqual([...new Set(owners)], [alice.openid]);
  });
}

/** Alice leaves documents, Bob looks around. */
async function neighbours(client) {
  const open = (name) => client.db.collection(name);
  let alice;
  const left = {};
  await step('Alice leaves documents', async () => {
    alice = await login(ALICE);
    for (const name of ['e2e_private', 'e2e_readonly']) left[name] = await client.add(open(name), { text: 'by Alice' });
  });
  await step('Bob is somebody else', async () => {
    const bob = await login(BOB);
    assert.notEqual(bob.openid, alice.openid);
    assert.notEqual(bob.uid, alice.uid);
  });
  await step('PRIVATE: another\'s documents are invisible', async () => {
    assert.deepEqual(await client.list(open('e2e_private')), []);
    assert.deepEqual(await client.list(open('e2e_private').doc(left.e2e_private)), []);
    assert.deepEqual(await client.list(open('e2e_private').where({ _openid: alice.openid })), []);
    assert.deepEqual(await client.list(open('e2e_private').where(client.db.command.or([{ text: 'by Alice' }, { text: 'x' }]))), []);
    assert.equal(await client.count(open('e2e_private')), 0);
  });
  await step('READONLY: another\'s documents can be read', async () => {
    const [found] = await client.list(open('e2e_readonly').doc(left.e2e_readonly));
    assert.equal(found.text, 'by Alice');
  });
  for (const name of Object.keys({ e2e_private: 0, e2e_readonly: 0 })) {
    await step(`${name}: another's document cannot be changed`, async () => {
      const document = open(name).doc(left[name]);
      await untouched(client, client.update(document, { text: 'by Bob' }));
      await untouched(client, client.remove(document));
      await client.set(document, { text: 'by Bob' }).catch(() => undefined);
    });
  }
  await step('ADMINONLY: nothing can be read or written', async () => {
    const closed = open('e2e_adminonly');
    // One after the other: a refusal that nobody waits for yet would end the run.
    for (const call of [() => client.list(closed), () => client.add(closed, { text: 'by Bob' })]) {
      assert.equal(client.code(await refusal(call())), 'DATABASE_PERMISSION_DENIED');
    }
  });
  await step('Alice finds her documents as she left them', async () => {
    await login(ALICE);
    for (const name of Object.keys(left)) {
      const [found] = await client.list(open(name).doc(left[name]));
      assert.deepEqual([found.text, found._openid], ['by Alice', alice.openid]);
    }
  });
}

/** A change of another's document either matches nothing or is refused by name. */
async function untouched(client, change) {
  const outcome = await change.catch((error) => client.code(error));
  assert.ok(outcome === 0 || outcome === 'DATABASE_PERMISSION_DENIED', `the change gave ${outcome}`);
}

async function sessions() {
  await step('refreshSession gives new tokens', async () => {
    const before = await login(BOB);
    const { data, error } = await auth.refreshSession();
    assert.equal(error, null);
    assert.notEqual(data.session.access_token, before.access);
    assert.notEqual(data.session.refresh_token, before.refresh);
    assert.equal((await auth.getUserInfo()).open_id, before.openid);
  });
  await step('a refresh token that was already used ends its whole session', async () => {
    const { refresh } = await login(BOB);
    const { data } = await auth.refreshSession();
    const stolen = await refreshWith(refresh);
    assert.equal(stolen.body.error, 'invalid_grant');
    assert.equal((await refreshWith(data.session.refresh_token)).body.error, 'invalid_grant');
    const { error } = await auth.refreshSession();
    assert.equal(error.code, 'unauthenticated');
  });
  await step('signOut ends the token at once', async () => {
    const { access } = await login(BOB);
    assert.equal((await me(access)).status, 200);
    assert.equal((await auth.signOut()).error, null);
    assert.equal((await me(access)).status, 401);
  });
  await step('signInAnonymously makes somebody new', async () => {
    const { data, error } = await auth.signInAnonymously();
    assert.equal(error, null);
    assert.equal(data.session.scope, 'anonymous');
    assert.equal((await auth.getUserInfo()).uid, data.user.id);
  });
}

async function strangers(client) {
  const { access } = await login(BOB).catch(() => ({ access: 'a.b.c' }));
  await auth.signOut();
  const goods = client.db.collection('e2e_readonly');
  await step('without a token nothing is given', async () => {
    await refusal(client.list(goods));
    await refusal(client.add(goods, { text: 'by nobody' }));
    assert.equal(phone.seen.at(-1).statusCode, 401);
  });
  const [head, claims, signature] = access.split('.');
  const unsigned = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url');
  const forgeries = {
    'a revoked token': access,
    'a token with another signature': [head, claims, [...signature].reverse().join('')].join('.'),
    'a token with algorithm none': `${unsigned}.${claims}.`,
    'a token that is no token': 'token',
  };
  for (const [what, token] of Object.entries(forgeries)) {
    await step(`${what} is refused`, async () => assert.equal((await me(token)).status, 401));
  }
}

async function me(token) {
  return call('GET', '/auth/v1/user/me', { authorization: `Bearer ${token}` });
}

async function refreshWith(token) {
  const body = { client_id: env, client_secret: '', grant_type: 'refresh_token', refresh_token: token };
  return call('POST', `/auth/v1/token?client_id=${env}`, {}, body);
}

async function call(method, target, headers, body) {
  const response = await fetch(new URL(target, base), {
    method, headers: { 'content-type': 'application/json', ...headers }, body: body && JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}
