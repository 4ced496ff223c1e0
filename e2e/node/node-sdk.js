'use strict';
// Drives the admin dialect with the unmodified @cloudbase/node-sdk through `serviceUrl`, signed with a real key.
//   YUNZHAN_URL         http://127.0.0.1:8080       YUNZHAN_ENV          the environment's id
//   YUNZHAN_SECRET_ID   YUNZHAN_SECRET_KEY          a key of that environment
//   YUNZHAN_ACCESS_KEY  optional: a Bearer key of that environment
const assert = require('node:assert/strict');
// Without this the SDK asks a metadata host by name before every call whether it runs in its maker's cloud.
process.env.TENCENTCLOUD = 'true';
const { Signer } = require('@cloudbase/signature-nodejs');
const tcb = require('@cloudbase/node-sdk');
const { documents } = require('./documents.js');
const { step, run, setting, refusal, fresh } = require('./harness.js');

const env = setting('YUNZHAN_ENV');
const serviceUrl = `${setting('YUNZHAN_URL')}/admin`;
const key = { secretId: setting('YUNZHAN_SECRET_ID'), secretKey: setting('YUNZHAN_SECRET_KEY') };
const now = () => Math.floor(Date.now() / 1000);

run(async () => {
  const client = clientOf({ env, ...key });
  const collection = fresh('e2e_node');
  await step(`node-sdk ${require('@cloudbase/node-sdk/package.json').version} makes a collection`, () =>
    client.db.createCollection(collection));
  await documents(client, collection);
  await step('doc.get of a document that is not there gives none', async () =>
    assert.deepEqual(await client.list(client.db.collection(collection).doc('absent')), []));
  await strangers(client, collection);
  await signatures(collection);
  await accessKeys(collection);
});

function clientOf(options) {
  return {
    db: tcb.init({ serviceUrl, ...options }).database(),
    add: async (collection, data) => (await collection.add(data)).id,
    addAll: async (collection, data) => (await collection.add(data)).ids,
    list: async (query) => (await query.get()).data,
    count: async (query) => (await query.count()).total,
    update: async (query, data) => (await query.update(data)).updated,
    set: (document, data) => document.set(data),
    remove: async (query) => (await query.remove()).deleted,
    code: (error) => error.code,
  };
}

async function strangers(client, name) {
  const refused = async (options) => {
    const stranger = clientOf(options);
    const error = await refusal(stranger.add(stranger.db.collection(name), { intruder: true }));
    assert.equal(typeof error.code, 'string', `the code is ${error.code}: a business error in HTTP 200 is expected`);
    assert.equal(await client.count(client.db.collection(name)), 0);
    return error.code;
  };
  await step('a wrong secret key is refused', async () =>
    assert.equal(await refused({ env, ...key, secretKey: 'not-the-key' }), 'SIGN_PARAM_INVALID'));
  await step('an unknown secret id is refused', async () =>
    assert.equal(await refused({ env, ...key, secretId: 'AKIDnobody' }), 'SIGN_PARAM_INVALID'));
  await step('a key is worth nothing in another environment', () => refused({ env: 'no-such-env', ...key }));
  await step('an unknown access key is refused', () => refused({ env, accessKey: 'not-a-key' }));
}

/** One call signed by the reference signer, then the same call with one thing about it changed. */
async function signatures(name) {
  await step('a call signed by the reference signer is taken', async () => {
    const reply = await send(signed(name));
    assert.deepEqual(reply.data, { total: 0 });
    assert.equal(typeof reply.requestId, 'string');
  });
  const changes = {
    'a changed body': (call) => ({ ...call, body: call.body.replace('"WHERE"', '"DOC"') }),
    'an added member': (call) => ({ ...call, body: call.body.replace('{', '{"query":"{}",') }),
    'a member that is not signed': () => signed(name, { excludeKeys: ['collectionname'] }),
    'a host that is not signed': () => signed(name, { unsigned: 'Host' }),
    'a changed query': (call) => ({ ...call, url: `${call.url}&more=1` }),
    'a changed header': (call) => withHeader(call, 'X-SDK-Version', 'other/1'),
    'another content type': (call) => withHeader(call, 'Content-Type', 'application/json; charset=utf-8'),
    'another timestamp': (call) => withHeader(call, 'X-Timestamp', String(now() - 30)),
    'no signature': (call) => withHeader(call, 'Authorization', ''),
    'half a signature': (call) => withHeader(call, 'Authorization', call.headers.Authorization.slice(0, -32)),
    'a signature an hour old': () => signed(name, { timestamp: now() - 3600 }),
    'a longer life than the server gives': () => withHeader(signed(name, { timestamp: now() - 3600 }), 'X-Signature-Expires', '999999'),
    'a signature from the future': () => signed(name, { timestamp: now() + 3600 }),
  };
  for (const [what, change] of Object.entries(changes)) {
    await step(`${what} is refused`, async () => {
      const reply = await send(change(signed(name)));
      assert.ok(reply.code, `was accepted and gave ${JSON.stringify(reply)}`);
    });
  }
}

/** `unsigned` names a header that is sent but not covered; `excludeKeys` names members of the body likewise. */
function signed(collectionName, { timestamp = now(), unsigned, excludeKeys } = {}) {
  const url = `${serviceUrl}?env=${env}&seqId=1`;
  const params = { action: 'database.calculateDocument', collectionName, queryType: 'WHERE', envName: env };
  const headers = { 'Content-Type': 'application/json', Host: new URL(url).host, 'X-SDK-Version': 'driver/1' };
  const covered = Object.fromEntries(Object.entries(headers).filter(([name]) => name !== unsigned));
  const { authorization } = new Signer(key, 'tcb').tc3sign('post', url, covered, params, timestamp, {
    withSignedParams: true, enableHostCheck: false, excludeKeys,
  });
  return {
    url, body: JSON.stringify(params),
    headers: { ...headers, Authorization: authorization, 'X-Timestamp': String(timestamp), 'X-Signature-Expires': '600' },
  };
}

function withHeader(call, name, value) {
  return { ...call, headers: { ...call.headers, [name]: value } };
}

async function send({ url, headers, body }) {
  const response = await fetch(url, { method: 'POST', headers, body });
  const text = await response.text();
  return response.ok ? JSON.parse(text) : { code: `HTTP ${response.status}`, message: text };
}

async function accessKeys(name) {
  const accessKey = setting('YUNZHAN_ACCESS_KEY', '');
  if (!accessKey) return;
  const client = clientOf({ env, accessKey });
  await step('an access key opens the environment', async () => {
    const id = await client.add(client.db.collection(name), { by: 'access key' });
    assert.equal(await client.remove(client.db.collection(name).doc(id)), 1);
  });
}
