"""`DryRun=true`, which no generated model knows, as a parameter of a generic call: what it says is what the call does
then, and nothing changes."""

import pytest

from clients import CLIENTS, add_domains
from steps import expect_refusal
from test_companion import upload

NAME = "shop.example.com"
SET = "SetCdnDomainSSLCertificate"
DRY = {"DryRun": "true"}


@pytest.mark.parametrize("client", CLIENTS)
def test_it_says_what_the_call_does_then_and_changes_nothing(client, server):
    sdk = CLIENTS[client](server)
    add_domains(server, NAME)
    good, wrong = upload(server, "a"), upload(server, "other-name")
    before = state(sdk)
    assert set(sdk.call(SET, good | DRY)) == {"RequestId"}
    for params, code in [
        (wrong, "Certificate.MissMatch"),
        (good | {"DomainName": "missing.example.com"}, "InvalidDomain.NotFound"),
        (good | {"SSLPri": server.text("b.key")}, "Certificate.MissMatch"),
        ({"DomainName": NAME, "SSLProtocol": "on", "CertType": "free"}, "SetDomainCertificate.ParameterError"),
    ]:
        expect_refusal(sdk, SET, params | DRY, code)
        expect_refusal(sdk, SET, params, code)
    expect_refusal(sdk, SET, good | {"DryRun": "yes"}, "SetDomainCertificate.ParameterError")
    assert (state(sdk), server.served(NAME)) == (before, None)

    sdk.call(SET, good | {"DryRun": "false"})
    bound = state(sdk)
    sdk.call(SET, upload(server, "renewed") | DRY)
    sdk.call(SET, {"DomainName": NAME, "SSLProtocol": "off"} | DRY)
    assert (state(sdk), server.served(NAME)) == (bound, server.leaf("a"))


@pytest.mark.parametrize("client", CLIENTS)
def test_an_own_action_without_one_refuses_it(client, server):
    sdk = CLIENTS[client](server)
    expect_refusal(sdk, "CreateAccount", {"AccountName": "shop"} | DRY, "InvalidParameter.Format")
    assert [row["AccountName"] for row in sdk.call("ListAccounts", {})["Accounts"]] == ["root"]


def state(sdk):
    """What the API says of the domain, and of all certificates."""
    info = sdk.call("DescribeDomainCertificateInfo", {"DomainName": NAME})["CertInfos"]
    listed = sdk.call("DescribeCertificateExpiry", {})
    return info, listed["TotalCount"], listed["Certificates"]
