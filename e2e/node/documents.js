'use strict';
// What every client must be able to do with documents. A client brings itself as `Client`:
//   db                        its database object, with `command`, `collection()`, `RegExp()`, `serverDate()`
//   add(collection, data)     → id              addAll(collection, [data]) → ids
//   list(query or doc)        → documents       count(query) → number
//   update(query or doc, data) → number changed set(doc, data)             remove(query or doc) → number removed
//   code(error)               → the error code's name
const assert = require('node:assert/strict');
const { step, refusal, fresh } = require('./harness.js');

const day = (year, month, date) => new Date(Date.UTC(year, month - 1, date));

const GOODS = [
  { sku: 'tea', name: 'Green Tea', price: 30, stock: 5, tags: ['drink', 'hot'], origin: { city: '杭州', grade: 1 }, listed: day(2024, 1, 1) },
  { sku: 'rice', name: 'rice', price: 8.5, stock: 0, tags: ['food'], origin: { city: '五常', grade: 2 }, listed: day(2024, 3, 1) },
  { sku: 'salt', name: 'Sea salt', price: 3, tags: [], origin: { city: '青岛', grade: 1 }, listed: day(2024, 2, 1) },
  { sku: 'cup', name: 'Tea cup', price: 30, stock: 12, tags: ['hot'], origin: { city: '景德镇', grade: 3 }, listed: day(2024, 4, 1) },
  { sku: 'book', name: '诗经', price: 42, stock: null, tags: ['paper'], origin: { city: '北京', grade: 1 }, listed: day(2023, 12, 1) },
];

/** Runs every step. `name` is an existing collection in which this caller sees no document. */
async function documents(client, name) {
  const goods = client.db.collection(name);
  await inserts(client, goods);
  await queries(client, goods);
  await pages(client, goods);
  await updates(client, goods);
  await sets(client, goods);
  await removals(client, goods);
  await step('a missing collection is named by its code', async () => {
    const error = await refusal(client.list(client.db.collection(fresh('nowhere')).where({ sku: 'tea' })));
    assert.equal(client.code(error), 'DATABASE_COLLECTION_NOT_EXIST');
  });
}

async function inserts(client, goods) {
  const every = {
    text: '云栈 😀 "quoted" \\ \n', empty: '', int: -7, big: Number.MAX_SAFE_INTEGER, fraction: 0.1, huge: 1e300,
    yes: true, no: false, nothing: null, list: [1, 'two', [3], {}, null], object: { deep: { deeper: [] } },
    when: new Date(1750000000123), old: new Date(-1), first: new Date(5),
  };
  let id;
  await step('add gives an id', async () => {
    id = await client.add(goods, every);
    assert.equal(typeof id, 'string');
    assert.notEqual(id, '');
  });
  await step('doc.get gives back every kind of value', async () => {
    const [found] = await client.list(goods.doc(id));
    assert.deepEqual(pick(found, Object.keys(every)), every);
    assert.equal(found._id, id);
  });
  await step('a date comes back as a Date', async () => {
    const [found] = await client.list(goods.doc(id));
    assert.ok(found.when instanceof Date);
    assert.equal(found.when.getTime(), 1750000000123);
  });
  await step('serverDate becomes the time of the server', async () => {
    const stamped = await client.add(goods, { at: client.db.serverDate(), later: client.db.serverDate({ offset: 60_000 }) });
    const [found] = await client.list(goods.doc(stamped));
    assert.ok(found.at instanceof Date, `at is ${JSON.stringify(found.at)}`);
    assert.ok(Math.abs(found.at - Date.now()) < 30_000, `at is ${found.at.toISOString()}`);
    assert.equal(found.later - found.at, 60_000);
    assert.equal(await client.remove(goods.doc(stamped)), 1);
  });
  await step('an id of the caller\'s own is kept, and is taken from then on', async () => {
    const own = fresh('own');
    assert.equal(await client.add(goods, { _id: own, turn: 1 }), own);
    await refusal(client.add(goods, { _id: own, turn: 2 }));
    const found = await client.list(goods.where({ _id: own }));
    assert.deepEqual(found.map(({ turn }) => turn), [1]);
    assert.equal(await client.remove(goods.doc(own)), 1);
  });
  await step('add of several gives their ids in order', async () => {
    assert.equal(await client.remove(goods.doc(id)), 1);
    const ids = await client.addAll(goods, GOODS);
    assert.equal(new Set(ids).size, GOODS.length);
    const [third] = await client.list(goods.doc(ids[2]));
    assert.equal(third.sku, 'salt');
  });
}

