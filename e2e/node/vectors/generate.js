'use strict';
// Makes tc3.json: requests that the unmodified SDKs really sent, with the clock stopped, and what each step of
// the TC3-HMAC-SHA256 signature must be for them. Our own reading of the signature is checked against the SDKs'
// while the file is made: a disagreement ends the run. Usage: node vectors/generate.js > vectors/tc3.json
const assert = require('node:assert');
const crypto = require('node:crypto');
const http = require('node:http');

const NOW_MS = 1_750_000_000_123;
const RealDate = Date;
global.Date = class extends RealDate {
  constructor(...parts) {
    super(...(parts.length ? parts : [NOW_MS]));
  }
  static now() {
    return NOW_MS;
  }
};

const ENV = 'demo';
const SECRET_ID = 'AKIDexampleexample';
const SECRET_KEY = 'example/secret+key=';
const recorded = [];

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});

async function main() {
  const server = await recorder();
  const url = `http://127.0.0.1:${server.address().port}/admin`;
  Object.assign(process.env, {
    TCB_CONTEXT_CNFG: JSON.stringify({ URL: url }),
    TENCENTCLOUD_RUNENV: 'SCF', SCF_NAMESPACE: ENV, TENCENTCLOUD_REGION: 'ap-shanghai',
    TENCENTCLOUD_SECRETID: SECRET_ID, TENCENTCLOUD_SECRETKEY: SECRET_KEY,
    WX_API_TOKEN: 'caller-token', WX_CONTEXT_KEYS: 'WX_API_TOKEN',
  });

  await record('node-sdk 3.18.3, query', () => nodeSdk(url).collection('goods').where({ price: 3 }).limit(5).get());
  await record('node-sdk 3.18.3, add: text beyond ASCII, white space at the ends, an array as parameter', () =>
    nodeSdk(url).collection('商品').add({ name: ' 杯子 \u{1F600}\n', price: 1.5, none: null, at: new Date(5) }));
  for (const name of ['wx-server-sdk', 'wx-server-sdk-2']) {
    const cloud = require(name);
    cloud.init({ env: ENV });
    const version = require(`${name}/package.json`).version;
    await record(`wx-server-sdk ${version}, query`, () => cloud.database().collection('goods').where({ name: '云' }).get());
    await record(`wx-server-sdk ${version}, multipart`, () =>
      cloud.openapi.subscribeMessage.send({ touser: 'o-1', templateId: 't-1' }).catch(() => undefined));
  }
  recordSigner();
  console.log(JSON.stringify(recorded, null, 1));
}

/** The signer alone: an upper-case method, values that are not strings, names that need encoding, a proxy's host. */
function recordSigner() {
  const { sign } = require('@cloudbase/signature-nodejs');
  const params = { Action: ' padded ', flag: false, count: 0, none: null, empty: '', nested: { b: 1, a: '云' }, 'odd name!': 'x' };
  const headers = { 'Content-Type': 'application/json', Host: 'api.example.com', 'X-Odd': ' Mixed Case ' };
  const { authorization, timestamp } = sign({
    secretId: SECRET_ID, secretKey: SECRET_KEY, method: 'POST', url: 'https://api.example.com/admin?env=demo',
    headers, params, timestamp: NOW_MS / 1000 | 0, withSignedParams: true,
  });
  const sent = { ...headers, Authorization: authorization, 'X-Timestamp': timestamp, 'X-Signature-Expires': 600 };
  recorded.push(explain('signature-nodejs 2.2.0, upper-case method', {
    method: 'POST', target: '/admin?env=demo',
    headers: Object.entries(sent).map(([name, value]) => [name, String(value)]),
    body: Buffer.from(JSON.stringify(params)),
  }, 'POST'));
}

function nodeSdk(serviceUrl) {
  const app = require('@cloudbase/node-sdk').init({ env: ENV, secretId: SECRET_ID, secretKey: SECRET_KEY, serviceUrl });
  return app.database();
}

