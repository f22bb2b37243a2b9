"""Every refusal of refusals.json through each official Python client, by that client's own exception type."""

import pytest

from clients import CLIENTS
from harness import Server
from steps import documented, expect_refusal, expect_served, load, run

GROUPS = {group["name"]: group for group in load("refusals.json")}


def cases(group):
    """One test per case of the group."""
    return pytest.mark.parametrize("case", GROUPS[group]["cases"], ids=lambda case: case["title"].replace(" ", "-"))


def stage(client, certs, group):
    """A server with the group's domains, and a client of it."""
    with Server(certs) as server:
        sdk = CLIENTS[client](server)
        for step in GROUPS[group]["setup"]:
            run(step, sdk, server, {})
        yield sdk, server


@pytest.fixture(scope="module", params=CLIENTS)
def parameters_stage(request, certs):
    yield from stage(request.param, certs, "parameters")


@pytest.fixture(scope="module", params=CLIENTS)
def certificate_stage(request, certs):
    yield from stage(request.param, certs, "certificate")


@cases("parameters")
def test_parameters(parameters_stage, case):
    run(case, *parameters_stage, {})


@cases("certificate")
def test_certificate(certificate_stage, case):
    """Refused, and the served certificate is unchanged."""
    sdk, server = certificate_stage
    run(case, sdk, server, {})
    expect_served(server, GROUPS["certificate"]["unchanged"])


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
    assert (status, code) == (400, sdk.wrong_secret)
    if code == "SignatureDoesNotMatch":
        assert message.startswith(documented(code, "gateway")[1].split("{", 1)[0])
