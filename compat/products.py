"""The generated SDK of every product, with each response on the wire compared with the SDK's models.

A model takes whatever type arrives and drops what it does not know, so that a number sent as a string, or a field with a
wrong name, goes unnoticed where it is read. Here every field must be one that the model has, with the type that it declares.
"""

import importlib
import inspect
import json

from alibabacloud_tea_openapi import utils_models
from alibabacloud_tea_openapi.exceptions import ClientException

import go_models
from clients import NewSdk, assert_typed
from harness import split_address

PACKAGES = {
    "cas": "alibabacloud_cas20200407",
    "cdn": "alibabacloud_cdn20180510",
    "dcdn": "alibabacloud_dcdn20180115",
    "ram": "alibabacloud_ram20150501",
}

# Warnings, in the response to any call that takes a certificate. Models ignore them.
WARNINGS = {"Warnings"}
# Edgeseal's other additional members, by action.
ADDED = {
    # ok, mismatch, expired, expire_soon: the cloud returns them in the list of HTTPS domains only. Why an order failed.
    "DescribeDomainCertificateInfo": {"CertStatus", "OrderFailure"},
    "DescribeDcdnDomainCertificateInfo": {"OrderFailure"},
    # The end of the served chain, which may come before that of the certificate.
    "DescribeCdnHttpsDomainList": {"ChainExpireTime"},
    # What is left of the account's quotas, and those that the CDN does not tell.
    "DescribeCdnUserQuota": {
        "DomainRemain",
        "CertificateQuota",
        "CertificateRemain",
        "CsrKeyQuota",
        "CsrKeyRemain",
    },
    # Whether the edge applies the function or it is only stored.
    "DescribeCdnDomainConfigs": {"Effect"},
    "DescribeCdnDomainStagingConfig": {"Effect"},
    "DescribeDcdnDomainConfigs": {"Effect"},
    # Why, in a sentence.
    "DecodeDiagnosticMessage": {"Reason"},
    "ListWorkerResource": {"Detail"},
}


class Product:
    """One product's SDK, V3. `call` sends with the action's request model and gives the reply as a dictionary."""

    refusal = ClientException
    facts = staticmethod(NewSdk.facts)

    def __init__(self, server, product, host=None, key=None):
        """`host` stands in the Host header in place of the server's address, which it must resolve to; `key` is an access
        key with its secret, the root account's if there is none."""
        self.product = product
        endpoint = f"{host}:{split_address(server.api)[1]}" if host else server.api
        self.models = importlib.import_module(f"{PACKAGES[product]}.models")
        self.sdk = importlib.import_module(f"{PACKAGES[product]}.client").Client(
            utils_models.Config(
                access_key_id=key[0] if key else server.key_id,
                access_key_secret=key[1] if key else server.secret,
                endpoint=endpoint,
                protocol="http",
            )
        )
        self.methods = {
            name.replace("_", ""): method
            for name, method in inspect.getmembers(self.sdk, inspect.ismethod)
            if not name.endswith(("_async", "_with_options"))
        }
        self._observe()

    def call(self, action, params):
        method = self.methods[action.lower()]
        arguments = []
        if inspect.signature(method).parameters:
            request = getattr(self.models, f"{action}Request")()
            request.from_map(params)
            taken = {name for name, value in request.to_map().items() if value not in (None, [])}
            assert taken == set(params), f"{action}Request has only {sorted(taken)} of {sorted(params)}"
            arguments.append(request)
        response = method(*arguments)
        assert response.status_code == 200
        wire, body = self.wire["body"], response.body
        assert "PRIVATE KEY" not in json.dumps(wire), f"{action} gives a private key away"
        assert_typed(body)
        assert_same(wire, body.to_map(), action, ADDED.get(action, set()) | WARNINGS)
        go_models.check(self.product, action, wire)
        return wire

    def _observe(self):
        """Keeps the response on the wire, before it becomes a model."""
        send = self.sdk.call_api

        def call_api(*arguments):
            self.wire = send(*arguments)
            return self.wire

        self.sdk.call_api = call_api


def assert_same(wire, model, where, added=frozenset()):
    """The model took every field that was sent, and nothing was sent as null. A list that was not sent is empty there."""
    if isinstance(wire, dict):
        unknown = set(wire) - set(model) - added
        assert not unknown, f"{where}: the model does not know {sorted(unknown)}"
        assert not any(model[name] for name in set(model) - set(wire)), where
        for name in set(wire) & set(model):
            assert_same(wire[name], model[name], f"{where}.{name}", added)
    elif isinstance(wire, list):
        assert len(wire) == len(model), where
        for index, value in enumerate(wire):
            assert_same(value, model[index], f"{where}[{index}]", added)
    else:
        assert wire is not None and wire == model, f"{where}: {wire!r} on the wire, {model!r} in the model"
