"""acme.sh's hooks `ali_cdn` and `ali_dcdn`: a shell, curl and openssl; it detects a failure by the bytes `"Message":"`."""

import os
import pathlib
import subprocess

import pytest

from clients import add_domains
from steps import documented

HOOKS = pathlib.Path(__file__).parent.parent / "shell"
ENDPOINTS = {"ali_cdn": "Ali_CDN_API", "ali_dcdn": "Ali_DCDN_API"}


def deploy(server, hook, domains, name, secret=None):
    return subprocess.run(
        [HOOKS / f"{hook}.sh", domains, server.certs / f"{name}.crt", server.certs / f"{name}.key"],
        env={
            "PATH": os.environ["PATH"],
            ENDPOINTS[hook]: f"http://{server.api}/",
            "Ali_Key": server.key_id,
            "Ali_Secret": secret or server.secret,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("hook", ENDPOINTS)
def test_sequence(server, hook):
    add_domains(server, "shop.example.com", ".example.org", "a.example.org")

    for name in ("a", "b", "b"):
        assert deploy(server, hook, "shop.example.com", name).returncode == 0
        assert server.served("shop.example.com") == server.leaf(name)
    for name in ("wild", "wild-renewed"):
        assert deploy(server, hook, ".example.org a.example.org", name).returncode == 0
        assert server.served("a.example.org") == server.served("b.example.org") == server.leaf(name)


@pytest.mark.parametrize("hook", ENDPOINTS)
def test_refusals_are_noticed(server, hook):
    add_domains(server, "shop.example.com")
    # A refused domain does not keep the next one from its certificate.
    partly = deploy(server, hook, "nobody.example.com shop.example.com", "a")
    message = documented("InvalidDomain.NotFound", "SetCdnDomainSSLCertificate")[1]
    assert (partly.returncode, partly.stderr.strip()) == (1, message)
    assert server.served("shop.example.com") == server.leaf("a")
    assert deploy(server, hook, "shop.example.com", "b", secret="not-the-secret").returncode == 1
    assert server.served("shop.example.com") == server.leaf("a")
