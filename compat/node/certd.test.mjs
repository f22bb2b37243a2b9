// certd with its own client, unmodified (`@certd/plugin-lib`): pop-core V1, POST form, HTTPS.
// Its endpoints are always https, its agent speaks nothing else: the API listens in TLS.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { after } from 'node:test';

import { PopCorePost } from './clients.mjs';
import { documented, Server, skipped } from './harness.mjs';

// Once loaded, it writes a log into the working directory.
const folder = mkdtempSync(path.join(tmpdir(), 'edgeseal-compat-'));
process.chdir(folder);
after(() => rmSync(folder, { recursive: true }));
const { getGlobalAgents } = await import('@certd/basic');
const { AliyunClient } = await import('@certd/plugin-lib/dist/aliyun/lib/base-client.js');
const { AliyunSslClient } = await import('@certd/plugin-lib/dist/aliyun/lib/ssl-client.js');

const SOURCES = '[{"content":"127.0.0.1","type":"ipaddr","port":80}]';
const OPTIONS = { method: 'POST', formatParams: false };
const quiet = { info() {}, error() {} };

/** certd's tasks: upload, deploy to CDN and DCDN, the picker of domains. */
class Certd {
  constructor(server, endpoint) {
    this.server = server;
    this.endpoint = endpoint;
    this.access = { accessKeyId: server.keyId, accessKeySecret: server.secret };
    this.centre = new AliyunSslClient({ access: this.access, logger: quiet, endpoint });
  }

  pair(material) {
    return { crt: this.server.text(`${material}.crt`), key: this.server.text(`${material}.key`) };
  }

  async deploy(domain, name, material, dcdn = false) {
    const CertId = await this.centre.uploadCert({ name, cert: this.pair(material) });
    const { certName } = await this.centre.getCertInfo(CertId);
    assert.equal(certName, name);
    await this.bind(domain, { CertType: 'cas', CertId, CertName: name, CertRegion: 'cn-hangzhou' }, dcdn);
    return CertId;
  }

  /** As it did in 2024. */
  async deployUpload(domain, CertName, material) {
    const { crt: SSLPub, key: SSLPri } = this.pair(material);
    await this.bind(domain, { CertType: 'upload', CertName, SSLPub, SSLPri });
  }

  async bind(DomainName, certificate, dcdn = false) {
    const client = await this.client(dcdn ? '2018-01-15' : '2018-05-10');
    const action = dcdn ? 'SetDcdnDomainSSLCertificate' : 'SetCdnDomainSSLCertificate';
    const answer = await client.request(action, { SSLProtocol: 'on', DomainName, ...certificate }, OPTIONS);
    assert.equal(answer.Code, undefined);
  }

  async pick(text) {
    const client = await this.client('2018-05-10');
    const params = { PageSize: 100, PageNumber: 1, DomainSearchType: 'fuzzy_match', DomainName: text };
    const answer = await client.request('DescribeUserDomains', params, OPTIONS);
    assert.equal(answer.TotalCount, answer.Domains.PageData.length);
    return answer.Domains.PageData.map(({ DomainName }) => DomainName).sort();
  }

  async client(apiVersion) {
    const client = new AliyunClient({ logger: quiet });
    await client.init({ ...this.access, endpoint: `https://${this.endpoint}`, apiVersion });
    return client;
  }
}

test('certd', { skip: skipped('certd.test.mjs', 'certd') }, async () => {
  const server = await Server.start(
    '--api-tls=127.0.0.1:0',
    `--api-tls-cert-file=${path.join(process.env.COMPAT_CERTS, 'a.crt')}`,
    `--api-tls-key-file=${path.join(process.env.COMPAT_CERTS, 'a.key')}`,
  );
  getGlobalAgents().httpsAgent.options.rejectUnauthorized = false;
  try {
    const plain = new PopCorePost(server);
    for (const DomainName of ['shop.example.com', 'www.example.com', 'example.org']) {
      await plain.call('AddCdnDomain', { DomainName, CdnType: 'web', Sources: SOURCES });
    }
    const certd = new Certd(server, server.api_tls);
    assert.deepEqual(await certd.pick('example.com'), ['shop.example.com', 'www.example.com']);

    const served = async (material) => assert.equal(await server.served('shop.example.com'), server.leaf(material));
    const first = await certd.deploy('shop.example.com', 'certd-1', 'a');
    await served('a');
    await certd.deploy('shop.example.com', 'certd-2', 'b');
    await served('b');
    await certd.deploy('shop.example.com', 'certd-3', 'renewed', true);
    await served('renewed');
    for (const [name, material] of [['certd-upload-1', 'a'], ['certd-upload-2', 'b']]) {
      await certd.deployUpload('shop.example.com', name, material);
      await served(material);
    }

    await refused(certd.deploy('shop.example.com', 'certd-1', 'renewed'), 'NameRepeat', 'UploadUserCertificate');
    await refused(certd.deployUpload('nobody.example.com', 'x', 'a'), 'InvalidDomain.NotFound', 'SetCdnDomainSSLCertificate');
    await refused(
      certd.bind('shop.example.com', { CertType: 'cas', CertId: 999999999999, CertRegion: 'cn-hangzhou' }),
      'Certificate.NotFind',
      'SetCdnDomainSSLCertificate',
    );
    await served('b');

    // It clears away what it uploaded before.
    await certd.centre.deleteCert(first);
    await refused(certd.centre.getCertInfo(first), 'NotFound', 'GetUserCertificateDetail');
    await served('b');
  } finally {
    await server.stop();
  }
});

/** A refusal as pop-core throws it out of certd's client. */
async function refused(call, code, where) {
  const { message } = documented(code, where);
  await assert.rejects(call, (error) => {
    assert.equal(error.code, code, error);
    assert.equal(error.data.Message, message);
    return true;
  });
}
