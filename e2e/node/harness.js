'use strict';
// Named steps for the client drivers: `ok <step>` or `FAILED <step>: <why>` a line, and the score as the last line.

/** A driver that hangs is a failure with a name, not a job that somebody has to kill. */
const RUN_MS_MAX = 120_000;

let passed = 0;
let failed = 0;

/** Runs one check. A failed step does not stop the run: the rest of the score is worth knowing. */
async function step(name, check) {
  try {
    await check();
    passed += 1;
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}: ${describe(error)}`);
  }
}

// A missing setting, or an error that a client throws outside every promise, still ends with the score.
process.on('uncaughtException', (error) => finish(describe(error)));

/** Runs the whole driver and ends the process: 0 when every step passed, 1 otherwise. */
function run(main) {
  setTimeout(() => finish(`the run did not end within ${RUN_MS_MAX} ms`), RUN_MS_MAX).unref();
  main().then(() => finish(), (error) => finish(describe(error)));
}

function finish(broken) {
  if (broken) {
    failed += 1;
    console.log(`FAILED run: ${broken}`);
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}

/** A setting of the run, from the process environment. */
function setting(name, fallback) {
  const value = process.env[name] ?? fallback;
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

/** The promise's refusal as the client reports it; that it was refused at all is part of the check. */
async function refusal(promise) {
  const value = await promise.then((value) => ({ value }), (error) => ({ error }));
  if (value.error) return value.error;
  throw new Error(`was accepted and gave ${JSON.stringify(value.value)}`);
}

/** A name that no earlier run used, so that drivers can run again on the same data. */
function fresh(prefix) {
  return `${prefix}_${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}`;
}

function describe(error) {
  const text = error?.stack ?? JSON.stringify(error) ?? String(error);
  const code = error?.code && !text.includes(error.code) ? `[${error.code}] ` : '';
  return code + text.split('\n').map((line) => line.trimEnd()).join('\n    ');
}

module.exports = { step, run, setting, refusal, fresh };
