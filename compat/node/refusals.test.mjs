// Every refusal of refusals.json through each official Node client, by that client's own error type.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { CLIENTS } from './clients.mjs';
import { documented, Server, skipped } from './harness.mjs';
import { expectRefusal, expectServed, load, run } from './steps.mjs';

for (const [name, Client] of Object.entries(CLIENTS)) {
  for (const group of load('refusals.json')) {
    describe(`refusals ${name} ${group.name}`, () => {
      let server, client;
      before(async () => {
        server = await Server.start();
        client = new Client(server);
        for (const step of group.setup) await run(step, client, server, {});
      });
      after(() => server.stop());

      for (const step of group.cases) {
        test(step.title, { skip: skipped('refusals.test.mjs', `${name} ${step.title}`) }, async () => {
          await run(step, client, server, {});
          await expectServed(server, group.unchanged ?? {});
        });
      }
    });
  }

  describe(`refusals ${name} credentials`, () => {
    let server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    test('unknown access key', async () => {
      const client = new Client(server, { keyId: 'LTAInobodyhasthiskey' });
      await expectRefusal(client, 'DescribeUserDomains', {}, 'InvalidAccessKeyId.NotFound');
    });

    test('wrong secret', async () => {
      const client = new Client(server, { secret: 'not-the-secret' });
      const { status, code, message } = documented('SignatureDoesNotMatch', 'gateway');
      await assert.rejects(client.call('DescribeUserDomains', { DomainName: "*~!'() +:.example.com" }), (error) => {
        assert.ok(client.isRefusal(error), error);
        const facts = client.facts(error);
        assert.deepEqual([facts.status, facts.code], [status, code]);
        assert.ok(facts.message.startsWith(message.split('{')[0]), facts.message);
        return true;
      });
    });
  });
}
