"""Both signatures from the standard library alone, and requests sent as raw bytes. Shares no code with Edgeseal or the SDKs."""

import base64
import datetime
import hashlib
import hmac
import http.client
import json
import uuid
from urllib.parse import quote, urlencode

from harness import split_address


def encode(text):
    return quote(text, safe="-_.~")


def canonical_query(pairs):
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in sorted(pairs))


def string_to_sign_v1(method, pairs):
    return f"{method}&{encode('/')}&{encode(canonical_query(pairs))}"


def signature_v1(secret, string_to_sign):
    mac = hmac.new(f"{secret}&".encode(), string_to_sign.encode(), hashlib.sha1)
    return base64.b64encode(mac.digest()).decode()


def canonical_request_v3(method, pairs, headers, body):
    lines = "".join(f"{name}:{value.strip()}\n" for name, value in sorted(headers))
    names = ";".join(sorted(name for name, _ in headers))
    return f"{method}\n/\n{canonical_query(pairs)}\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"


def signature_v3(secret, canonical_request):
    string_to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical_request.encode()).hexdigest()
    return hmac.new(secret.encode(), string_to_sign.encode(), hashlib.sha256).hexdigest()


def timestamp(minutes=0):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def signed_v1(server, action, params, method="GET", **common):
    """The signed parameters of a V1 request. `common` overrides common parameters; None leaves one out."""
    defaults = {
        "Action": action,
        "Version": "2018-05-10",
        "Format": "JSON",
        "AccessKeyId": server.key_id,
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureNonce": uuid.uuid4().hex,
        "Timestamp": timestamp(),
    }
    merged = {name: value for name, value in {**defaults, **common, **params}.items() if value is not None}
    return merged | {"Signature": signature_v1(server.secret, string_to_sign_v1(method, merged.items()))}


def signed_v3(server, action, params, body=b"", content_type=None, **headers):
    """Target and headers of a signed V3 POST. `headers` overrides headers, `_` stands for `-`."""
    signed = {
        "host": server.api,
        "x-acs-action": action,
        "x-acs-version": "2018-05-10",
        "x-acs-date": timestamp(),
        "x-acs-signature-nonce": uuid.uuid4().hex,
        "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type:
        signed["content-type"] = content_type
    signature = signature_v3(server.secret, canonical_request_v3("POST", params.items(), signed.items(), body))
    signed["authorization"] = (
        f"ACS3-HMAC-SHA256 Credential={server.key_id},"
        f"SignedHeaders={';'.join(sorted(set(signed) - {'authorization'}))},Signature={signature}"
    )
    return "/?" + urlencode(params), signed


class Answer:
    """A response: `status`, `headers` (lower-case names), `body` (bytes)."""

    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)


def send(server, method, target, headers=None, body=None):
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(*split_address(server.api), timeout=30)
    try:
        connection.request(method, target, body=body, headers=headers or {})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def get(server, params):
    return send(server, "GET", "/?" + urlencode(params))


def post_form(server, target, params):
    return send(server, "POST", target, {"content-type": "application/x-www-form-urlencoded"}, urlencode(params))