let pending;
async function record(name, call) {
  await call();
  recorded.push(explain(name, pending, 'post'));
}

function recorder() {
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const headers = [];
      for (let i = 0; i < request.rawHeaders.length; i += 2) headers.push(request.rawHeaders.slice(i, i + 2));
      pending = { method: request.method, target: request.url, headers, body: Buffer.concat(chunks) };
      response.setHeader('content-type', 'application/json');
      response.end('{"requestId":"r","data":{"list":[],"insertedIds":["1"]}}');
    });
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

/** Computes every step from the recorded bytes alone, as a server must, and insists on the SDK's signature. */
function explain(name, request, methodSigned) {
  const header = (wanted) => request.headers.find(([key]) => key.toLowerCase() === wanted)[1];
  const [, date, signedParams, signedHeaders, signature] = /^TC3-HMAC-SHA256 Credential=[^/]+\/([^/]+)\/tcb\/tc3_request, SignedParams=([^,]*), SignedHeaders=([^,]*), Signature=(.*)$/
    .exec(header('authorization'));
  const params = bodyParams(header('content-type'), request.body);
  const payload = signedParams.split(';').filter((key) => params.get(key)?.length)
    .map((key) => Buffer.concat([Buffer.from(`&${key}=`), params.get(key), Buffer.from('\r\n')]));
  const hashedPayload = sha256(Buffer.concat(payload));
  const headerLines = signedHeaders.split(';').map((key) => `${key}:${headerValue(key, header(key))}\n`).join('');
  const [path, query = ''] = request.target.split('?');
  const canonicalRequest = [methodSigned, `//${header('host')}${path}`, query, headerLines, signedHeaders, hashedPayload].join('\n');
  const scope = `${date}/tcb/tc3_request`;
  const stringToSign = ['TC3-HMAC-SHA256', header('x-timestamp'), scope, sha256(canonicalRequest)].join('\n');
  const key = ['tcb', 'tc3_request'].reduce(hmac, hmac(`TC3${SECRET_KEY}`, date));
  assert.strictEqual(hmac(key, stringToSign).toString('hex'), signature, name);
  return {
    name, secretId: SECRET_ID, secretKey: SECRET_KEY, now: NOW_MS / 1000 | 0,
    method: request.method, target: request.target, headers: request.headers, bodyBase64: request.body.toString('base64'),
    methodSigned, hashedPayload, canonicalRequest, stringToSign, signature,
  };
}

/** Lower-cased name → bytes: a JSON member's text (or a string's content), a form field's content. */
function bodyParams(contentType, body) {
  const form = contentType.startsWith('multipart/');
  const pairs = form ? formFields(contentType, body) : Object.entries(JSON.parse(body));
  return new Map(pairs.map(([key, value]) => [encodeName(key.trim().toLowerCase()), paramBytes(value)]));
}

function paramBytes(value) {
  if (Buffer.isBuffer(value)) return value;
  return Buffer.from((typeof value === 'string' ? value : JSON.stringify(value)).trim());
}

function formFields(contentType, body) {
  const boundary = /boundary=(.*)$/.exec(contentType)[1];
  return body.toString('latin1').split(`--${boundary}`).slice(1, -1).map((part) => {
    const [head, content] = [part.slice(0, part.indexOf('\r\n\r\n')), part.slice(part.indexOf('\r\n\r\n') + 4, -2)];
    return [/name="([^"]*)"/.exec(head)[1], Buffer.from(content, 'latin1')];
  });
}

function encodeName(name) {
  return encodeURIComponent(name).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** A form's random boundary is not signed; nothing else is cut. Every other value is signed in lower case. */
function headerValue(name, value) {
  if (name === 'content-type') return value.startsWith('multipart/form-data') ? 'multipart/form-data' : value;
  return value.trim().toLowerCase();
}

function sha256(data) {
  return crypto.createHash('sha256').update(data).digest('hex');
}

function hmac(key, text) {
  return crypto.createHmac('sha256', key).update(text).digest();
}
