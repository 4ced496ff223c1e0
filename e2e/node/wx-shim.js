'use strict';
// The part of a mini-program's global world that @cloudbase/js-sdk's mini-program build touches, over Node.
// `wx.request` answers as a phone does: `success` for every HTTP status, JSON parsed, header names in lower case.
const http = require('node:http');
const https = require('node:https');

const REQUEST_TIMEOUT_MS = 15_000;

/**
 * Puts `wx`, `Page`, `App` and `getApp` on the global object.
 * `login()` gives the promise of what wx.login gives: a code. `seen` collects every exchange for later asserts.
 */
function installWx({ appid, login }) {
  const storage = new Map();
  const seen = [];
  const device = { platform: 'devtools', brand: 'devtools', model: 'test', system: 'test', language: 'zh_CN' };
  const wx = {
    login: ({ success, fail } = {}) => settle(login().then((code) => ({ code, errMsg: 'login:ok' })), success, fail),
    getAccountInfoSync: () => ({ miniProgram: { appId: appid, envVersion: 'develop', version: '' } }),
    getSystemInfoSync: () => ({ ...device, SDKVersion: '3.5.0' }),
    getDeviceInfo: () => device,
    getAppBaseInfo: () => ({ SDKVersion: '3.5.0', language: 'zh_CN' }),
    getStorageSync: (key) => storage.get(key) ?? '',
    setStorageSync: (key, value) => void storage.set(key, value),
    removeStorageSync: (key) => void storage.delete(key),
    clearStorageSync: () => storage.clear(),
    request: (options) => request(options, seen),
    connectSocket: () => { throw new Error('wx.connectSocket: not part of this shim'); },
  };
  Object.assign(globalThis, { wx, Page: () => {}, App: () => {}, getApp: () => ({}) });
  return { wx, storage, seen };
}

/** As wx.* APIs do: callbacks when given, and a promise when none is. */
function settle(promise, success, fail) {
  if (!success && !fail) return promise;
  promise.then(success ?? (() => {}), (error) => fail?.({ errMsg: `login:fail ${error.message}` }));
}

function request({ url, data, method = 'GET', header = {}, timeout, success, fail, complete }, seen) {
  const target = new URL(url);
  const body = requestBody(target, method, data);
  const headers = withoutUndefined({ 'content-type': 'application/json', ...lowerCased(header) });
  if (body !== undefined) headers['content-length'] = Buffer.byteLength(body);
  const exchange = { method, url: target.href, headers, body };
  seen.push(exchange);
  const client = target.protocol === 'https:' ? https : http;
  const outgoing = client.request(target, { method, headers, timeout: timeout || REQUEST_TIMEOUT_MS }, (incoming) => {
    const chunks = [];
    incoming.on('data', (chunk) => chunks.push(chunk));
    incoming.on('end', () => {
      const answer = {
        statusCode: incoming.statusCode, header: incoming.headers, cookies: [], errMsg: 'request:ok',
        data: parsed(Buffer.concat(chunks).toString('utf8')),
      };
      exchange.statusCode = answer.statusCode;
      exchange.answer = answer.data;
      success?.(answer);
      complete?.(answer);
    });
  });
  const failed = (errMsg) => {
    fail?.({ errMsg, message: errMsg });
    complete?.({ errMsg });
  };
  outgoing.on('timeout', () => outgoing.destroy(new Error('timeout')));
  outgoing.on('error', (error) => failed(`request:fail ${error.message}`));
  outgoing.end(body);
  return { abort: () => outgoing.destroy(), onChunkReceived: () => {}, offChunkReceived: () => {}, onHeadersReceived: () => {} };
}

/** An object given with GET goes into the query, as on a phone; anything else is the body. */
function requestBody(target, method, data) {
  if (data === undefined || data === null || data === '') return undefined;
  if (typeof data === 'string') return data;
  if (method !== 'GET') return JSON.stringify(data);
  for (const [key, value] of Object.entries(data)) target.searchParams.append(key, String(value));
  return undefined;
}

function lowerCased(header) {
  return Object.fromEntries(Object.entries(header).map(([name, value]) => [name.toLowerCase(), value]));
}

function withoutUndefined(header) {
  return Object.fromEntries(Object.entries(header).filter(([name, value]) => name !== 'undefined' && value !== undefined));
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

module.exports = { installWx };
