"""Quotas, as the operator sets them and the account's SDK sees them: refusals arrive as the client's
own exception, and what the operator allows counts with the next call."""

import pytest

from clients import CLIENTS
from products import Product
from steps import expect_refusal

SOURCES = '[{"content":"127.0.0.1","type":"ipaddr","port":9}]'


@pytest.fixture(params=CLIENTS)
def world(request, server):
    """The operator's client, and that of an account with one domain and one certificate, and no more of each."""
    client = CLIENTS[request.param]
    root = client(server)
    quotas = {"QuotaDomains": "1", "QuotaCertificates": "1", "QuotaCsrKeys": "1"}
    made = root.call("CreateAccount", {"AccountName": "shop", **quotas})
    # The tests' origins have private addresses, which need the operator's permission.
    update(root, made, PrivateOrigins="allowed")
    key = made["AccessKey"]
    tenant = client(server, key["AccessKeyId"], key["AccessKeySecret"])
    tenant.call("AddCdnDomain", domain("1.example.com"))
    tenant.call("CreateCdnCertificateSigningRequest", {"CommonName": "1.example.com"})
    return root, made, tenant


def domain(name):
    return {"DomainName": name, "CdnType": "web", "Sources": SOURCES}


def update(root, made, **changes):
    root.call("UpdateAccount", {"AccountId": made["AccountId"], **changes})


def test_an_account_at_its_quota_is_told_and_the_operator_raises_it(world):
    root, made, tenant = world
    second, request = domain("2.example.com"), {"CommonName": "2.example.com"}
    expect_refusal(tenant, "AddCdnDomain", second, "DomainOverLimit")
    code = "QuotaExceeded.CertificateSigningRequest"
    expect_refusal(tenant, "CreateCdnCertificateSigningRequest", request, code)
    assert left(tenant) == {"DomainQuota": 1, "DomainRemain": 0, "CertificateRemain": 1, "CsrKeyRemain": 0}

    update(root, made, QuotaDomains="2", QuotaCsrKeys="unlimited")
    tenant.call("AddCdnDomain", second)
    tenant.call("CreateCdnCertificateSigningRequest", request)
    expect_refusal(tenant, "AddCdnDomain", domain("3.example.com"), "DomainOverLimit")
    tenant.call("DeleteCdnDomain", {"DomainName": "1.example.com"})
    tenant.call("AddCdnDomain", domain("3.example.com"))

    update(root, made, QuotaDomains="default")
    assert left(tenant)["DomainQuota"] == 10_000
    shown = {row["AccountName"]: row for row in root.call("ListAccounts", {})["Accounts"]}["shop"]
    quotas = [shown[name] for name in ("QuotaDomains", "QuotaCertificates", "QuotaCsrKeys", "PrivateOrigins")]
    assert quotas == ["default", "1", "unlimited", "allowed"]


def test_the_operator_alone_changes_an_account(world):
    root, made, tenant = world
    change = {"AccountId": made["AccountId"], "QuotaDomains": "9"}
    with pytest.raises(tenant.refusal) as caught:
        tenant.call("UpdateAccount", change)
    assert tenant.facts(caught.value)[:2] == (403, "NoPermission")
    expect_refusal(root, "UpdateAccount", change | {"QuotaDomains": "many"}, "InvalidQuota")
    expect_refusal(root, "UpdateAccount", {"AccountId": made["AccountId"]}, "InvalidPrivateOrigins")
    assert left(tenant)["DomainQuota"] == 1


def test_an_account_uploads_as_many_certificates_as_it_may(server, world):
    _, made, tenant = world
    key = made["AccessKey"]["AccessKeyId"], made["AccessKey"]["AccessKeySecret"]
    centre = Product(server, "cas", key=key)
    pair = {"Cert": server.text("a.crt"), "Key": server.text("a.key")}
    stored = centre.call("UploadUserCertificate", {"Name": "first", **pair})
    expect_refusal(centre, "UploadUserCertificate", {"Name": "second", **pair}, "QuotaExceeded.Certificate")
    assert left(tenant)["CertificateRemain"] == 0
    centre.call("DeleteUserCertificate", {"CertId": stored["CertId"]})
    centre.call("UploadUserCertificate", {"Name": "second", **pair})


def left(tenant):
    shown = tenant.call("DescribeCdnUserQuota", {})
    names = ("DomainQuota", "DomainRemain", "CertificateRemain", "CsrKeyRemain")
    return {name: shown[name] for name in names}
