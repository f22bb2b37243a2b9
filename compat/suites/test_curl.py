"""curl, h2load and openssl over every protocol and version that the edge speaks."""

import hashlib
import json
import re
import subprocess

import pytest

from origin import PAGE, SECURITY, content
from website import ECDSA, MODERN, MOVED, RSA

HTTP, TLS = {"h1": "--http1.1", "h2": "--http2"}, {"1.2": ["--tls-max", "1.2"], "1.3": ["--tlsv1.3"]}
NAMES = {"ecdsa": ECDSA, "rsa": RSA}
VERSION = {"h1": "1.1", "h2": "2"}
# More than all buffers between client and origin.
LARGE = 24 * 1024 * 1024
SECONDS_MAX = 60

matrix = pytest.mark.parametrize("tls", TLS)
protocols = pytest.mark.parametrize("http", HTTP)
keys = pytest.mark.parametrize("key", NAMES)


class Curl:
    def __init__(self, site, http, tls, key="ecdsa"):
        self.site, self.name = site, NAMES[key]
        address = f"{self.name}:{site.port}:127.0.0.1"
        self.options = ["curl", "-sS", "--cacert", site.ca, "--resolve", address, HTTP[http], *TLS[tls]]

    def __call__(self, path, *options, stdin=None):
        """Body, and what curl tells of the transfer of each URL: status, version of HTTP, new connections."""
        told = r"%{stderr}@%{http_code} %{http_version} %{num_connects}\n"
        command = [*self.options, "-w", told, *options, self.site.url(self.name, path)]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=SECONDS_MAX)
        assert done.returncode == 0, done.stderr.decode()
        lines = [line[1:].split() for line in done.stderr.decode().splitlines() if line.startswith("@")]
        return done.stdout, [{"status": int(status), "version": version, "new": int(new)} for status, version, new in lines]


@protocols
@matrix
@keys
def test_get_and_head(site, http, tls, key):
    curl = Curl(site, http, tls, key)
    head, told = curl("/", "-D", "-", "-o", "/dev/null")
    assert (told[0]["status"], told[0]["version"]) == (200, VERSION[http])
    fields = dict(re.findall(r"^([\w-]+): (.*?)\r$", head.decode(), re.M))
    assert fields.items() >= {"strict-transport-security": "max-age=63072000", **SECURITY}.items()
    assert curl("/")[0] == PAGE
    head, told = curl("/bytes/1000", "--head")
    assert told[0]["status"] == 200 and b"content-length: 1000" in head.lower()


@protocols
@matrix
def test_post(site, http, tls):
    body, told = Curl(site, http, tls)("/", "--data", "a=b")
    assert json.loads(body) == {"length": 3, "sha256": hashlib.sha256(b"a=b").hexdigest()}
    assert told[0]["status"] == 200


@protocols
@matrix
@pytest.mark.parametrize("way", ["length", "chunked"])
def test_large_upload(site, http, tls, way):
    """A body with Content-Length, and one without; `Expect: 100-continue` with both."""
    sent = content(LARGE)
    options = ["-H", "transfer-encoding: chunked"] if way == "chunked" and http == "h1" else []
    file = site.folder / "upload"
    file.write_bytes(sent)
    source = "-" if way == "chunked" else str(file)
    body, _ = Curl(site, http, tls)("/", "-T", source, "-X", "POST", *options, stdin=sent if source == "-" else None)
    assert json.loads(body) == {"length": LARGE, "sha256": hashlib.sha256(sent).hexdigest()}


@protocols
@matrix
def test_large_download(site, http, tls):
    assert Curl(site, http, tls)(f"/bytes/{LARGE}")[0] == content(LARGE)


@protocols
@matrix
def test_range(site, http, tls):
    curl = Curl(site, http, tls)
    body, told = curl("/bytes/100000", "-r", "70000-70099")
    assert (told[0]["status"], body) == (206, content(100000)[70000:70100])
    assert curl("/bytes/10", "-r", "20-30")[1][0]["status"] == 416


