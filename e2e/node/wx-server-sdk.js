'use strict';
// Drives the admin dialect with the unmodified wx-server-sdk, as a cloud function uses it: everything by environment.
// Usage: node wx-server-sdk.js 4|2
//   YUNZHAN_URL         http://127.0.0.1:8080       YUNZHAN_ENV          the environment's id
//   YUNZHAN_SECRET_ID   YUNZHAN_SECRET_KEY          a key of that environment
const assert = require('node:assert/strict');
const { documents } = require('./documents.js');
const { step, run, setting, refusal, fresh } = require('./harness.js');

const PACKAGES = { 4: 'wx-server-sdk', 2: 'wx-server-sdk-2' };
const CODE_NAMES = { '-502005': 'DATABASE_COLLECTION_NOT_EXIST', '-502003': 'DATABASE_PERMISSION_DENIED', '-501001': 'SYS_ERR' };

run(async () => {
  const name = PACKAGES[process.argv[2]];
  assert.ok(name, `the argument is the SDK's major version, one of: ${Object.keys(PACKAGES).join(', ')}`);
  functionEnvironment();
  const cloud = require(name);
  cloud.init({ env: setting('YUNZHAN_ENV') });
  const client = clientOf(cloud.database());
  const collection = fresh('e2e_wx');

  await step(`${name} ${require(`${name}/package.json`).version} makes a collection`, () =>
    client.db.createCollection(collection));
  await documents(client, collection);
  await step('doc.get of a document that is not there says so', async () => {
    const error = await refusal(client.db.collection(collection).doc('absent').get());
    assert.match(error.errMsg, /document with _id absent does not exist/);
  });
  await step('a wrong secret key is refused', () => wrongKey(client, collection));
});

/** What the platform sets around a cloud function. */
function functionEnvironment() {
  Object.assign(process.env, {
    TCB_CONTEXT_CNFG: JSON.stringify({ URL: `${setting('YUNZHAN_URL')}/admin` }),
    TENCENTCLOUD_RUNENV: 'SCF',
    TENCENTCLOUD_REGION: 'local',
    SCF_NAMESPACE: setting('YUNZHAN_ENV'),
    TENCENTCLOUD_SECRETID: setting('YUNZHAN_SECRET_ID'),
    TENCENTCLOUD_SECRETKEY: setting('YUNZHAN_SECRET_KEY'),
  });
}

function clientOf(db) {
  return {
    db,
    add: async (collection, data) => (await collection.add({ data }))._id,
    addAll: async (collection, data) => (await collection.add({ data }))._ids,
    list: async (query) => [(await query.get()).data].flat(),
    count: async (query) => (await query.count()).total,
    update: async (query, data) => (await query.update({ data })).stats.updated,
    set: (document, data) => document.set({ data }),
    remove: async (query) => (await query.remove()).stats.removed,
    code: (error) => CODE_NAMES[error.errCode] ?? `errCode ${error.errCode}`,
  };
}

/** The keys are read at every call, so this very client becomes a stranger and a friend again. */
async function wrongKey(client, name) {
  const collection = client.db.collection(name);
  process.env.TENCENTCLOUD_SECRETKEY = 'not-the-key';
  const error = await refusal(client.add(collection, { intruder: true }));
  process.env.TENCENTCLOUD_SECRETKEY = setting('YUNZHAN_SECRET_KEY');
  assert.equal(client.code(error), 'SYS_ERR', 'the SDK has no number for a bad signature');
  assert.equal(await client.count(collection), 0);
}
