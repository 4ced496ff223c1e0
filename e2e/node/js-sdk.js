'use strict';
// Drives login and documents with the unmodified @cloudbase/js-sdk, its mini-program build, over wx-shim.js, in one of the
// two dialects that it speaks: `node js-sdk.js gateway`, its default, or `node js-sdk.js web`, which is its CLOUD_API mode.
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
const DIALECTS = { gateway: { mode: 'GATEWAY', path: /^\/v1\/database\// }, web: { mode: 'CLOUD_API', path: /^\/web$/ } };
const dialect = DIALECTS[process.argv[2]];
assert.ok(dialect, 'usage: node js-sdk.js gateway|web');
const app = (sdk.default ?? sdk).init({ env, endPointMode: dialect.mode });
app.registerHost(base.host, base.protocol.slice(0, -1));
const auth = app.auth({ persistence: 'local' });

run(async () => {
  const client = clientOf(app.database());
  const alice = await logins();
  await documents(client, 'e2e_private');
  await pipelines(client);
  await transactions(client);
  await ownership(client, alice);
  await neighbours(client);
  await sessions();
  await strangers(client);
  await step('all of it spoke one dialect', () => {
    const paths = phone.seen.map(({ url }) => new URL(url).pathname).filter((path) => !path.startsWith('/auth/'));
    assert.ok(paths.length > 100, `only ${paths.length} calls`);
    assert.deepEqual(paths.filter((path) => !dialect.path.test(path)), []);
  });
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

/** The rows of a pipeline. */
async function rows(pipeline) {
  const { data, code, message } = await pipeline.end();
  if (code) throw refused(code, message);
  return data;
}

async function pipelines(client) {
  const { command: { aggregate: $ } } = client.db;
  const sales = client.db.collection('e2e_private');
  const batch = fresh('batch');
  const ids = await client.addAll(sales, [
    { batch, sku: 'tea', n: 2, price: 30, tags: ['hot', 'green'], at: new Date(5) },
    { batch, sku: 'cup', n: 1, price: 12, tags: ['hot'], at: new Date(7) },
    { batch, sku: 'tea', n: 3, price: 28, tags: [], at: new Date(9) },
  ]);
  const ours = () => sales.aggregate().match({ batch });
  await step('aggregate: group and sort', async () => {
    const sums = ours().group({ _id: '$sku', n: $.sum('$n'), most: $.max('$price') }).sort({ _id: 1 });
    assert.deepEqual(await rows(sums), [{ _id: 'cup', n: 1, most: 12 }, { _id: 'tea', n: 5, most: 30 }]);
  });
  await step('aggregate: project with an expression', async () => {
    const worth = ours().sort({ n: 1 }).project({ _id: 0, worth: $.multiply(['$n', '$price']) });
    assert.deepEqual(await rows(worth), [{ worth: 12 }, { worth: 60 }, { worth: 84 }]);
  });
  await step('aggregate: unwind and sortByCount', async () => {
    assert.deepEqual(await rows(ours().unwind('$tags').sortByCount('$tags')), [{ _id: 'hot', count: 2 }, { _id: 'green', count: 1 }]);
  });
  await step('aggregate: skip, limit and count', async () => {
    assert.deepEqual(await rows(ours().skip(1).limit(5).count('left')), [{ left: 2 }]);
  });
  await step('aggregate: lookup in the collection that the caller reads', async () => {
    const joined = ours().match({ n: 1 }).lookup({ from: 'e2e_private', localField: 'batch', foreignField: 'batch', as: 'all' });
    const [cup] = await rows(joined.project({ _id: 0, total: $.size('$all') }));
    assert.deepEqual(cup, { total: 3 });
  });
  await step('aggregate: dates come back as dates', async () => {
    const [last] = await rows(ours().group({ _id: null, at: $.max('$at') }));
    assert.ok(last.at instanceof Date, `at is ${JSON.stringify(last.at)}`);
    assert.equal(last.at.getTime(), 9);
  });
  await step('aggregate: a stage that nobody offers is refused by its code', async () => {
    await sales.aggregate()._pipe('$out', 'elsewhere').end().catch(() => undefined);
    assert.equal(phone.seen.at(-1).answer.code, 'DATABASE_INVALID_OPERRATOR');
  });
  await step('aggregate: lookup in a closed collection is refused', async () => {
    const into = ours().lookup({ from: 'e2e_adminonly', localField: '_id', foreignField: '_id', as: 'stolen' });
    await into.end().catch(() => undefined);
    assert.equal(phone.seen.at(-1).answer.code, 'DATABASE_PERMISSION_DENIED');
  });
  for (const id of ids) await client.remove(sales.doc(id));
}

/** A document as a transaction sees it. In its GATEWAY mode the SDK hands out the answer's list. */
async function seenBy(document) {
  const { data } = await document.get();
  return dialect.mode === 'GATEWAY' ? data.list[0] : data;
}

async function transactions(client) {
  const { db, db: { command: _ } } = client;
  const accounts = db.collection('e2e_private');
  const [from, to] = await client.addAll(accounts, [{ money: 10 }, { money: 0 }]);
  const money = async (id) => (await client.list(accounts.doc(id)))[0]?.money;
  await step('a transaction is committed as a whole', async () => {
    await db.runTransaction(async (transaction) => {
      assert.equal((await seenBy(transaction.collection('e2e_private').doc(from))).money, 10);
      await transaction.collection('e2e_private').doc(from).update({ money: _.inc(-4) });
      await transaction.collection('e2e_private').doc(to).update({ money: _.inc(4) });
      assert.equal(await money(to), 0, 'nobody outside sees it before');
    });
    assert.deepEqual([await money(from), await money(to)], [6, 4]);
  });
  await step('a transaction that is rolled back leaves nothing', async () => {
    const transaction = await db.startTransaction();
    await transaction.collection('e2e_private').doc(from).update({ money: 1000 });
    await transaction.rollback();
    assert.equal(await money(from), 6);
  });
  await step('a transaction adds, sets and deletes', async () => {
    const own = fresh('account');
    let added;
    await db.runTransaction(async (transaction) => {
      const collection = transaction.collection('e2e_private');
      added = (await collection.add({ money: 7 }))._id;
      await collection.doc(own).set({ money: 8 });
      await collection.doc(to).delete();
    });
    assert.deepEqual([await money(added), await money(own), await money(to)], [7, 8, undefined]);
    await client.remove(accounts.doc(added));
    await client.remove(accounts.doc(own));
  });
  await step('the second of two writers is told of the conflict', async () => {
    const [first, second] = [await db.startTransaction(), await db.startTransaction()];
    for (const transaction of [first, second]) {
      assert.equal((await seenBy(transaction.collection('e2e_private').doc(from))).money, 6);
    }
    await first.collection('e2e_private').doc(from).update({ money: 5 });
    await first.commit();
    const lost = async () => {
      await second.collection('e2e_private').doc(from).update({ money: 4 });
      await second.commit();
    };
    assert.equal(client.code(await refusal(lost())), 'DATABASE_TRANSACTION_CONFLICT');
    assert.equal(await money(from), 5);
  });
  await step('runTransaction begins anew after a conflict', async () => {
    let rounds = 0;
    await db.runTransaction(async (transaction) => {
      const account = transaction.collection('e2e_private').doc(from);
      const seen = await seenBy(account);
      rounds += 1;
      if (rounds === 1) await client.update(accounts.doc(from), { money: 50 });
      await account.update({ money: seen.money + 1 });
    });
    assert.deepEqual([rounds, await money(from)], [2, 51]);
  });
  await client.remove(accounts.doc(from));
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
    assert.equal((await read(undefined)).body.code, 'CHECK_LOGIN_FAILED');
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
    await step(`${what} is refused`, async () => {
      assert.equal((await me(token)).status, 401);
      assert.equal((await read(token)).body.code, 'CHECK_LOGIN_FAILED');
    });
  }
}

async function me(token) {
  return call('GET', '/auth/v1/user/me', { authorization: `Bearer ${token}` });
}

/** Reads documents with this token, as the SDK would if it had one. */
async function read(token) {
  if (dialect.mode === 'CLOUD_API') {
    const body = { action: 'database.queryDocument', collectionName: 'e2e_readonly', env, access_token: token };
    return call('POST', `/web?env=${env}`, {}, body);
  }
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const database = '/v1/database/instances/(default)/databases/(default)';
  return call('GET', `${database}/collections/e2e_readonly/documents?client_id=${env}`, headers);
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
