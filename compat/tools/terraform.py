"""What the resources of the Terraform provider `alicloud` share.

V1; the common parameters, the signature and what a resource calls its query travel in the query, all else in the form of a
POST. What it polls for is awaited without a pause: a state that is not reached within `POLLS` answers is never reached.

A resource is its `config` (what is written in a configuration) and what `read` gives (what a refresh sets). `plan` holds
one against the other as Terraform does: an attribute that the configuration leaves out is whatever the read says.
"""

import json
from urllib.parse import urlencode

import pytest

from signer import post_form, signed_v1
from steps import documented

CDN = "2018-05-10"
DCDN = "2018-01-15"
CAS = "2020-04-07"
CAS_NAMES = "2018-08-13"
RAM = "2015-05-01"

COMMON = {
    *("Action", "Version", "Format", "AccessKeyId", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp"),
    "Signature",
}
RETRIED = {"ServiceBusy", "ServiceUnavailable"}
POLLS = 50


class Refused(Exception):
    """An SDK error: `code`, `status`, `message`."""

    def __init__(self, status, body):
        super().__init__(body)
        self.status, self.code, self.message = status, body["Code"], body["Message"]


class Provider:
    def __init__(self, server, version=CDN):
        self.server, self.version = server, version

    def request(self, action, params, query=None, version=None):
        """Makes one call; retries while the domain is busy or the account is throttled."""
        for _ in range(POLLS):
            try:
                return self._request(action, params, query or {}, version or self.version)
            except Refused as refusal:
                if refusal.code not in RETRIED and not refusal.code.startswith("Throttling"):
                    raise
        raise AssertionError(f"{action} is refused for ever")

    def _request(self, action, params, query, version):
        given = {name: str(value) for name, value in (params | query).items()}
        signed = signed_v1(self.server, action, given, method="POST", Format="json", Version=version)
        in_query = COMMON | set(query)
        target = {name: value for name, value in signed.items() if name in in_query}
        form = {name: value for name, value in signed.items() if name not in in_query}
        answer = post_form(self.server, "/?" + urlencode(target), form)
        # The provider also treats a response of status 200 with a Code as an error.
        if answer.status != 200 or "Code" in answer.json:
            raise Refused(answer.status, answer.json)
        return answer.json


def settled(state, wanted):
    """Polls `state` until it returns the expected value."""
    for _ in range(POLLS):
        seen = state()
        if seen == wanted:
            return
    raise AssertionError(f"it is {seen!r}, and never {wanted!r}")


def absent(code, call, *arguments):
    """Asserts that the call fails with a code that the provider reads as "not found"."""
    with pytest.raises(Refused) as caught:
        call(*arguments)
    assert caught.value.code == code


def refused(provider, action, params, code, **further):
    with pytest.raises(Refused) as caught:
        provider.request(action, params, **further)
    assert (caught.value.code, caught.value.status, caught.value.message) == (code, *documented(code, action))


def plan(config, state):
    """What a plan would change: attribute → (configured, read). Sets are compared as sets, documents as JSON."""
    return {
        name: (value, state.get(name)) for name, value in config.items() if not _equal(value, state.get(name))
    }


def _equal(one, other):
    if isinstance(one, list):
        return isinstance(other, list) and sorted(map(repr, one)) == sorted(map(repr, other))
    if isinstance(one, str) and one.startswith("{"):
        return isinstance(other, str) and json.loads(one) == json.loads(other)
    return type(one) is type(other) and one == other


def attributes(answer, names):
    """The members of a response that a resource sets, under the resource's attribute names."""
    return {own: answer[field] for own, field in names.items() if answer.get(field) is not None}


def key_values(tags):
    """Tags as a map, whatever their two members are called."""
    return {tag.get("TagKey", tag.get("Key")): tag.get("TagValue", tag.get("Value")) for tag in tags}


def numbered(name, values):
    """`Tag.1.Key`, `Tag.1.Value`, … of a map."""
    pairs = enumerate(values.items(), 1)
    return {f"{name}.{at}.{part}": value for at, pair in pairs for part, value in zip(("Key", "Value"), pair)}
