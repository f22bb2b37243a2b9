// Menci/deploy-certificate-to-aliyun (a GitHub Action): pop-core with POST, the certificate centre of 2018, ForceSet.

import assert from 'node:assert/strict';
import test from 'node:test';

import RPCClient from '@alicloud/pop-core';

import { PopCorePost } from './clients.mjs';
import { documented, Server, skipped } from './harness.mjs';

const CERTIFICATE_NAME = 'deployed by an action';

/** The Action: its inputs are the two endpoints, the key pair, a name and a list of domains. */
class Action {
  constructor(server) {
    this.server = server;
  }

  async run(domains, material) {
    const previous = await this.find();
    if (previous) await this.call('2018-07-13', 'DeleteUserCertificate', { CertId: previous });
    await this.call('2018-07-13', 'CreateUserCertificate', {
      Cert: this.server.text(`${material}.crt`),
      Key: this.server.text(`${material}.key`),
      Name: CERTIFICATE_NAME,
    });
    for (const DomainName of domains) await this.bind(DomainName);
  }

  bind(DomainName, CertName = CERTIFICATE_NAME) {
    return this.call('2018-05-10', 'SetDomainServerCertificate', {
      DomainName,
      CertName,
      CertType: 'cas',
      ServerCertificateStatus: 'on',
      ForceSet: '1',
    });
  }

  /** The id of the certificate that has the name. It reads pages until it has seen as many as there are. */
  async find() {
    let found = 0;
    for (let page = 1, seen = 0; ; page++) {
      const answer = await this.call('2018-07-13', 'DescribeUserCertificateList', { ShowSize: 50, CurrentPage: page });
      found = answer.CertificateList.find(({ name }) => name === CERTIFICATE_NAME)?.id ?? found;
      seen += answer.CertificateList.length;
      assert.ok(answer.CertificateList.length > 0 || seen === answer.TotalCount, 'it would ask for ever');
      if (seen === answer.TotalCount) return found;
    }
  }

  call(apiVersion, action, params) {
    const { api, keyId: accessKeyId, secret: accessKeySecret } = this.server;
    const client = new RPCClient({ accessKeyId, accessKeySecret, endpoint: `http://${api}`, apiVersion });
    return client.request(action, params, { method: 'POST' });
  }
}

test('menci', { skip: skipped('menci.test.mjs', 'menci') }, async () => {
  const server = await Server.start();
  try {
    const cdn = new PopCorePost(server);
    const Sources = '[{"content":"127.0.0.1","type":"ipaddr","port":80}]';
    const domains = ['a.example.org', '.example.org'];
    for (const DomainName of domains) await cdn.call('AddCdnDomain', { DomainName, CdnType: 'web', Sources });

    // On renewal the old certificate is still bound when it is deleted: what is bound goes on being served.
    const action = new Action(server);
    for (const material of ['wild', 'wild-renewed']) {
      await action.run(domains, material);
      assert.equal(await server.served('a.example.org'), server.leaf(material));
      assert.equal(await server.served('other.example.org'), server.leaf(material));
      const { CertInfos } = await cdn.call('DescribeDomainCertificateInfo', { DomainName: 'a.example.org' });
      assert.equal(CertInfos.CertInfo[0].CertName, CERTIFICATE_NAME);
    }
    await action.call('2018-07-13', 'DeleteUserCertificate', { CertId: await action.find() });
    assert.equal(await action.find(), 0);
    assert.equal(await server.served('a.example.org'), server.leaf('wild-renewed'));

    const refused = async (call, code, where) => {
      const { status, message } = documented(code, where);
      await assert.rejects(call, (error) => {
        assert.deepEqual(cdn.facts(error), { status, code, message });
        return true;
      });
    };
    await refused(action.bind('a.example.org', 'nobody'), 'Certificate.NotFind', 'SetDomainServerCertificate');
    await refused(action.bind('nobody.example.com'), 'InvalidDomain.NotFound', 'SetDomainServerCertificate');
    await refused(
      action.call('2018-07-13', 'DeleteUserCertificate', { CertId: 999999999999 }),
      'NotFound',
      'DeleteUserCertificate',
    );
  } finally {
    await server.stop();
  }
});
