"""Every operation through its generated SDK: answers.json, each response compared with the SDK's models.

A group's cases run in order on one server; one that fails does not keep the next from running. Besides what steps.py says, a
case has `product` (`cdn` if it does not) and `only` (`python` where Node's older SDKs lack the operation or have another
shape for its answer).
"""

import base64
from urllib.parse import quote

import pytest
from cryptography import x509

from certs import Authority
from harness import Server
from products import PACKAGES, Product
from steps import load, run

CASES = [(group["name"], case) for group in load("answers.json") for case in group["cases"]]


@pytest.fixture(scope="module")
def group(certs):
    """Server, clients and saved values of a group by its name; one server runs at a time."""
    current = {}

    def enter(name):
        if current.get("name") != name:
            leave()
            running = Server(certs)
            current.update(name=name, server=running, saved={}, clients={})
            running.__enter__()
            current["clients"] = {product: Product(running, product) for product in PACKAGES}
        return current["server"], current["clients"], current["saved"]

    def leave():
        if current:
            current["server"].__exit__()
            current.clear()

    yield enter
    leave()


@pytest.mark.parametrize("name, case", CASES, ids=[f"{name}: {case['title']}" for name, case in CASES])
def test_answer(name, case, group):
    server, clients, saved = group(name)
    run(case, clients[case.get("product", "cdn")], server, saved)


def test_certificate_for_a_request(server):
    """The server creates the key and the CSR; a certificate for it is bound without the key ever leaving the server."""
    cdn, authority = Product(server, "cdn"), Authority()
    sources = '[{"content":"127.0.0.1","type":"ipaddr","port":80}]'
    cdn.call("AddCdnDomain", {"DomainName": "shop.example.com", "CdnType": "web", "Sources": sources})
    for _ in ("first", "renewal"):
        names = {"CommonName": "shop.example.com", "SANs": "shop.example.com"}
        request = x509.load_pem_x509_csr(cdn.call("CreateCdnCertificateSigningRequest", names)["Csr"].encode())
        assert request.is_signature_valid
        chain, fingerprint = authority.certify("shop.example.com", request.public_key())
        encoded = quote(base64.b64encode(chain.encode()))
        cdn.call("SetCdnDomainCSRCertificate", {"DomainName": "shop.example.com", "ServerCertificate": encoded})
        assert server.served("shop.example.com") == fingerprint
