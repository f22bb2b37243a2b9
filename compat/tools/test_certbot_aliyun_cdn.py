"""certbot-aliyun-cdn 0.1.0, its own client: V1 GET, Version 2014-11-11, `TimeStamp`.

Its certbot plugin runs on Python 2 alone; the client under it, unmodified, is called here as the plugin calls it.
"""

import http.client
import re

import pytest
from certbot_aliyun_cdn.client import CDN
from cryptography import x509

from clients import NewSdk, add_domains
from harness import split_address
from steps import documented


def client(server, secret=None):
    cdn = CDN()
    cdn.ENDPOINT = f"http://{server.api}"
    cdn.set_credentials(server.key_id, secret or server.secret)
    return cdn


def plain_http(server, name):
    """Status and Location of a response over plain HTTP."""
    server.await_edge()
    connection = http.client.HTTPConnection(*split_address(server.http), timeout=10)
    try:
        connection.request("GET", "/page?q=1", headers={"host": name})
        answer = connection.getresponse()
        return answer.status, answer.getheader("location")
    finally:
        connection.close()


def test_sequence(server):
    cdn = client(server)
    add_domains(server, "shop.example.com", "stopped.example.com", *(f"{n}.example.net" for n in range(19)))
    NewSdk(server).call("StopCdnDomain", {"DomainName": "stopped.example.com"})
    # It uses the page size that the server returns; 20 online domains are one page, so add one more.
    add_domains(server, "one-more.example.net")
    listed = list(cdn.list_domains())
    assert len(listed) == len(set(listed)) == 21
    assert "shop.example.com" in listed and "stopped.example.com" not in listed

    assert cdn.call("DescribeCdnService")["OpeningTime"]
    assert cdn.check_expiratoin("shop.example.com"), "no certificate yet: one is due"
    for material in ("a", "renewed"):
        cdn.install_cert("shop.example.com", (server.text(f"{material}.crt"), server.text(f"{material}.key")))
        assert server.served("shop.example.com") == server.leaf(material)
        told = cdn.get_domain("shop.example.com")
        assert told["ServerCertificateStatus"] == "on"
        assert x509.load_pem_x509_certificate(told["ServerCertificate"].encode()) == x509.load_pem_x509_certificate(
            server.text(f"{material}.crt").encode()
        )
        assert not cdn.check_expiratoin("shop.example.com", leeway=45)
    assert cdn.check_expiratoin("shop.example.com", leeway=121)

    cdn.set_redirect("shop.example.com", True)
    assert plain_http(server, "shop.example.com") == (301, "https://shop.example.com/page?q=1")
    cdn.set_redirect("shop.example.com", False)
    assert plain_http(server, "shop.example.com")[0] not in (301, 302, 307, 308)


def test_refusals(server):
    cdn = client(server)
    add_domains(server, "shop.example.com")
    cdn.install_cert("shop.example.com", (server.text("a.crt"), server.text("a.key")))

    def refused(code):
        return pytest.raises(ValueError, match=re.escape(documented(code, "SetDomainServerCertificate")[1]))

    # It names a certificate after its day of expiry, so it cannot distinguish two of one day.
    with refused("Certificate.Duplicated"):
        cdn.install_cert("shop.example.com", (server.text("b.crt"), server.text("b.key")))
    with refused("Certificate.MissMatch"):
        cdn.install_cert("shop.example.com", (server.text("renewed.crt"), server.text("a.key")))
    with refused("InvalidDomain.NotFound"):
        cdn.install_cert("nobody.example.com", (server.text("a.crt"), server.text("a.key")))
    with pytest.raises(ValueError, match="signature"):
        client(server, "not-the-secret").get_domain("shop.example.com")
    assert server.served("shop.example.com") == server.leaf("a")
