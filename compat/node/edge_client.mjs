// `node edge_client.mjs CLIENT URL SIZE`: downloads SIZE octets, uploads them again, and prints the version of HTTP,
// the status, the SHA-256 of what came, and the SHA-256 that the origin saw. Names under example.com are this machine.

import { createHash } from 'node:crypto';
import { channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import http2 from 'node:http2';
import https from 'node:https';

import { Agent, request } from 'undici';

const [, , client, base, size] = process.argv;
const url = new URL(`/bytes/${size}`, base);
const lookup = (_, options, done) => (options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4));

const ways = { https: withHttps, http2: withHttp2, undici: () => withUndici(false), 'undici-h2': () => withUndici(true) };
const [version, ask, close] = await ways[client]();
const [status, body] = await ask('GET', url);
const [, answer] = await ask('POST', new URL('/', base), body);
await close();
console.log(version(), status, createHash('sha256').update(body).digest('hex'), JSON.parse(answer).sha256);

function withHttps() {
  const agent = new https.Agent({ keepAlive: true, lookup });
  let seen;
  const ask = async (method, target, sent) => {
    const asked = https.request(target, { agent, method }).end(sent);
    const [answer] = await once(asked, 'response');
    seen = answer.httpVersion;
    return [answer.statusCode, await whole(answer)];
  };
  return [() => `HTTP/${seen}`, ask, () => agent.destroy()];
}

function withHttp2() {
  const session = http2.connect(base, { lookup });
  const ask = async (method, target, sent) => {
    const stream = session.request({ ':method': method, ':path': target.pathname });
    stream.end(sent);
    const [head] = await once(stream, 'response');
    return [head[':status'], await whole(stream)];
  };
  return [() => (session.alpnProtocol === 'h2' ? 'HTTP/2' : session.alpnProtocol), ask, () => session.close()];
}

function withUndici(allowH2) {
  let protocol;
  channel('undici:client:connected').subscribe(({ socket }) => (protocol = socket.alpnProtocol));
  const dispatcher = new Agent({ allowH2, connect: { lookup } });
  const ask = async (method, target, sent) => {
    const answer = await request(target, { method, body: sent, dispatcher });
    return [answer.statusCode, await whole(answer.body)];
  };
  return [() => (protocol === 'h2' ? 'HTTP/2' : 'HTTP/1.1'), ask, () => dispatcher.close()];
}

async function whole(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}
