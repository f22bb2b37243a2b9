"""A second certificate through each client: `Companion`, which no generated model knows, goes as a parameter of
a generic call; then each client gets the certificate that it can verify."""

import hashlib
import re
import ssl
import subprocess

import pytest

from clients import CLIENTS, add_domains
from harness import split_address

NAME = "shop.example.com"
ECDSA, RSA = "ECDSA+SHA256", "RSA-PSS+SHA256:RSA+SHA256"
# The materials `a` and `b` of certs.py have an ECDSA and an RSA key.


@pytest.mark.parametrize("client", CLIENTS)
def test_each_visitor_is_shown_what_it_can_check(client, server):
    sdk = CLIENTS[client](server)
    add_domains(server, NAME)
    sdk.call("SetCdnDomainSSLCertificate", upload(server, "a"))
    sdk.call("SetCdnDomainSSLCertificate", upload(server, "b") | {"Companion": "true"})
    assert shown(server, ECDSA) == server.leaf("a")
    assert shown(server, RSA) == server.leaf("b")
    infos = sdk.call("DescribeDomainCertificateInfo", {"DomainName": NAME})["CertInfos"]["CertInfo"]
    assert [info["CertName"] for info in infos] == ["a", "b"]

    with pytest.raises(sdk.refusal) as refused:
        sdk.call("SetCdnDomainSSLCertificate", upload(server, "a") | {"Companion": "true"})
    assert sdk.facts(refused.value)[1] == "SetDomainCertificate.ParameterError"

    sdk.call("SetCdnDomainSSLCertificate", upload(server, "renewed"))
    assert shown(server, ECDSA) == server.leaf("renewed")
    assert shown(server, RSA) is None, "a call without Companion replaces both"


def upload(server, name):
    return {
        "DomainName": NAME,
        "SSLProtocol": "on",
        "CertName": name,
        "SSLPub": server.text(f"{name}.crt"),
        "SSLPri": server.text(f"{name}.key"),
    }


def shown(server, algorithms):
    """SHA-256 of the leaf that a client with these signature schemes gets; None if it gets none."""
    host, port = split_address(server.https)
    command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", NAME, "-sigalgs", algorithms]
    said = subprocess.run(command, input="", capture_output=True, text=True, timeout=30).stdout
    leaf = re.search("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", said, re.S)
    return leaf and hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf[0])).hexdigest()
