"""More than 30 calls a second are throttled, as each official Python client reports it."""

import threading

import pytest
from alibabacloud_tea_openapi.exceptions import ThrottlingException

from clients import CLIENTS, NewSdk
from steps import documented

BURST = 30
THREADS = 8
CALLS = 400
SOURCES = '[{"content":"127.0.0.1","type":"ipaddr","port":80}]'


@pytest.mark.parametrize("client", CLIENTS)
def test_throttled(client, server):
    kind = CLIENTS[client]
    domains = [{"DomainName": f"shop-{thread}.example.com"} for thread in range(THREADS)]
    for domain in domains:
        kind(server).call("AddCdnDomain", {**domain, "CdnType": "web", "Sources": SOURCES})

    answered, refused = call_until_refused(
        lambda: kind(server, retry=False),
        "SetCdnDomainSSLCertificate",
        [{**domain, "SSLProtocol": "off"} for domain in domains],
    )
    assert answered >= BURST
    status, code, message, _ = kind.facts(refused)
    assert (code, status, message) == ("Throttling.User", *documented("Throttling.User", "gateway"))
    if issubclass(kind, NewSdk):
        assert isinstance(refused, ThrottlingException)
        assert 0 < refused.retry_after <= 1000

    # The limit is per action: another action still succeeds.
    assert kind(server).call("DescribeCdnDomainDetail", domains[0])["GetDomainDetailModel"]


def call_until_refused(connect, action, params_of_threads):
    """Calls from a thread per params until one call raises: how many succeeded, and the exception."""
    refused, answered, left = [], [], iter(range(CALLS))

    def work(params):
        sdk = connect()
        for call in left:
            if refused:
                return
            try:
                sdk.call(action, params)
                answered.append(call)
            except Exception as refusal:
                refused.append(refusal)

    threads = [threading.Thread(target=work, args=[params]) for params in params_of_threads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused, f"{CALLS} calls were not throttled"
    return len(answered), refused[0]
