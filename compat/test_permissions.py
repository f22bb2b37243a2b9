"""Least privilege as the official SDKs see it: an administrator makes a user that may set one domain, and no other."""

import subprocess

import pytest

from clients import NewSdk, NewSdkV1, OldSdk, add_domains
from harness import binary
from products import Product

OURS, OTHERS = "shop.example.com", "www.example.com"


@pytest.fixture(scope="module")
def world(shared_server):
    add_domains(shared_server, OURS, OTHERS)
    ram = Product(shared_server, "ram")
    line = [binary(), "policy", "minimal", "--domain", OURS, "--account", shared_server.account]
    minimal = subprocess.run(line, capture_output=True, check=True, text=True).stdout
    ram.call("CreateUser", {"UserName": "deploy"})
    ram.call("CreatePolicy", {"PolicyName": "push", "PolicyDocument": minimal})
    attached = {"PolicyType": "Custom", "PolicyName": "push", "UserName": "deploy"}
    ram.call("AttachPolicyToUser", attached)
    key = ram.call("CreateAccessKey", {"UserName": "deploy"})["AccessKey"]
    return ram, key["AccessKeyId"], key["AccessKeySecret"]


def upload(server, domain):
    pair = {"SSLPub": server.text("a.crt"), "SSLPri": server.text("a.key")}
    return {"DomainName": domain, "SSLProtocol": "on", **pair}


@pytest.mark.parametrize("client", [NewSdk, NewSdkV1, OldSdk])
def test_a_user_sets_its_domain_and_no_other(client, world, shared_server):
    ram, key, secret = world
    sdk = client(shared_server, key, secret)
    sdk.call("SetCdnDomainSSLCertificate", upload(shared_server, OURS))
    assert shared_server.served(OURS) == shared_server.leaf("a")

    with pytest.raises(client.refusal) as caught:
        sdk.call("SetCdnDomainSSLCertificate", upload(shared_server, OTHERS))
    status, code, message, _ = client.facts(caught.value)
    resource = f"acs:cdn:*:{shared_server.account}:domain/{OTHERS}"
    assert (status, code) == (403, "NoPermission")
    assert message == (
        f"You are not authorized to do this action. Resource: {resource} Action: cdn:SetCdnDomainSSLCertificate"
    )


def test_the_reason_is_told_and_opened(world, shared_server):
    ram, key, secret = world
    with pytest.raises(NewSdk.refusal) as caught:
        NewSdk(shared_server, key, secret).call("SetCdnDomainSSLCertificate", upload(shared_server, OTHERS))
    denied = caught.value.access_denied_detail
    user = ram.call("GetUser", {"UserName": "deploy"})["User"]["UserId"]
    assert {name: denied[name] for name in denied if name != "EncodedDiagnosticMessage"} == {
        "AuthAction": "cdn:SetCdnDomainSSLCertificate",
        "AuthPrincipalType": "SubUser",
        "AuthPrincipalOwnerId": shared_server.account,
        "AuthPrincipalDisplayName": user,
        "PolicyType": "AccountLevelIdentityBasedPolicy",
        "NoPermissionType": "ImplicitDeny",
    }
    sealed = {"EncodedDiagnosticMessage": denied["EncodedDiagnosticMessage"]}
    opened = ram.call("DecodeDiagnosticMessage", sealed)["DecodedDiagnosticMessage"]
    assert opened["AuthPrincipal"]["AuthPrincipalDisplayName"] == user
    assert opened["ExplicitDeny"] is False
