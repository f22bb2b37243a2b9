"""Runs the steps of story.json and refusals.json through a client.

A step: `call` with `params`; then `reply` (path → expectation) or `refused` (wire code), and `served` (server name →
material, or null for a refused handshake). In params `@FILE` is a material's text, `%FILE` the same in base64 and
percent-encoded, and `$NAME` a value saved before. An expectation is a literal of the same type, `{"like": regex}`,
`{"unlike": literal}`, `{"integer": true}`, `{"least": integer}`, `{"count": length}`, `{"absent": true}`; with `{"save": NAME}`
the value is kept. The handshake happens right after the answer, once: what was answered is served.
"""

import base64
import json
import pathlib
import re
from urllib.parse import quote

from harness import documented_refusals

FOLDER = pathlib.Path(__file__).parent
REQUEST_ID = re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")
REFUSALS = documented_refusals()


def load(name):
    return json.loads((FOLDER / name).read_text())


def run(step, client, server, saved):
    """Runs one step; `saved` holds the values kept so far."""
    params = {name: _filled(value, server, saved) for name, value in step["params"].items()}
    if "refused" in step:
        expect_refusal(client, step["call"], params, step["refused"])
    else:
        reply = client.call(step["call"], params)
        assert REQUEST_ID.fullmatch(reply["RequestId"]), reply["RequestId"]
        for path, expected in step.get("reply", {}).items():
            _expect(path, at(reply, path), expected, saved)
    expect_served(server, step.get("served", {}))


def expect_refusal(client, action, params, code):
    """The call raises the client's own exception, with status, code and message as documented."""
    try:
        client.call(action, params)
    except client.refusal as refusal:
        status, actual_code, message, request_id = client.facts(refusal)
        assert (actual_code, status, message) == (code, *documented(code, action))
        assert REQUEST_ID.fullmatch(request_id), request_id
        return refusal
    raise AssertionError(f"{action} was not refused with {code}")


def documented(code, action):
    """HTTP status and message of a code, from spec/errors.tsv for this action; CDN's if RAM has the same code."""
    for where in (action, f"cdn:{action}", f"ram:{action}", "cdn", "gateway"):
        if (code, where) in REFUSALS:
            return REFUSALS[code, where]
    raise AssertionError(f"spec/errors.tsv has no {code} for {action}")


def expect_served(server, served):
    for name, material in served.items():
        expected = material and server.leaf(material)
        assert server.served(name) == expected, f"{name} is not served with {material}"


def _filled(value, server, saved):
    if isinstance(value, str) and value.startswith("@"):
        return server.text(value[1:])
    if isinstance(value, str) and value.startswith("%"):
        return quote(base64.b64encode(server.text(value[1:]).encode()))
    if isinstance(value, str) and value.startswith("$"):
        kept = str(saved[value[1:]])
        return int(kept) if kept.isdigit() else kept
    return value


def at(reply, path):
    """The value at a dotted path; None if there is none."""
    for part in path.split("."):
        if isinstance(reply, list):
            reply = reply[int(part)] if int(part) < len(reply) else None
        else:
            reply = reply.get(part) if isinstance(reply, dict) else None
    return reply


def _expect(path, actual, expected, saved):
    if isinstance(expected, dict):
        assert (actual is None) == ("absent" in expected), f"{path}: {actual!r}"
        if "count" in expected:
            assert isinstance(actual, list) and len(actual) == expected["count"], f"{path}: {actual!r}"
        if "like" in expected:
            assert isinstance(actual, str), f"{path}: {actual!r} is no string"
            assert re.search(expected["like"], actual), f"{path}: {actual!r} is not like {expected['like']!r}"
        if "unlike" in expected:
            assert actual != _literal(expected["unlike"], saved), f"{path}: {actual!r}"
        if "integer" in expected:
            assert type(actual) is int, f"{path}: {actual!r} is no integer"
        if "least" in expected:
            assert type(actual) is int and actual >= expected["least"], f"{path}: {actual!r}"
        if "save" in expected:
            saved[expected["save"]] = actual
    else:
        literal = _literal(expected, saved)
        assert (type(actual), actual) == (type(literal), literal), f"{path}: {actual!r}, expected {literal!r}"


def _literal(expected, saved):
    return saved[expected[1:]] if isinstance(expected, str) and expected.startswith("$") else expected
