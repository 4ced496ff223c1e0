'use strict';
// Answers questions about documents with npm's mingo, which knows nothing of our engine: one group of questions a line.
//   node oracle.js QUESTIONS ANSWERS
// A question that mingo refuses is answered with `{error}`.
const fs = require('node:fs');
const readline = require('node:readline');
const { BSONRegExp, EJSON } = require('bson');
const mingo = require('mingo');

const [questions, answers] = process.argv.slice(2);

async function main() {
  const out = fs.createWriteStream(answers);
  for await (const line of readline.createInterface({ input: fs.createReadStream(questions) })) {
    if (!out.write(`${EJSON.stringify(answer(plain(EJSON.parse(line))), { relaxed: true })}\n`)) {
      await new Promise((resolve) => out.once('drain', resolve));
    }
  }
  await new Promise((resolve, reject) => out.end((error) => (error ? reject(error) : resolve())));
}

function answer({ documents, other, filters, orders, updates, pipelines }) {
  const collectionResolver = (name) => (name === 'other' ? other : []);
  return {
    filters: filters.map((filter) => attempt(() => ids(new mingo.Query(filter).find(documents).all()))),
    orders: orders.map((order) => attempt(() => ids(mingo.find(documents, {}).sort(order).all()))),
    updates: updates.map((update) => documents.map((document) => attempt(() => updated(document, update)))),
    pipelines: pipelines.map((stages) => stepwise(structuredClone(documents), stages, { collectionResolver })),
  };
}

const ids = (documents) => documents.map((document) => document._id);

function updated(document, update) {
  const copy = structuredClone(document);
  mingo.updateOne([copy], {}, update, { cloneMode: 'deep' });
  return copy;
}

/** What comes out of each stage, up to the first one that is refused. */
function stepwise(documents, stages, options) {
  const answers = [];
  let input = documents;
  for (const stage of stages) {
    const given = input;
    const answer = attempt(() => (input = mingo.aggregate(given, [stage], options)));
    answers.push(answer);
    if (!Array.isArray(answer)) break;
  }
  return answers;
}

function attempt(ask) {
  try {
    return defined(ask());
  } catch (error) {
    return { error: String(error.message ?? error) };
  }
}

/** Regular expressions as the language has them; everything else as it was read. */
function plain(value) {
  if (value instanceof BSONRegExp) return new RegExp(value.pattern, value.options);
  return mapped(value, plain);
}

/** A field that has no value is not there. */
function defined(value) {
  if (value === undefined) return null;
  return mapped(value, defined);
}

function mapped(value, change) {
  if (Array.isArray(value)) return value.map(change);
  if (value === null || typeof value !== 'object' || value instanceof Date) return value;
  const fields = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(fields.map(([name, item]) => [name, change(item)]));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