async function queries(client, goods) {
  const { command: _, RegExp: regExp } = client.db;
  const cases = [
    ['a plain value', { price: 30 }, 'cup tea'],
    ['two plain values', { price: 30, sku: 'cup' }, 'cup'],
    ['eq', { price: _.eq(8.5) }, 'rice'],
    ['eq null, which a missing field also is', { stock: _.eq(null) }, 'book salt'],
    ['neq', { price: _.neq(30) }, 'book rice salt'],
    ['neq on a field that some lack', { stock: _.neq(5) }, 'book cup rice salt'],
    ['gt', { price: _.gt(30) }, 'book'],
    ['gt leaves null and missing out', { stock: _.gt(-1) }, 'cup rice tea'],
    ['gte', { price: _.gte(30) }, 'book cup tea'],
    ['lt', { price: _.lt(8.5) }, 'salt'],
    ['lte', { price: _.lte(8.5) }, 'rice salt'],
    ['gt on text', { sku: _.gt('rice') }, 'salt tea'],
    ['in', { sku: _.in(['tea', 'salt', 'none']) }, 'salt tea'],
    ['in on an array field', { tags: _.in(['paper', 'food']) }, 'book rice'],
    ['nin', { price: _.nin([30, 3]) }, 'book rice'],
    ['nin on a field that some lack', { stock: _.nin([0, 5]) }, 'book cup salt'],
    ['and of one field', { price: _.gt(3).and(_.lt(40)) }, 'cup rice tea'],
    ['and of whole conditions', _.and([{ price: 30 }, { stock: _.gt(5) }]), 'cup'],
    ['or of one field', { price: _.lt(5).or(_.gt(40)) }, 'book salt'],
    ['or of whole conditions', _.or([{ sku: 'tea' }, { stock: 0 }]), 'rice tea'],
    ['or inside and', _.and([_.or([{ sku: 'tea' }, { sku: 'cup' }]), { 'origin.grade': _.lt(3) }]), 'tea'],
    ['nor of whole conditions', _.nor([{ price: 30 }, { stock: 0 }]), 'book salt'],
    ['not', { price: _.not(_.gt(8.5)) }, 'rice salt'],
    ['exists', { stock: _.exists(true) }, 'book cup rice tea'],
    ['exists false', { stock: _.exists(false) }, 'salt'],
    ['a regular expression', { name: /tea/i }, 'cup tea'],
    ['a regular expression with an anchor', { name: /^Tea/ }, 'cup'],
    ['db.RegExp', { name: regExp({ regexp: '^(sea|green)', options: 'i' }) }, 'salt tea'],
    ['a nested object', { origin: { grade: 1 } }, 'book salt tea'],
    ['a dotted path', { 'origin.city': '杭州' }, 'tea'],
    ['an element of an array', { tags: 'hot' }, 'cup tea'],
    ['a date', { listed: day(2024, 2, 1) }, 'salt'],
    ['a range of dates', { listed: _.gte(day(2024, 1, 1)).and(_.lt(day(2024, 3, 1))) }, 'salt tea'],
    ['nothing', { sku: 'none' }, ''],
  ];
  for (const [name, condition, expected] of cases) {
    await step(`where ${name}`, async () => {
      const found = await client.list(goods.where(condition));
      assert.equal(found.map(({ sku }) => sku).sort().join(' '), expected);
      assert.equal(await client.count(goods.where(condition)), found.length, 'count');
    });
  }
}

async function pages(client, goods) {
  const skus = async (query) => (await client.list(query)).map(({ sku }) => sku).join(' ');
  await step('orderBy ascending and descending', async () => {
    assert.equal(await skus(goods.orderBy('listed', 'asc')), 'book tea salt rice cup');
    assert.equal(await skus(goods.orderBy('listed', 'desc')), 'cup rice salt tea book');
  });
  await step('orderBy two fields', async () => {
    assert.equal(await skus(goods.orderBy('price', 'desc').orderBy('sku', 'asc')), 'book cup tea rice salt');
    assert.equal(await skus(goods.orderBy('price', 'desc').orderBy('sku', 'desc')), 'book tea cup rice salt');
  });
  await step('orderBy puts missing and null before numbers', async () => {
    assert.equal(await skus(goods.orderBy('stock', 'asc').orderBy('sku', 'asc')), 'book salt rice tea cup');
  });
  await step('skip and limit', async () => {
    assert.equal(await skus(goods.orderBy('sku', 'asc').skip(1).limit(2)), 'cup rice');
    assert.equal(await skus(goods.orderBy('sku', 'asc').skip(4).limit(2)), 'tea');
    assert.equal(await skus(goods.orderBy('sku', 'asc').skip(9)), '');
  });
  await step('field keeps what is named', async () => {
    const [found] = await client.list(goods.where({ sku: 'tea' }).field({ sku: true, 'origin.city': true }));
    assert.deepEqual({ ...found, _id: undefined }, { _id: undefined, sku: 'tea', origin: { city: '杭州' } });
    assert.equal(typeof found._id, 'string');
  });
  await step('field leaves out what is refused', async () => {
    const [found] = await client.list(goods.where({ sku: 'tea' }).field({ origin: false, tags: false }));
    assert.deepEqual(pick(found, ['sku', 'price', 'origin', 'tags']), { sku: 'tea', price: 30 });
  });
  await step('count of all', async () => assert.equal(await client.count(goods), GOODS.length));
}

