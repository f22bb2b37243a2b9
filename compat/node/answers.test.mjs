// Every operation through its generated SDK: ../answers.json, each answer held against the SDK's models.

import { after, before, describe, test } from 'node:test';

import { Server, skipped } from './harness.mjs';
import { PACKAGES, Product } from './products.mjs';
import { load, run } from './steps.mjs';

for (const group of load('answers.json')) {
  const cases = group.cases.filter(({ product = 'cdn', only }) => product in PACKAGES && only !== 'python');
  if (!cases.some(({ reply }) => reply)) continue;

  describe(`answers ${group.name}`, () => {
    const saved = {};
    let server, clients;
    before(async () => {
      server = await Server.start();
      clients = Object.fromEntries(Object.keys(PACKAGES).map((name) => [name, new Product(server, name)]));
    });
    after(() => server.stop());

    for (const step of cases) {
      test(step.title, { skip: skipped('answers.test.mjs', `${group.name} ${step.title}`) }, () =>
        run(step, clients[step.product ?? 'cdn'], server, saved),
      );
    }
  });
}
