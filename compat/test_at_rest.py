"""The data directory contains no secret in plaintext."""

import urllib.request

from cryptography.hazmat.primitives.serialization import load_pem_private_key

from clients import NewSdk

SOURCES = '[{"content":"127.0.0.1","type":"ipaddr","port":80}]'
# This file contains the first secret, for the operator.
HANDED_OUT = "credentials.json"


def test_data_directory(server):
    sdk = NewSdk(server)
    sdk.call("AddCdnDomain", {"DomainName": "shop.example.com", "CdnType": "web", "Sources": SOURCES})
    for name in ("a", "b"):
        material = {"SSLPub": server.text(f"{name}.crt"), "SSLPri": server.text(f"{name}.key")}
        sdk.call("SetCdnDomainSSLCertificate", {"DomainName": "shop.example.com", "SSLProtocol": "on", **material})
        assert server.served("shop.example.com") == server.leaf(name)

    files = {path: path.read_bytes() for path in server.data.rglob("*") if path.is_file() and path.name != HANDED_OUT}
    leaf = server.leaf_der("b")
    assert any(leaf in content for content in files.values()), "the public part is there: this is where the store writes"
    for what, secret in secrets(server).items():
        assert not [path.name for path, content in files.items() if secret in content], what


def test_admin_pages(server):
    """Metrics and log contain no secrets either."""
    for page in ("/healthz", "/readyz", "/metrics"):
        with urllib.request.urlopen(f"http://{server.admin}{page}", timeout=10) as answer:
            assert server.secret.encode() not in answer.read()


def secrets(server):
    """The bytes that make each private key private, and the access-key secret."""
    elliptic = load_pem_private_key(server.text("a.key").encode(), None).private_numbers()
    rsa = load_pem_private_key(server.text("b.key").encode(), None).private_numbers()
    return {
        "the scalar of a P-256 key": elliptic.private_value.to_bytes(32, "big"),
        "a prime of an RSA key": rsa.p.to_bytes(128, "big"),
        "the other prime": rsa.q.to_bytes(128, "big"),
        "the PEM label of a key": b"PRIVATE KEY",
        "the access-key secret": server.secret.encode(),
    }
