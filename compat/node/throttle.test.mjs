// More than 30 calls a second are throttled, as each official Node client reports it.

import assert from 'node:assert/strict';
import test from 'node:test';

import core from '@alicloud/openapi-core';

import { CLIENTS } from './clients.mjs';
import { documented, Server, skipped } from './harness.mjs';

const BURST = 30;
const WORKERS = 8;
const CALLS = 400;
const SOURCES = '[{"content":"127.0.0.1","type":"ipaddr","port":80}]';

for (const [name, Client] of Object.entries(CLIENTS)) {
  test(`throttle ${name}`, { skip: skipped('throttle.test.mjs', name) }, async () => {
    const server = await Server.start();
    try {
      const client = new Client(server);
      const domains = Array.from({ length: WORKERS }, (_, worker) => ({ DomainName: `shop-${worker}.example.com` }));
      for (const domain of domains) await client.call('AddCdnDomain', { ...domain, CdnType: 'web', Sources: SOURCES });

      const { answered, refusal } = await callUntilRefused(
        domains.map((domain) => () => client.call('SetCdnDomainSSLCertificate', { ...domain, SSLProtocol: 'off' })),
      );
      assert.ok(answered >= BURST, `${answered} calls were answered`);
      assert.deepEqual(client.facts(refusal), documented('Throttling.User', 'gateway'));
      if (name.startsWith('cdn20180510')) {
        assert.ok(refusal instanceof core.ThrottlingError);
        assert.ok(refusal.retryAfter > 0 && refusal.retryAfter <= 1000, `retry after ${refusal.retryAfter}`);
      }

      // The limit is per operation: another one goes on.
      assert.ok((await client.call('DescribeCdnDomainDetail', domains[0])).GetDomainDetailModel);
    } finally {
      await server.stop();
    }
  });
}

/** Makes each of the calls over and over, all at once, until one is refused: how many were answered, and the refusal. */
async function callUntilRefused(calls) {
  let left = CALLS;
  let answered = 0;
  let refusal;
  const work = async (call) => {
    while (left-- > 0 && !refusal) {
      try {
        await call();
        answered++;
      } catch (error) {
        refusal ??= error;
      }
    }
  };
  await Promise.all(calls.map(work));
  assert.ok(refusal, `${CALLS} calls were not throttled`);
  return { answered, refusal };
}