@protocols
@matrix
def test_redirects(site, http, tls):
    """The origin's is passed on; the edge's own leads from HTTP to HTTPS."""
    curl = Curl(site, http, tls)
    body, told = curl("/moved", "-L")
    assert (told[0]["status"], body) == (200, PAGE)
    assert curl("/moved")[1][0]["status"] == 302
    plain = f"http://{MOVED}:{site.plain.rsplit(':', 1)[1]}"
    address = f"{MOVED}:{plain.rsplit(':', 1)[1]}:{site.plain}"
    done = subprocess.run(
        ["curl", "-sS", "--connect-to", address, "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", plain + "/a?b=c"],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    assert done.stdout == f"301 {site.url(MOVED, '/a?b=c')}", done.stderr


@protocols
@matrix
def test_one_connection_carries_many_requests(site, http, tls):
    curl = Curl(site, http, tls)
    urls = [site.url(curl.name, f"/bytes/{size}") for size in range(20)]
    body, told = curl("/bytes/20", *urls)
    assert body == b"".join(content(size) for size in range(21))
    assert [line["new"] for line in told] == [1] + [0] * 20


@matrix
def test_trailers(site, tls):
    """As gRPC has them, which is HTTP/2 alone. curl prints them after the headers."""
    shown, _ = Curl(site, "h2", tls)("/trailers", "-D", "-", "-H", "te: trailers")
    assert b"hello" in shown
    assert b"grpc-status: 0" in shown.lower() and b"grpc-message: fine" in shown.lower()


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
@keys
def test_h2load(site, protocol, key):
    """Many streams on many connections: every response is complete."""
    name = NAMES[key]
    done = subprocess.run(
        ["h2load", f"--connect-to=127.0.0.1:{site.port}", *(["--h1"] if protocol == "http/1.1" else [])]
        + ["-n2000", "-c20", "-m8", "-t2", site.url(name, "/bytes/3000")],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Application protocol: " + protocol in done.stdout, done.stdout
    assert re.search(r"2000 succeeded, 0 failed, 0 errored, 0 timeout", done.stdout), done.stdout
    assert re.search(r"2000 2xx, 0 3xx, 0 4xx, 0 5xx", done.stdout), done.stdout
    assert re.search(r"\(6000000\) data", done.stdout), done.stdout


# Sessions.


@matrix
@keys
def test_resumption(site, tls, key):
    """A second connection resumes the session of the first, as openssl reports."""
    version, file = f"-tls{tls.replace('.', '_')}", site.folder / f"session-{tls}-{key}"
    first = s_client(site, NAMES[key], version, "-sess_out", file)
    assert re.search(r"^New, TLSv", first, re.M), first
    second = s_client(site, NAMES[key], version, "-sess_in", file)
    assert re.search(rf"^Reused, TLSv{tls}", second, re.M), second
    other = s_client(site, MODERN if tls == "1.3" else MOVED, version, "-sess_in", file)
    assert re.search(r"^New, TLSv", other, re.M), "a ticket is good for the name it was made for alone"


@keys
def test_reconnect(site, key):
    """openssl reconnects five times with the session of the first handshake."""
    said = s_client(site, NAMES[key], "-tls1_2", "-reconnect")
    assert len(re.findall(r"^New, TLSv", said, re.M)) == 1 and len(re.findall(r"^Reused, TLSv", said, re.M)) == 5, said


def test_curl_resumes_for_the_next_url(site):
    """Both URLs in one process, each on a connection of its own. With TLS 1.2 curl declines tickets."""
    curl = Curl(site, "h1", "1.3")
    url = site.url(curl.name)
    done = subprocess.run(
        [*curl.options, "-v", "-H", "connection: close", url, url], capture_output=True, text=True, timeout=SECONDS_MAX
    )
    assert done.returncode == 0 and done.stdout == 2 * PAGE.decode()
    assert re.search("SSL re-?using session ID", done.stderr), done.stderr


@pytest.mark.parametrize("group", ["X25519", "P-256", "P-384"])
def test_groups(site, group):
    assert re.search(r"^New, TLSv1.3", s_client(site, ECDSA, "-groups", group), re.M)


@pytest.mark.parametrize("options", [["-groups", "P-521"], ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-cipher", "AES128-SHA", "-tls1_2"]])
def test_what_is_weak_or_odd_is_refused(site, options):
    said = s_client(site, RSA, *options)
    assert "Cipher is (NONE)" in said and "alert" in said, said


@pytest.mark.parametrize(("suites", "chosen"), [
    ("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
])
def test_who_chooses_the_cipher_suite(site, suites, chosen):
    """The edge does, but for a client that puts ChaCha20 first."""
    assert f"Cipher is {chosen}" in s_client(site, ECDSA, "-tls1_2", "-cipher", suites)


def s_client(site, name, *options):
    """The output of openssl for a connection with one request."""
    request = f"GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n"
    done = subprocess.run(
        ["openssl", "s_client", "-connect", site.edge, "-servername", name, "-CAfile", site.ca, "-ign_eof", *options],
        input=request,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    return done.stdout + done.stderr
