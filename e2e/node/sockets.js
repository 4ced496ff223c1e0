'use strict';
// The package `ws`, with its defaults, against an echo behind the gateway: WS_URL says every message again, and ends when it
// is told `go`; WS_BYTES_MAX is the largest message that it takes.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const WebSocket = require('ws');
const { run, setting, step } = require('./harness');

async function connected() {
  const socket = new WebSocket(setting('WS_URL'));
  await once(socket, 'open');
  return socket;
}

/** What comes back next. */
async function heard(socket) {
  const [data, isBinary] = await once(socket, 'message');
  return isBinary ? data : data.toString();
}

async function echoed(socket, message) {
  const answer = heard(socket);
  socket.send(message);
  assert.deepEqual(await answer, message);
}

/** The code and the reason with which a socket ended. */
async function ended(socket) {
  const [code, reason] = await once(socket, 'close');
  return `${code} ${reason}`.trim();
}

run(async () => {
  const socket = await connected();

  await step('texts are said again', async () => {
    for (const text of ['hello', '', '云栈🍵', 'x'.repeat(70_000)]) await echoed(socket, text);
  });

  await step('a mebibyte is said again', async () => {
    await echoed(socket, Buffer.from(Array.from({ length: 1 << 20 }, (_, at) => at % 251)));
  });

  await step('messages stay in order', async () => {
    const texts = Array.from({ length: 100 }, (_, at) => `message ${at}`);
    const answers = [];
    socket.on('message', (data) => answers.push(data.toString()));
    texts.forEach((text) => socket.send(text));
    while (answers.length < texts.length) await once(socket, 'message');
    socket.removeAllListeners('message');
    assert.deepEqual(answers, texts);
  });

  await step('a message in pieces is one, also with a ping between them', async () => {
    const answer = heard(socket);
    const pong = once(socket, 'pong');
    socket.send('云', { fin: false });
    socket.ping('between');
    socket.send('栈', { fin: true });
    assert.equal(String((await pong)[0]), 'between');
    assert.equal(await answer, '云栈');
  });

  await step('a ping is answered with what it holds', async () => {
    const pong = once(socket, 'pong');
    socket.ping(Buffer.alloc(125, 7));
    assert.deepEqual((await pong)[0], Buffer.alloc(125, 7));
  });

  await step('the client ends it', async () => {
    const end = ended(socket);
    socket.close(4321, 'bye');
    assert.equal(await end, '4321 bye');
    const other = await connected();
    const otherEnd = ended(other);
    other.close();
    assert.equal(await otherEnd, '1005');
  });

  await step('the service ends it', async () => {
    const other = await connected();
    const end = ended(other);
    other.send('go');
    assert.equal(await end, '1000 done');
  });

  await step('a message that is too large is told by its code', async () => {
    const other = await connected();
    const end = ended(other);
    other.send(Buffer.alloc(Number(setting('WS_BYTES_MAX')) * 4));
    assert.match(await end, /^1009 /);
  });
});
