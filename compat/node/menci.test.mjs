// Menci/deploy-certificate-to-aliyun (a GitHub Action), before and since February 2025: pop-core with POST. A certificate of
// the same name is deleted from the certificate centre first, bound as it is: since 2025 that needs
// `bound_certificate = "release"`.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { after } from 'node:test';

import RPCClient from '@alicloud/pop-core';

import { PopCorePost } from './clients.mjs';
import { documented, Server, skipped } from './harness.mjs';

const CERTIFICATE_NAME = 'deployed by an action';
const CDN = '2018-05-10';
const DOMAINS = ['a.example.org', '.example.org'];

const folder = mkdtempSync(path.join(tmpdir(), 'edgeseal-compat-'));
after(() => rmSync(folder, { recursive: true }));
const RELEASING = path.join(folder, 'config.toml');
writeFileSync(RELEASING, 'bound_certificate = "release"\n');

class Action {
  constructor(server) {
    this.server = server;
  }

  async run(domains, material) {
    const previous = await this.find();
    if (previous) await this.delete(previous);
    const id = await this.upload(material);
    for (const domain of domains) await this.bind(domain, id);
  }

  /** The id of the certificate that has the name. It reads pages until it has seen as many as there are. */
  async findIn(centre, action, params, list, named) {
    let found = 0;
    for (let page = 1, seen = 0; ; page++) {
      const answer = await this.call(centre, action, { ...params, ShowSize: 50, CurrentPage: page });
      found = answer[list].map(named).find(([name]) => name === CERTIFICATE_NAME)?.[1] ?? found;
      seen += answer[list].length;
      assert.ok(answer[list].length > 0 || seen === answer.TotalCount, 'it would ask for ever');
      if (seen === answer.TotalCount) return found;
    }
  }

  call(apiVersion, action, params) {
    const { api, keyId: accessKeyId, secret: accessKeySecret } = this.server;
    const client = new RPCClient({ accessKeyId, accessKeySecret, endpoint: `http://${api}`, apiVersion });
    return client.request(action, params, { method: 'POST' });
  }
}

/** Until February 2025: the certificate centre of 2018, bound by name. */
class Action2021 extends Action {
  binding = 'SetDomainServerCertificate';

  find() {
    return this.findIn('2018-07-13', 'DescribeUserCertificateList', {}, 'CertificateList', ({ name, id }) => [name, id]);
  }

  delete(CertId) {
    return this.call('2018-07-13', 'DeleteUserCertificate', { CertId });
  }

  async upload(material) {
    const { CertId } = await this.call('2018-07-13', 'CreateUserCertificate', {
      Cert: this.server.text(`${material}.crt`),
      Key: this.server.text(`${material}.key`),
      Name: CERTIFICATE_NAME,
    });
    return CertId;
  }

  bind(DomainName, _, CertName = CERTIFICATE_NAME) {
    return this.call(CDN, this.binding, {
      DomainName,
      CertName,
      CertType: 'cas',
      ServerCertificateStatus: 'on',
      ForceSet: '1',
    });
  }
}

/** Since: the certificate centre of 2020, bound by id. */
class Action2025 extends Action {
  binding = 'SetCdnDomainSSLCertificate';

  async find() {
    let found = 0;
    for (const Status of ['ISSUED', 'WILLEXPIRED', 'EXPIRED']) {
      const params = { Status, OrderType: 'CERT' };
      const named = ({ Name, CertificateId }) => [Name, CertificateId];
      found = (await this.findIn('2020-04-07', 'ListUserCertificateOrder', params, 'CertificateOrderList', named)) || found;
    }
    return found;
  }

  delete(CertId) {
    return this.call('2020-04-07', 'DeleteUserCertificate', { CertId });
  }

  async upload(material) {
    const { CertId } = await this.call('2020-04-07', 'UploadUserCertificate', {
      Cert: this.server.text(`${material}.crt`),
      Key: this.server.text(`${material}.key`),
      Name: CERTIFICATE_NAME,
    });
    return CertId;
  }

  bind(DomainName, CertId, CertName = CERTIFICATE_NAME) {
    return this.call(CDN, this.binding, {
      DomainName,
      CertName,
      CertId,
      CertType: 'cas',
      SSLProtocol: 'on',
      CertRegion: 'cn-hangzhou',
    });
  }
}

const GENERATIONS = { 2021: [Action2021], 2025: [Action2025, `--config=${RELEASING}`] };

for (const [generation, [Generation, ...flags]] of Object.entries(GENERATIONS)) {
  test(`menci ${generation}`, { skip: skipped('menci.test.mjs', `menci ${generation}`) }, async () => {
    await withDomains(flags, async (server, cdn) => {
      // On renewal the old certificate is still bound when it is deleted: what is bound goes on being served.
      const action = new Generation(server);
      for (const material of ['wild', 'wild-renewed']) {
        await action.run(DOMAINS, material);
        assert.equal(await server.served('a.example.org'), server.leaf(material));
        assert.equal(await server.served('other.example.org'), server.leaf(material));
        const { CertInfos } = await cdn.call('DescribeDomainCertificateInfo', { DomainName: 'a.example.org' });
        assert.equal(CertInfos.CertInfo[0].CertName, CERTIFICATE_NAME);
      }
      await action.delete(await action.find());
      assert.equal(await action.find(), 0);
      assert.equal(await server.served('a.example.org'), server.leaf('wild-renewed'));

      await refused(cdn, action.bind('a.example.org', 999999999999, 'nobody'), 'Certificate.NotFind', action.binding);
      await refused(cdn, action.bind('nobody.example.com', 999999999999), 'InvalidDomain.NotFound', action.binding);
      await refused(cdn, action.delete(999999999999), 'NotFound', 'DeleteUserCertificate');
    });
  });
}

test('menci 2025 by default', { skip: skipped('menci.test.mjs', 'menci 2025 by default') }, async () => {
  await withDomains([], async (server, cdn) => {
    const action = new Action2025(server);
    await action.run(DOMAINS, 'wild');
    await refused(cdn, action.run(DOMAINS, 'wild-renewed'), 'CertificateInUse', 'DeleteUserCertificate');
    assert.equal(await server.served('a.example.org'), server.leaf('wild'));

    // What no domain is bound to any more can be deleted, and its name is free.
    for (const DomainName of DOMAINS) {
      await cdn.call('SetCdnDomainSSLCertificate', {
        DomainName,
        SSLProtocol: 'on',
        SSLPub: server.text('wild-renewed.crt'),
        SSLPri: server.text('wild-renewed.key'),
      });
    }
    await action.run(DOMAINS, 'wild');
    assert.equal(await server.served('a.example.org'), server.leaf('wild'));
  });
});

/** Runs `body(server, client)` on a server that has the domains. */
async function withDomains(flags, body) {
  const server = await Server.start(...flags);
  try {
    const cdn = new PopCorePost(server);
    const Sources = '[{"content":"127.0.0.1","type":"ipaddr","port":80}]';
    for (const DomainName of DOMAINS) await cdn.call('AddCdnDomain', { DomainName, CdnType: 'web', Sources });
    await body(server, cdn);
  } finally {
    await server.stop();
  }
}

async function refused(cdn, call, code, where) {
  const { status, message } = documented(code, where);
  await assert.rejects(call, (error) => {
    assert.deepEqual(cdn.facts(error), { status, code, message });
    return true;
  });
}
