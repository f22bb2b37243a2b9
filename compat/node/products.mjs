// The generated SDKs of several products, each answer on the wire held against the SDK's models: see ../products.py.

import assert from 'node:assert/strict';

import cas from '@alicloud/cas20200407';
import cdn from '@alicloud/cdn20180510';
import dcdn from '@alicloud/dcdn20180115';
import legacyCore from '@alicloud/openapi-client';
import core from '@alicloud/openapi-core';

import { assertTyped } from './clients.mjs';

const { $OpenApiUtil, ClientError } = core;
export const PACKAGES = { cas, cdn, dcdn };
// The newest SDK of DCDN for Node stands on the older core, whose errors have no type of their own.
const LEGACY_CORE = { dcdn };

/** One product's SDK, V3. `call` sends with the action's request model and gives the reply as the object on the wire. */
export class Product {
  constructor(server, product) {
    this.models = PACKAGES[product];
    this.legacyCore = product in LEGACY_CORE;
    const Config = this.legacyCore ? legacyCore.Config : $OpenApiUtil.Config;
    this.sdk = new this.models.default(
      new Config({
        accessKeyId: server.keyId,
        accessKeySecret: server.secret,
        endpoint: server.api,
        protocol: 'http',
      }),
    );
    const send = this.sdk.callApi.bind(this.sdk);
    this.sdk.callApi = async (...sent) => (this.wire = await send(...sent));
  }

  async call(action, params) {
    const method = action[0].toLowerCase() + action.slice(1);
    const Request = this.models[`${action}Request`];
    const response = await (Request ? this.sdk[method](requestFrom(Request, params)) : this.sdk[method]());
    assert.equal(response.statusCode, 200);
    assert.ok(!JSON.stringify(this.wire.body).includes('PRIVATE KEY'), `${action} gives a private key away`);
    assertTyped(response.body, action);
    assertSame(this.wire.body, response.body.toMap(), action);
    return this.wire.body;
  }

  isRefusal(error) {
    return this.legacyCore ? 'statusCode' in (error.data ?? {}) : error instanceof ClientError;
  }

  facts(error) {
    return { status: error.statusCode ?? error.data.statusCode, code: error.code, message: error.data.Message };
  }
}

/** A request model from parameters with their names on the wire. */
function requestFrom(Model, params) {
  const property = Object.fromEntries(Object.entries(Model.names()).map(([own, wire]) => [wire, own]));
  const types = Model.types();
  const fields = Object.entries(params).map(([wire, value]) => {
    const own = property[wire];
    assert.ok(own, `${Model.name} has no ${wire}`);
    const item = types[own].itemType;
    return [own, typeof item === 'function' ? value.map((each) => requestFrom(item, each)) : value];
  });
  return new Model(Object.fromEntries(fields));
}

/** The model took what it knows as it was sent (a newer SDK may know more), and nothing was sent as null. */
function assertSame(wire, model, where) {
  if (Array.isArray(wire)) {
    assert.equal(wire.length, model.length, where);
    wire.forEach((value, index) => assertSame(value, model[index], `${where}[${index}]`));
  } else if (wire && typeof wire === 'object') {
    for (const [name, value] of Object.entries(wire)) {
      if (name in model) assertSame(value, model[name], `${where}.${name}`);
    }
  } else {
    assert.ok(wire !== null && wire === model, `${where}: ${wire} on the wire, ${model} in the model`);
  }
}
