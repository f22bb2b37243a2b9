// The official Node clients, unmodified, behind one small surface.
//
// Each has `call(action, params)`, which sends the request with that client's own types and returns the reply as an
// object with the wire's names; `isRefusal(error)`; and `facts(error)`: status, code, message as that client reports them.

import assert from 'node:assert/strict';

import cdn from '@alicloud/cdn20180510';
import core from '@alicloud/openapi-core';
import RPCClient from '@alicloud/pop-core';

const { $OpenApiUtil, ClientError } = core;
const EDGESEAL_ACTIONS = new Set(['SetDomainMode']);

const versionOf = (action) => (EDGESEAL_ACTIONS.has(action) ? '2026-12-01' : '2018-05-10');

/** `@alicloud/cdn20180510`: request and response models, V3. */
class NewSdk {
  constructor(server, { keyId = server.keyId, secret = server.secret } = {}) {
    this.sdk = new cdn.default(
      new $OpenApiUtil.Config({
        accessKeyId: keyId,
        accessKeySecret: secret,
        endpoint: server.api,
        protocol: 'http',
        signatureAlgorithm: this.constructor.algorithm,
      }),
    );
  }

  async call(action, params) {
    const method = action[0].toLowerCase() + action.slice(1);
    const Request = cdn[`${action}Request`];
    if (!Request || !this.sdk[method]) return this.#genericCall(action, params);
    const property = Object.fromEntries(Object.entries(Request.names()).map(([own, wire]) => [wire, own]));
    const request = new Request(Object.fromEntries(Object.entries(params).map(([wire, value]) => [property[wire], value])));
    const response = await this.sdk[method](request);
    assert.equal(response.statusCode, 200);
    assertTyped(response.body, 'body');
    return response.body.toMap();
  }

  async #genericCall(action, query) {
    const description = new $OpenApiUtil.Params({
      action,
      version: versionOf(action),
      protocol: 'HTTP',
      method: 'POST',
      authType: 'AK',
      style: 'RPC',
      pathname: '/',
      reqBodyType: 'json',
      bodyType: 'json',
    });
    const answer = await this.sdk.callApi(description, new $OpenApiUtil.OpenApiRequest({ query }), {});
    return answer.body;
  }

  isRefusal(error) {
    return error instanceof ClientError;
  }

  facts(error) {
    const { Message: message, RequestId: requestId } = error.data;
    assert.equal(error.message, `${error.code}: code: ${error.statusCode}, ${message} request id: ${requestId}`);
    return { status: error.statusCode, code: error.code, message };
  }
}

/** The same client with the older signature. */
class NewSdkV1 extends NewSdk {
  static algorithm = 'v2';
}

/** `@alicloud/pop-core` with its default method, GET: everything in the query. */
class PopCoreGet {
  options = {};

  constructor(server, { keyId = server.keyId, secret = server.secret } = {}) {
    this.connect = (apiVersion) =>
      new RPCClient({ endpoint: `http://${server.api}`, apiVersion, accessKeyId: keyId, accessKeySecret: secret });
  }

  call(action, params) {
    return this.connect(versionOf(action)).request(action, params, { ...this.options });
  }

  isRefusal(error) {
    return error.name === `${error.code}Error`;
  }

  facts(error) {
    assert.ok(error.message.startsWith(`${error.data.Message}, URL: `));
    return { status: error.entry.response.statusCode, code: error.code, message: error.data.Message };
  }
}

/** The same with `{method: 'POST'}`: everything in a form body. */
export class PopCorePost extends PopCoreGet {
  options = { method: 'POST' };
}

export const CLIENTS = {
  'cdn20180510-v3': NewSdk,
  'cdn20180510-v1': NewSdkV1,
  'pop-core-get': PopCoreGet,
  'pop-core-post': PopCorePost,
};

/** Every property of a response model has the type that the SDK declares for it. */
export function assertTyped(value, where) {
  for (const [name, declared] of Object.entries(value.constructor.types())) {
    if (value[name] !== undefined && value[name] !== null) assertType(value[name], declared, `${where}.${name}`);
  }
}

function assertType(value, declared, where) {
  if (typeof declared === 'string') {
    assert.equal(typeof value, declared, where);
  } else if (declared.type === 'array') {
    assert.ok(Array.isArray(value), where);
    value.forEach((item, index) => assertType(item, declared.itemType, `${where}[${index}]`));
  } else if (typeof declared === 'function') {
    assertTyped(value, where);
  }
}
