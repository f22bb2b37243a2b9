// Runs the steps of ../story.json and ../refusals.json through a client; ../steps.py says what they mean.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { documented } from './harness.mjs';

const REQUEST_ID = /^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$/;

export function load(name) {
  return JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), 'utf8'));
}

export async function run(step, client, server, saved) {
  const params = Object.fromEntries(Object.entries(step.params).map(([name, value]) => [name, filled(value, server, saved)]));
  if (step.refused) {
    await expectRefusal(client, step.call, params, step.refused);
  } else {
    const reply = await client.call(step.call, params);
    assert.match(reply.RequestId, REQUEST_ID);
    for (const [at, expected] of Object.entries(step.reply ?? {})) expect(at, pick(reply, at), expected, saved);
  }
  await expectServed(server, step.served ?? {});
}

/** The call rejects with the client's own error, with status, code and message as documented. */
export async function expectRefusal(client, action, params, code) {
  const { status, message } = documented(code, action);
  await assert.rejects(client.call(action, params), (error) => {
    if (!client.isRefusal(error)) throw error;
    assert.deepEqual(client.facts(error), { status, code, message });
    return true;
  });
}

export async function expectServed(server, served) {
  for (const [name, material] of Object.entries(served)) {
    assert.equal(await server.served(name), material && server.leaf(material), `${name} is not served with ${material}`);
  }
}

function filled(value, server, saved) {
  if (typeof value !== 'string') return value;
  if (value.startsWith('@')) return server.text(value.slice(1));
  if (value.startsWith('%')) return encodeURIComponent(Buffer.from(server.text(value.slice(1))).toString('base64'));
  if (value.startsWith('$')) {
    const kept = saved[value.slice(1)];
    if (!/^\d+$/.test(kept)) return kept;
    const number = Number(kept);
    assert.ok(Number.isSafeInteger(number), `${value} is not a number that JavaScript can hold`);
    return number;
  }
  return value;
}

function pick(reply, at) {
  return at.split('.').reduce((value, part) => value?.[part], reply);
}

function expect(at, actual, expected, saved) {
  if (typeof expected !== 'object') {
    assert.equal(actual, literal(expected, saved), at);
    return;
  }
  assert.equal(actual === undefined || actual === null, 'absent' in expected, `${at}: ${actual}`);
  if ('count' in expected) assert.equal(actual.length, expected.count, at);
  if ('like' in expected) assert.match(actual, new RegExp(expected.like), at);
  if ('unlike' in expected) assert.notEqual(actual, literal(expected.unlike, saved), at);
  if ('integer' in expected) assert.ok(Number.isSafeInteger(actual), at);
  if ('least' in expected) assert.ok(Number.isSafeInteger(actual) && actual >= expected.least, `${at}: ${actual}`);
  if ('save' in expected) saved[expected.save] = actual;
}

function literal(expected, saved) {
  return typeof expected === 'string' && expected.startsWith('$') ? saved[expected.slice(1)] : expected;
}
