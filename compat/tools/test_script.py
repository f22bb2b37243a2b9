"""Scripts on the old Python SDK: V1, everything in the query; a certificate whose name exists is looked up and bound by its id."""

import pytest

from clients import OldSdk, add_domains
from steps import documented

TAKEN = {"CertNameAlreadyExists", "CertificateContent.Duplicated", "Certificate.Duplicated"}


class Script:
    def __init__(self, server):
        self.server, self.sdk = server, OldSdk(server, retry=False)
        self.lookups = 0

    def deploy(self, domain, name, material):
        params = {
            "DomainName": domain,
            "SSLProtocol": "on",
            "CertType": "upload",
            "CertName": name,
            "SSLPub": self.server.text(f"{material}.crt"),
            "SSLPri": self.server.text(f"{material}.key"),
        }
        try:
            self.sdk.call("SetCdnDomainSSLCertificate", params)
        except self.sdk.refusal as refusal:
            if refusal.get_error_code() not in TAKEN:
                raise
            self.lookups += 1
            number = self.sdk.call("DescribeCdnCertificateDetail", {"CertName": name})["CertId"]
            bound = {"DomainName": domain, "SSLProtocol": "on", "CertType": "cas", "CertId": number, "CertName": name}
            self.sdk.call("SetCdnDomainSSLCertificate", bound)


def test_sequence(server):
    script = Script(server)
    add_domains(server, "shop.example.com")
    # The second run of a day has nothing new: whichever way it takes, the certificate stays.
    for name, material in (("shop-1", "a"), ("shop-1", "a"), ("shop-2", "b"), ("shop-2", "b")):
        script.deploy("shop.example.com", name, material)
        assert server.served("shop.example.com") == server.leaf(material)

    # Other content under an existing name is refused, and the script binds the certificate of that name.
    before = script.lookups
    script.deploy("shop.example.com", "shop-1", "renewed")
    assert script.lookups == before + 1
    assert server.served("shop.example.com") == server.leaf("a")

    with pytest.raises(script.sdk.refusal) as caught:
        script.deploy("nobody.example.com", "shop-3", "renewed")
    status, code, message, _ = script.sdk.facts(caught.value)
    assert (code, status, message) == (
        "InvalidDomain.NotFound",
        *documented("InvalidDomain.NotFound", "SetCdnDomainSSLCertificate"),
    )
    with pytest.raises(script.sdk.refusal) as caught:
        script.sdk.call("DescribeCdnCertificateDetail", {"CertName": "shop-3"})
    assert script.sdk.facts(caught.value)[1] != "InvalidAction.NotFound"
