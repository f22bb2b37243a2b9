// A certificate's whole life through each official Node client.

import test from 'node:test';

import { CLIENTS } from './clients.mjs';
import { Server, skipped } from './harness.mjs';
import { load, run } from './steps.mjs';

for (const [name, Client] of Object.entries(CLIENTS)) {
  test(`story ${name}`, { skip: skipped('story.test.mjs', name) }, async () => {
    const server = await Server.start();
    try {
      const client = new Client(server);
      const saved = {};
      for (const step of load('story.json')) {
        await run(step, client, server, saved).catch((error) => {
          throw new Error(`in the step: ${step.title}`, { cause: error });
        });
      }
    } finally {
      await server.stop();
    }
  });
}
