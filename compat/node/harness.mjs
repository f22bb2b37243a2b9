// A running Edgeseal for the tests: the same promises as ../harness.py.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BINARY = process.env.EDGESEAL_BIN ?? path.join(ROOT, 'target/debug/edgeseal');
const CERTS = process.env.COMPAT_CERTS;
const START_MS = 60_000;

export class Server {
  /** Starts `edgeseal serve` on an empty data directory, with more flags if need be, and waits until it is ready. */
  static async start(...flags) {
    assert.ok(CERTS, 'COMPAT_CERTS names the folder that certs.py wrote');
    const server = new Server();
    server.folder = mkdtempSync(path.join(tmpdir(), 'edgeseal-compat-'));
    const data = path.join(server.folder, 'data');
    const listen = ['api', 'https', 'http', 'admin'].map((role) => `--${role}=127.0.0.1:0`);
    server.process = spawn(BINARY, ['serve', '--data', data, ...listen, ...flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // Its configuration is what stands above, whatever the environment of the tests says.
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('EDGESEAL_'))),
    });
    await server.#ready();
    Object.assign(server, readJson(path.join(data, 'addresses.json')));
    const root = readJson(path.join(data, 'credentials.json'));
    Object.assign(server, { account: root.AccountId, keyId: root.AccessKeyId, secret: root.AccessKeySecret });
    return server;
  }

  /** Stops it and checks its end: exit code 0, and no key material in what it printed. */
  async stop() {
    const ended = once(this.process, 'close');
    this.process.kill('SIGTERM');
    const [code] = await ended;
    rmSync(this.folder, { recursive: true });
    assert.equal(code, 0, `edgeseal ended with ${code}:\n${this.log}`);
    assert.ok(!this.log.includes('PRIVATE KEY'), 'the log holds a private key');
    assert.ok(!this.log.includes(this.secret), 'the log holds the access-key secret');
    assert.ok(!keyLines().some((line) => this.log.includes(line)), 'the log holds a line of a private key');
  }

  /** SHA-256 of the leaf that a new handshake for `name` gets; null if it is refused as an unrecognised name. */
  async served(name) {
    await this.#edge();
    const [host, port] = this.https.split(':');
    const socket = tls.connect({ host, port, servername: name, rejectUnauthorized: false });
    try {
      await once(socket, 'secureConnect');
      return sha256(socket.getPeerCertificate().raw);
    } catch (error) {
      if (error.code === 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME') return null;
      throw error;
    } finally {
      socket.destroy();
    }
  }

  /** With several nodes: waits until the edge has applied what the others have. A call waits for its own node. */
  async #edge() {
    const revisions = await Promise.all((this.admins ?? []).map(edgeRevision));
    while (revisions.some((revision) => revision > revisions[0])) revisions[0] = await edgeRevision(this.admins[0]);
  }

  /** The text of a material, by file name. */
  text(name) {
    return readFileSync(path.join(CERTS, name), 'utf8');
  }

  /** SHA-256 of the leaf of the material `name`. */
  leaf(name) {
    return sha256(new X509Certificate(this.text(`${name}.crt`)).raw);
  }

  #ready() {
    this.log = '';
    return new Promise((resolve, reject) => {
      const fail = (why) => {
        clearTimeout(late);
        this.process.kill('SIGKILL');
        reject(new Error(`edgeseal did not become ready (${why}):\n${this.log}`));
      };
      const late = setTimeout(() => fail('too slow'), START_MS);
      this.process.once('error', fail);
      this.process.once('exit', (code) => fail(`exit ${code}`));
      for (const stream of [this.process.stdout, this.process.stderr]) {
        stream.setEncoding('utf8').on('data', (chunk) => {
          this.log += chunk;
          if (/^ready$/m.test(this.log)) {
            clearTimeout(late);
            resolve();
          }
        });
      }
    });
  }
}

/** spec/errors.tsv: HTTP status and message of a code, as it stands for this action. */
export function documented(code, action) {
  const rows = readFileSync(path.join(ROOT, 'spec/errors.tsv'), 'utf8')
    .split('\n')
    .filter((line) => line && !line.startsWith('#'))
    .map((line) => line.split('\t'));
  for (const where of [action, `cdn:${action}`, 'cdn', 'gateway']) {
    const row = rows.find((row) => row[1] === code && row[3].split(',').includes(where));
    if (row) return { status: Number(row[0]), code, message: row[2] };
  }
  throw new Error(`spec/errors.tsv has no ${code} for ${action}`);
}

/** The reason why a test is skipped (../skip.tsv), or false. */
export function skipped(file, name) {
  const rows = readFileSync(path.join(ROOT, 'compat/skip.tsv'), 'utf8').split('\n').slice(1);
  const row = rows.map((line) => line.split('\t')).find(([test]) => test === `${file}::${name}`);
  return row ? row[1] : false;
}

/** Every base64 line of every private key (short ones say nothing). */
function keyLines() {
  return readdirSync(CERTS)
    .filter((name) => name.endsWith('.key'))
    .flatMap((name) => [...readFileSync(path.join(CERTS, name), 'utf8').matchAll(/BEGIN [A-Z ]*PRIVATE KEY-----([^-]*)-----END/g)])
    .flatMap(([, block]) => block.split(/\s+/))
    .filter((line) => line.length >= 16);
}

/** What an edge has applied. */
async function edgeRevision(admin) {
  const metrics = await (await fetch(`http://${admin}/metrics`)).text();
  return BigInt(/^edgeseal_edge_revision (\d+)$/m.exec(metrics)[1]);
}

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}
