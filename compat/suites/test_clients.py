"""Third-party HTTP clients, a WebSocket client and a browser, each with its own certificate verification."""

import asyncio
import base64
import hashlib
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import threading

import aiohttp
import httpx
import pytest
import requests
import websocket
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from harness import binary
from origin import PAGE, content
from website import ECDSA, RSA

SECONDS_MAX = 120
NODE = pathlib.Path(__file__).resolve().parent.parent / "node"
LARGE = 2 * 1024 * 1024

keys = pytest.mark.parametrize("name", [ECDSA, RSA])


@pytest.fixture(autouse=True)
def names_of_the_suites(monkeypatch):
    """Names under example.com resolve to this machine; the clients resolve them as usual."""
    ask = socket.getaddrinfo

    def answer(host, *rest, **more):
        ours = str(host if isinstance(host, str) else (host or b"").decode()).endswith(".example.com")
        return ask("127.0.0.1" if ours else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", answer)


@keys
def test_requests(site, name):
    with requests.Session() as session:
        # Without the proxies and CAs of the environment.
        session.trust_env, session.verify = False, str(site.ca)
        assert session.get(site.url(name)).content == PAGE
        assert session.get(site.url(name, f"/bytes/{LARGE}")).content == content(LARGE)
        sent = session.post(site.url(name), data=content(LARGE)).json()
        assert sent == {"length": LARGE, "sha256": hashlib.sha256(content(LARGE)).hexdigest()}
        assert session.get(site.url(name, "/moved")).history[0].status_code == 302


def test_an_unknown_authority_is_noticed(site):
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(site.url(ECDSA))


@keys
@pytest.mark.parametrize("http2", [False, True])
def test_httpx(site, name, http2):
    async def ask():
        context = ssl.create_default_context(cafile=site.ca)
        async with httpx.AsyncClient(http2=http2, verify=context) as client:
            answers = await asyncio.gather(*(client.get(site.url(name, f"/bytes/{size}")) for size in range(50)))
            posted = await client.post(site.url(name), content=content(LARGE))
            return answers, posted

    answers, posted = asyncio.run(ask())
    assert [answer.content for answer in answers] == [content(size) for size in range(50)]
    assert {answer.http_version for answer in answers} == {"HTTP/2" if http2 else "HTTP/1.1"}
    assert posted.json()["sha256"] == hashlib.sha256(content(LARGE)).hexdigest()


@keys
def test_aiohttp(site, name):
    async def ask():
        context = ssl.create_default_context(cafile=site.ca)
        connector = aiohttp.TCPConnector(ssl=context, resolver=aiohttp.ThreadedResolver())
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.get(site.url(name, f"/bytes/{LARGE}")) as answer:
                assert await answer.read() == content(LARGE)
            async with session.post(site.url(name), data=content(LARGE)) as answer:
                assert await answer.json(content_type=None) == {
                    "length": LARGE,
                    "sha256": hashlib.sha256(content(LARGE)).hexdigest(),
                }
            async with session.ws_connect(site.url(name, "/websocket")) as talk:
                await talk.send_str("hello")
                assert (await talk.receive()).data == "hello"

    asyncio.run(ask())


@keys
def test_websocket(site, name):
    """Frames both ways, long ones too, and a clean close."""
    talk = websocket.create_connection(
        f"wss://{name}:{site.port}/websocket", sslopt={"ca_certs": str(site.ca)}, timeout=SECONDS_MAX
    )
    for size in (0, 1, 125, 126, 60_000):
        talk.send_binary(content(size))
        assert talk.recv() == content(size)
    talk.send("in text")
    assert talk.recv() == "in text"
    talk.close()
    assert not talk.connected


@keys
@pytest.mark.parametrize("client", ["https", "http2", "undici", "undici-h2"])
def test_node(site, name, client):
    done = subprocess.run(
        ["node", "edge_client.mjs", client, site.url(name), str(LARGE)],
        cwd=NODE,
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(site.ca)},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    digest = hashlib.sha256(content(LARGE)).hexdigest()
    version = "2" if client in ("http2", "undici-h2") else "1.1"
    assert done.stdout.split() == ["HTTP/" + version, "200", digest, digest], done.stdout + done.stderr


# A browser.


@keys
def test_chromium(site, name, tmp_path):
    """Its own network code and its own TLS: the page comes, over HTTP/2."""
    page, log = browse(tmp_path, site.url(name, "/"), site.port, [spki(site.server, name)])
    assert PAGE.decode().strip() in page, log
    net = (tmp_path / "net.json").read_text(errors="replace")
    assert '"next_proto":"h2"' in net or '"HTTP2_SESSION' in net


def test_chromium_opens_a_websocket_over_http2(site, tmp_path):
    """On the connection that it has the page from (RFC 8441): the origin is told which version that is."""
    site.origin.forget()
    page, log = browse(tmp_path, site.url(ECDSA, "/talk"), site.port, [spki(site.server, ECDSA)])
    assert "<title>10000</title>" in page, page + log
    assert site.origin.websockets == ["2 edgeseal"]


def test_chromium_refuses_an_unknown_authority(site, tmp_path):
    page, _ = browse(tmp_path, site.url(ECDSA, "/"), site.port, [])
    assert PAGE.decode().strip() not in page


def test_demo_page(tmp_path):
    """What a person sees who starts the demo. EDGESEAL_SCREENSHOT=path keeps the picture."""
    shot = os.environ.get("EDGESEAL_SCREENSHOT") or str(tmp_path / "demo.png")
    roles = [f"--{role}=127.0.0.1:0" for role in ("api", "https", "http", "admin")]
    env = {name: value for name, value in os.environ.items() if not name.startswith("EDGESEAL_")}
    demo = subprocess.Popen(
        [binary(), "demo", "--data", tmp_path / "data", *roles], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
    )
    try:
        first, said = demo.stdout.readline(), []
        assert first.strip() == b"ready"
        reader = threading.Thread(target=lambda: said.extend(demo.stdout), daemon=True)
        reader.start()
        addresses = json.loads((tmp_path / "data" / "addresses.json").read_text())
        port = addresses["https"].rsplit(":", 1)[1]
        trusted = [spki_of(served(addresses["https"], "demo.localhost"))]
        page, log = browse(tmp_path, f"https://demo.localhost:{port}/", port, trusted, f"--screenshot={shot}")
        assert "demo.localhost" in page and "x-forwarded-proto" in page and "https" in page, log
        assert os.path.getsize(shot) > 5000
    finally:
        demo.terminate()
        assert demo.wait(SECONDS_MAX) == 0


def browse(folder, url, port, trusted, *options):
    """The document that a page becomes, and what the browser logged. `trusted`: keys of leaves that need no authority."""
    command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command += [f"--user-data-dir={folder / 'profile'}", f"--log-net-log={folder / 'net.json'}", "--window-size=1000,800"]
    command += ["--host-resolver-rules=MAP * 127.0.0.1", "--disable-background-networking", "--no-proxy-server"]
    command += [f"--ignore-certificate-errors-spki-list={','.join(trusted)}"] if trusted else []
    if options:
        shot = subprocess.run([*command, *options, url], capture_output=True, text=True, timeout=SECONDS_MAX)
        assert shot.returncode == 0, shot.stderr
    done = subprocess.run([*command, "--dump-dom", url], capture_output=True, text=True, timeout=SECONDS_MAX)
    return done.stdout, done.stderr


def spki(server, name):
    return spki_of(served(server.https, name))


def served(address, name):
    context = ssl._create_unverified_context()
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port))) as plain, context.wrap_socket(plain, server_hostname=name) as tls:
        return tls.getpeercert(binary_form=True)


def spki_of(der):
    """SHA-256 of the leaf's public key, as browsers name it."""
    key = x509.load_der_x509_certificate(der).public_key()
    info = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(info).digest()).decode()
