"""Every refusal of refusals.json through each official Python client, by that client's own exception type."""

import pytest

from clients import CLIENTS, NewSdk, NewSdkV1
from harness import Server
from steps import documented, expect_refusal, expect_served, load, run

GROUPS = {group["name"]: group for group in load("refusals.json")}
STAGES = [(client, group) for client in CLIENTS for group in GROUPS]


@pytest.fixture(scope="module")
def stage(request, certs):
    """A server with the group's domains, and a client of it."""
    client, group = request.param
    with Server(certs) as server:
        sdk = CLIENTS[client](server)
        for step in GROUPS[group]["setup"]:
            run(step, sdk, server, {})
        yield sdk, server


@pytest.mark.parametrize(
    ("stage", "case"),
    [
        pytest.param(stage, case, id=f"{stage[0]}-{case['title'].replace(' ', '-')}")
        for stage in STAGES
        for case in GROUPS[stage[1]]["cases"]
    ],
    indirect=["stage"],
)
def test_refused(request, stage, case):
    sdk, server = stage
    run(case, sdk, server, {})
    group = request.node.callspec.params["stage"][1]
    expect_served(server, GROUPS[group].get("unchanged", {}))


@pytest.mark.parametrize("client", CLIENTS)
def test_unknown_access_key(client, shared_server):
    sdk = CLIENTS[client](shared_server, key_id="LTAInobodyhasthiskey")
    expect_refusal(sdk, "DescribeUserDomains", {}, "InvalidAccessKeyId.NotFound")


@pytest.mark.parametrize("client", CLIENTS)
def test_wrong_secret(client, shared_server):
    sdk = CLIENTS[client](shared_server, secret="not-the-secret")
    with pytest.raises(sdk.refusal) as refused:
        sdk.call("DescribeUserDomains", {"PageSize": 1, "DomainName": "*~!'() +:.example.com"})
    status, code, message, _ = sdk.facts(refused.value)
    if CLIENTS[client] in (NewSdk, NewSdkV1):
        assert (status, code) == (400, "SignatureDoesNotMatch")
        assert message.startswith(documented(code, "gateway")[1].split("{", 1)[0])
    else:
        # This client takes the server's string to sign out of the message. Only if it equals its own to the byte, it
        # blames the secret.
        assert (status, code) == (400, "InvalidAccessKeySecret")
