"""https-cert/deploy: V3, everything in the query of a POST; a domain with HTTPS enabled, a named upload, then a read of the binding."""

import time

import pytest

from clients import add_domains
from products import Product
from steps import at, expect_refusal

PRODUCTS = {
    # product: read before, value that must be "on", write, read after
    "cdn": (
        "DescribeCdnDomainDetail",
        "GetDomainDetailModel.ServerCertificateStatus",
        "SetCdnDomainSSLCertificate",
        "DescribeDomainCertificateInfo",
    ),
    "dcdn": (
        "DescribeDcdnDomainDetail",
        "DomainDetail.SSLProtocol",
        "SetDcdnDomainSSLCertificate",
        "DescribeDcdnDomainCertificateInfo",
    ),
}
POLLS = 20


class HttpsIsOff(Exception):
    """An error that the tool itself raises."""


class HttpsCert:
    def __init__(self, server, product):
        self.server, self.sdk = server, Product(server, product)
        self.preflight, self.https, self.write, self.readback = PRODUCTS[product]

    def deploy(self, domain, material):
        detail = self.sdk.call(self.preflight, {"DomainName": domain})
        assert at(detail, f"{self.https.split('.')[0]}.DomainName") == domain
        if at(detail, self.https) != "on":
            raise HttpsIsOff
        name = f"https-cert-{time.time_ns()}"
        self.sdk.call(self.write, self.params(domain, name, f"{material}.crt", f"{material}.key"))
        assert any(self._is_bound(domain, name) for _ in range(POLLS))

    def params(self, domain, name, chain, key):
        pair = {"SSLPub": self.server.text(chain), "SSLPri": self.server.text(key)}
        return {"CertName": name, "CertType": "upload", "DomainName": domain, "SSLProtocol": "on"} | pair

    def _is_bound(self, domain, name):
        infos = self.sdk.call(self.readback, {"DomainName": domain})["CertInfos"]["CertInfo"]
        assert all(info["Status"] in ("success", "applying") for info in infos)
        return any(info["CertName"] == name for info in infos)


@pytest.mark.parametrize("product", PRODUCTS)
def test_sequence(server, product):
    tool = HttpsCert(server, product)
    add_domains(server, "shop.example.com")
    with pytest.raises(HttpsIsOff):
        tool.deploy("shop.example.com", "a")

    # HTTPS is enabled once by hand.
    tool.sdk.call(tool.write, tool.params("shop.example.com", "by-hand", "a.crt", "a.key"))
    for material in ("b", "renewed"):
        tool.deploy("shop.example.com", material)
        assert server.served("shop.example.com") == server.leaf(material)

    taken = tool.params("shop.example.com", "by-hand", "renewed.crt", "renewed.key")
    expect_refusal(tool.sdk, tool.write, taken, "CertNameAlreadyExists")
    mixed = tool.params("shop.example.com", "mixed", "a.crt", "b.key")
    expect_refusal(tool.sdk, tool.write, mixed, "Certificate.MissMatch")
    expect_refusal(tool.sdk, tool.preflight, {"DomainName": "nobody.example.com"}, "InvalidDomain.NotFound")
    assert server.served("shop.example.com") == server.leaf("renewed")
