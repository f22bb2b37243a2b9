"""`CertType=free` through each client, with a real authority that validates at the edge: set, polled until it is issued,
shown in the handshake, switched off; and what is said when no certificate comes."""

import hashlib
import ssl

import pytest

from clients import CLIENTS, add_domains
from harness import eventually
from products import Product
from steps import expect_refusal

ORDER = {"SSLProtocol": "on", "CertType": "free"}
FORCE_HTTPS = '[{"functionName":"https_force","functionArgs":[{"argName":"enable","argValue":"on"}]}]'


@pytest.mark.parametrize("client", CLIENTS)
def test_an_order_from_the_call_to_the_handshake(client, issuing):
    sdk, name = CLIENTS[client](issuing), f"{client}.example.com"
    add_domains(issuing, name)
    order_and_wait(sdk, issuing, name)
    before = issuing.served(name)
    # Again changes nothing; off ends it.
    sdk.call("SetCdnDomainSSLCertificate", ORDER | {"DomainName": name})
    assert (info(sdk, name)["Status"], issuing.served(name)) == ("success", before)
    sdk.call("SetCdnDomainSSLCertificate", {"DomainName": name, "SSLProtocol": "off"})
    assert issuing.served(name) is None
    assert info(sdk, name)["ServerCertificateStatus"] == "off"
    # It is still good, so that nothing is ordered.
    sdk.call("SetCdnDomainSSLCertificate", ORDER | {"DomainName": name})
    assert issuing.served(name) == before


def order_and_wait(sdk, server, name):
    sdk.call("SetCdnDomainSSLCertificate", ORDER | {"DomainName": name})
    first = info(sdk, name)
    assert first["CertType"] == "free" and first["Status"] in ("applying", "success"), first
    # Other options are set meanwhile, even a redirect of what the authority asks for.
    sdk.call("BatchSetCdnDomainConfig", {"DomainNames": name, "Functions": FORCE_HTTPS})

    def issued():
        shown = info(sdk, name)
        assert shown["Status"] in ("applying", "success"), shown
        return shown if shown["Status"] == "success" else None

    shown = eventually(f"the certificate for {name}", issued)
    assert (shown["CertType"], shown["ServerCertificateStatus"], shown["CertDomainName"]) == ("free", "on", name)
    leaf = ssl.PEM_cert_to_DER_cert(shown["ServerCertificate"].split("-----END", 1)[0] + "-----END CERTIFICATE-----\n")
    assert server.served(name) == hashlib.sha256(leaf).hexdigest()
    configs = sdk.call("DescribeCdnDomainConfigs", {"DomainName": name, "FunctionNames": "https_force"})
    assert configs["DomainConfigs"]["DomainConfig"][0]["FunctionName"] == "https_force"


def test_dcdn_orders_and_shows_the_same(issuing):
    dcdn, name = Product(issuing, "dcdn"), "dcdn.example.com"
    add_domains(issuing, name)
    dcdn.call("SetDcdnDomainSSLCertificate", ORDER | {"DomainName": name})

    def issued():
        shown = dcdn.call("DescribeDcdnDomainCertificateInfo", {"DomainName": name})["CertInfos"]["CertInfo"][0]
        assert shown["Status"] in ("applying", "success"), shown
        return shown if shown["Status"] == "success" else None

    assert eventually("the certificate", issued)["CertType"] == "free"
    assert issuing.served(name)


def test_a_failure_says_why_and_an_upload_ends_the_order(issuing):
    cdn, name = Product(issuing, "cdn"), "shop.nowhere.example"
    add_domains(issuing, name)
    cdn.call("SetCdnDomainSSLCertificate", ORDER | {"DomainName": name})

    def failed():
        shown = info(cdn, name)
        return shown if shown["Status"] == "failed" else None

    shown = eventually("the order fails", failed)
    assert name in shown["OrderFailure"], shown
    assert issuing.served(name) is None
    cdn.call("SetCdnDomainSSLCertificate", {"DomainName": name, "SSLProtocol": "off"})
    assert "OrderFailure" not in info(cdn, name)


def test_a_wildcard_needs_challenges_in_dns(issuing):
    cdn = Product(issuing, "cdn")
    add_domains(issuing, ".wild.example")
    order = ORDER | {"DomainName": ".wild.example"}
    refusal = expect_refusal(cdn, "SetCdnDomainSSLCertificate", order, "SetDomainCertificate.ParameterError")
    assert "dns-01" in refusal.data["Detail"]


def info(sdk, name):
    return sdk.call("DescribeDomainCertificateInfo", {"DomainName": name})["CertInfos"]["CertInfo"][0]