async function updates(client, goods) {
  const { command: _ } = client.db;
  const find = async (sku) => (await client.list(goods.where({ sku })))[0];
  await step('update with set, inc, remove and push', async () => {
    const tea = goods.doc((await find('tea'))._id);
    const changed = await client.update(tea, {
      price: _.inc(-0.5), stock: _.remove(), tags: _.push(['new', 'hot']), name: '龙井', listed: new Date(9),
    });
    assert.equal(changed, 1);
    assert.deepEqual(pick(await find('tea'), ['price', 'stock', 'tags', 'name', 'listed']), {
      price: 29.5, tags: ['drink', 'hot', 'new', 'hot'], name: '龙井', listed: new Date(9),
    });
  });
  await step('update of a nested object changes what it names', async () => {
    await client.update(goods.where({ sku: 'tea' }), { origin: { grade: 4 } });
    assert.deepEqual((await find('tea')).origin, { city: '杭州', grade: 4 });
  });
  await step('set replaces a nested object', async () => {
    await client.update(goods.where({ sku: 'tea' }), { origin: _.set({ village: '梅家坞' }) });
    assert.deepEqual((await find('tea')).origin, { village: '梅家坞' });
  });
  await step('inc makes a missing field', async () => {
    await client.update(goods.where({ sku: 'salt' }), { stock: _.inc(3) });
    assert.equal((await find('salt')).stock, 3);
  });
  await step('update of a query changes all that match', async () => {
    assert.equal(await client.update(goods.where({ price: _.lt(10) }), { sale: true }), 2);
    assert.equal(await client.count(goods.where({ sale: true })), 2);
  });
  await step('update of a document that is not there changes nothing', async () => {
    assert.equal(await client.update(goods.doc(fresh('absent')), { sale: true }), 0);
    assert.equal(await client.count(goods), GOODS.length);
  });
  await step('inc of text is refused and changes nothing', async () => {
    const before = await find('cup');
    await refusal(client.update(goods.doc(before._id), { name: _.inc(1), price: 1 }));
    assert.deepEqual(await find('cup'), before);
  });
}

async function sets(client, goods) {
  const id = fresh('set');
  await step('doc.set makes the document', async () => {
    await client.set(goods.doc(id), { sku: 'lamp', price: 5, origin: { city: '广州' } });
    const [found] = await client.list(goods.doc(id));
    assert.deepEqual(pick(found, ['_id', 'sku', 'price', 'origin']), { _id: id, sku: 'lamp', price: 5, origin: { city: '广州' } });
  });
  await step('doc.set replaces the whole document', async () => {
    await client.set(goods.doc(id), { sku: 'torch' });
    const [found] = await client.list(goods.doc(id));
    assert.deepEqual(pick(found, ['_id', 'sku', 'price', 'origin']), { _id: id, sku: 'torch' });
    assert.equal(await client.count(goods), GOODS.length + 1);
  });
}

async function removals(client, goods) {
  const { command: _ } = client.db;
  await step('doc.remove removes one', async () => {
    const [torch] = await client.list(goods.where({ sku: 'torch' }));
    assert.equal(await client.remove(goods.doc(torch._id)), 1);
    assert.equal(await client.remove(goods.doc(torch._id)), 0);
    assert.equal(await client.count(goods.where({ sku: 'torch' })), 0);
  });
  await step('remove of a query removes all that match', async () => {
    assert.equal(await client.remove(goods.where({ sku: _.in(['tea', 'cup']) })), 2);
    assert.equal(await client.count(goods), GOODS.length - 2);
    assert.equal(await client.remove(goods.where({ sku: _.exists(true) })), GOODS.length - 2);
    assert.equal(await client.count(goods), 0);
  });
}

/** The named members, without those that are missing. */
function pick(object, names) {
  return Object.fromEntries(names.filter((name) => name in object).map((name) => [name, object[name]]));
}

module.exports = { documents };
