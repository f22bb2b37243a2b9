"""More than 30 calls a second are throttled, as each official Python client reports it."""

import itertools
import threading

import pytest
from alibabacloud_tea_openapi.exceptions import ThrottlingException

from clients import CLIENTS, NewSdk
from steps import documented

BURST = 30
THREADS = 8
CALLS = 400


@pytest.mark.parametrize("client", CLIENTS)
def test_throttled(client, server):
    domain = {"DomainName": "shop.example.com"}
    sources = '[{"content":"127.0.0.1","type":"ipaddr","port":80}]'
    CLIENTS[client](server).call("AddCdnDomain", {**domain, "CdnType": "web", "Sources": sources})

    served, refused = call_until_refused(
        lambda: CLIENTS[client](server, retry=False), "SetCdnDomainSSLCertificate", {**domain, "SSLProtocol": "off"}
    )
    assert served >= BURST
    kind = CLIENTS[client]
    status, code, message, _ = kind.facts(refused)
    assert (code, status, message) == ("Throttling.User", *documented("Throttling.User", "gateway"))
    if issubclass(kind, NewSdk):
        assert isinstance(refused, ThrottlingException)
        assert 0 < refused.retry_after <= 1000

    # The limit is per operation: another one goes on.
    assert kind(server).call("DescribeCdnDomainDetail", domain)["GetDomainDetailModel"]


def call_until_refused(connect, action, params):
    """Calls from many threads until one call raises: how many were answered, and what was raised."""
    refused, answered, left = [], itertools.count(), iter(range(CALLS))

    def work():
        sdk = connect()
        for _ in left:
            if refused:
                return
            try:
                sdk.call(action, params)
                next(answered)
            except Exception as refusal:
                refused.append(refusal)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused, f"{CALLS} calls were not throttled"
    return next(answered), refused[0]
