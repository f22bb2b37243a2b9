"""An OpenID Connect identity provider for the tests: keys, a key set, valid and invalid tokens."""

import base64
import datetime
import hashlib
import hmac
import http.server
import ipaddress
import json
import ssl
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509.oid import NameOID

ISSUER = "https://issuer.example"


class Key:
    """A key of the provider: RS256 or ES256."""

    def __init__(self, kid, algorithm):
        self.kid, self.algorithm = kid, algorithm
        if algorithm == "RS256":
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        else:
            self.private = ec.generate_private_key(ec.SECP256R1())

    def jwk(self):
        numbers = self.private.public_key().public_numbers()
        if self.algorithm == "RS256":
            members = {"kty": "RSA", "n": encode_number(numbers.n, 256), "e": encode_number(numbers.e, 3)}
        else:
            members = {"kty": "EC", "crv": "P-256", "x": encode_number(numbers.x, 32), "y": encode_number(numbers.y, 32)}
        return {"kid": self.kid, "use": "sig", "alg": self.algorithm, **members}

    def public_pem(self):
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, signed):
        if self.algorithm == "RS256":
            return self.private.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        r, s = utils.decode_dss_signature(self.private.sign(signed, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    def token(self, header=None, sign=None, **claims):
        """A token signed by this key; `header` and `claims` are changed members, `sign` signs in its place."""
        now = int(time.time())
        header = {"alg": self.algorithm, "kid": self.kid, "typ": "JWT", **(header or {})}
        claims = {"iss": ISSUER, "aud": "edgeseal", "sub": "repo:web/shop:main", "iat": now, "exp": now + 300, **claims}
        signed = ".".join(encode(json.dumps(part).encode()) for part in (header, claims))
        return f"{signed}.{encode((sign or self.sign)(signed.encode()))}"

    def confused_token(self):
        """HS256 with the public key, which is known to all, as the secret."""
        return self.token({"alg": "HS256"}, lambda signed: hmac.digest(self.public_pem(), signed, hashlib.sha256))


def key_set(*keys):
    return json.dumps({"keys": [key.jwk() for key in keys]})


class HttpsKeys:
    """A key set at an https:// address, with a certificate that only `ca_file` verifies. A context manager."""

    def __init__(self, folder, *keys):
        self.ca_file, self.key_file = folder / "issuer.crt", folder / "issuer.key"
        body = key_set(*keys).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        write_self_signed(self.ca_file, self.key_file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca_file, self.key_file)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_port}/keys"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def write_self_signed(cert_file, key_file):
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer of the tests")])
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def encode(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def encode_number(number, length):
    return encode(number.to_bytes(length))
