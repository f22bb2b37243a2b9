"""A deployment with nothing but a shell, curl and openssl, as certificate hooks do it."""

import os
import pathlib
import subprocess

from clients import NewSdk
from steps import documented

HOOK = pathlib.Path(__file__).parent / "shell" / "ali_cdn.sh"
SOURCES = '[{"content":"127.0.0.1","type":"ipaddr","port":80}]'


def deploy(server, domain, name, secret=None):
    return subprocess.run(
        [HOOK, domain, server.certs / f"{name}.crt", server.certs / f"{name}.key"],
        env={
            "PATH": os.environ["PATH"],
            "Ali_CDN_API": f"http://{server.api}/",
            "Ali_Key": server.key_id,
            "Ali_Secret": secret or server.secret,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_deploy(server):
    for domain in ("shop.example.com", ".example.org"):
        NewSdk(server).call("AddCdnDomain", {"DomainName": domain, "CdnType": "web", "Sources": SOURCES})

    for name in ("a", "b", "b"):
        assert deploy(server, "shop.example.com", name).returncode == 0
        assert server.served("shop.example.com") == server.leaf(name)
    assert deploy(server, ".example.org", "wild").returncode == 0
    assert server.served("b.example.org") == server.leaf("wild")


def test_refusals_are_noticed(server):
    missing = deploy(server, "nobody.example.com", "a")
    assert (missing.returncode, missing.stderr.strip()) == (
        1,
        documented("InvalidDomain.NotFound", "SetCdnDomainSSLCertificate")[1],
    )
    assert deploy(server, "shop.example.com", "a", secret="not-the-secret").returncode == 1
