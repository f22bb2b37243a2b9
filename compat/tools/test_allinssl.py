"""allinssl: V3, only four parameters, PEM without its last line break."""

from clients import add_domains
from products import Product
from steps import expect_refusal


def test_sequence(server):
    cdn = Product(server, "cdn")
    add_domains(server, "shop.example.com")

    def params(chain, key):
        pair = {"SSLPub": server.text(chain).strip(), "SSLPri": server.text(key).strip()}
        return {"DomainName": "shop.example.com", "SSLProtocol": "on"} | pair

    # It runs on a schedule, so it sends the same certificate again before the renewal.
    for material in ("a", "a", "b"):
        cdn.call("SetCdnDomainSSLCertificate", params(f"{material}.crt", f"{material}.key"))
        assert server.served("shop.example.com") == server.leaf(material)

    expect_refusal(cdn, "SetCdnDomainSSLCertificate", params("a.crt", "b.key"), "Certificate.MissMatch")
    assert server.served("shop.example.com") == server.leaf("b")
