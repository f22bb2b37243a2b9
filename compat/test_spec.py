"""The data of spec/ is correct: independent code recomputes every signature in it."""

import hashlib
import json
from urllib.parse import parse_qsl, urlsplit

import pytest

import signer
from harness import ROOT, table

SPEC = ROOT / "spec"
CAPTURED = sorted((SPEC / "wire").glob("*.http"))


@pytest.mark.parametrize("path", sorted((SPEC / "signature").glob("v1-*.json")), ids=lambda path: path.stem)
def test_v1_vector(path):
    vector = json.loads(path.read_text())
    string_to_sign = signer.string_to_sign_v1(vector["method"], map(tuple, vector["params"]))
    assert string_to_sign == vector["string_to_sign"]
    assert signer.signature_v1(vector["secret"], string_to_sign) == vector["signature"]


@pytest.mark.parametrize("path", sorted((SPEC / "signature").glob("v3-*.json")), ids=lambda path: path.stem)
def test_v3_vector(path):
    vector = json.loads(path.read_text())
    canonical = signer.canonical_request_v3(
        vector["method"], map(tuple, vector["params"]), list(map(tuple, vector["headers"])), vector["body"].encode()
    )
    assert canonical == vector["canonical_request"]
    assert hashlib.sha256(canonical.encode()).hexdigest() == vector["canonical_request_sha256"]
    assert signer.signature_v3(vector["secret"], canonical) == vector["signature"]


@pytest.mark.parametrize("path", CAPTURED, ids=lambda path: path.stem)
def test_captured_request(path):
    head, body = path.read_bytes().split(b"\r\n\r\n", 1)
    request_line, *lines = head.decode().split("\r\n")
    method, target, _ = request_line.split(" ")
    headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
    query = parse_qsl(urlsplit(target).query, keep_blank_values=True)
    assert int(headers.get("content-length", 0)) == len(body)
    if "authorization" in headers:
        facts = dict(part.split("=", 1) for part in headers["authorization"].split(" ", 1)[1].split(","))
        signed = [(name, headers[name]) for name in facts["SignedHeaders"].split(";")]
        canonical = signer.canonical_request_v3(method, query, signed, body)
        assert signer.signature_v3("testsecret", canonical) == facts["Signature"]
    else:
        params = dict(query + parse_qsl(body.decode(), keep_blank_values=True))
        signature = params.pop("Signature")
        string_to_sign = signer.string_to_sign_v1(method, params.items())
        assert signer.signature_v1("testsecret", string_to_sign) == signature


def test_error_table():
    rows = table("errors.tsv")
    assert all(all(row.values()) for row in rows)
    facts = [(row["status"], row["code"], row["message"]) for row in rows]
    assert len(facts) == len(set(facts))
    documented = [row for row in rows if "SetCdnDomainSSLCertificate" in row["where"].split(",") and row["source"] == "doc"]
    own = [row["code"] for row in documented if row["code"] not in COMMON_CODES]
    assert len(own) == len(set(own)) == 32


def test_action_table():
    rows = table("actions.tsv")
    assert all(all(row.values()) for row in rows)
    keys = [(row["product"], row["version"], row["action"]) for row in rows]
    assert len(keys) == len(set(keys))
    for row in rows:
        assert row["access"] in ("read", "write")
        assert (row["rate"] == "-") == (row["window_s"] == "-")
    named = {row["action"] for row in rows}
    for error in table("errors.tsv"):
        # A `!` marks what the cloud answers there and Edgeseal never does. A product stands before an action that another
        # product has too and that answers differently.
        where = {name.removesuffix("!").rpartition(":")[2] for name in error["where"].split(",")}
        assert where - {"gateway", "cdn"} <= named


COMMON_CODES = {"MissingDomainName", "InvalidDomainName.Malformed", "InvalidDomain.NotFound", "ServiceBusy"}
