"""The servers that tlsfuzzer is run against: the edge and nginx, with the same certificates and the same origin."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent / part) for part in ("suites", "")]

import signer
from harness import Server, split_address
from origin import Origin
from website import Authority

NAMES = {"rsa": "rsa.example.com", "ecdsa": "ecdsa.example.com"}
START_SECONDS = 10

# The protocol versions, suites and groups of the edge, so that both servers negotiate the same.
NGINX = """
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
{user}
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
    ssl_ecdh_curve X25519:prime256v1:secp384r1;
    {servers}
}}
"""
NGINX_SERVER = """
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {folder}/{kind}.crt;
        ssl_certificate_key {folder}/{kind}.key;
        location / {{ proxy_pass http://{origin}; }}
    }}
"""


@contextlib.contextmanager
def running():
    """Both servers as {"edgeseal": ports, "nginx": ports}, where `ports` is {"rsa": port, "ecdsa": port}.

    Each port answers with a certificate of that kind, also to a client that sends no server name.
    """
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeseal-tlsfuzzer-")))
        origin = stack.enter_context(Origin())
        # A whole chain of one key type: many scripts accept no other signatures, not even in certificates.
        leaves = {kind: Authority(kind).leaf(name, kind) for kind, name in NAMES.items()}
        # An edge has one domain for clients without a server name, hence one edge for each kind of key.
        edges = {kind: stack.enter_context(_edge(folder, kind, leaf, origin)) for kind, leaf in leaves.items()}
        yield {"edgeseal": edges, "nginx": stack.enter_context(_nginx(folder, leaves, origin))}


@contextlib.contextmanager
def _edge(folder, kind, leaf, origin):
    name, (chain, key) = NAMES[kind], leaf
    with Server(folder) as server:
        # Every conversation is a connection from one address, and many are refused.
        server.restart(f'default_domain = "{name}"\n')
        sources = json.dumps([{"content": origin.host, "type": "ipaddr", "port": origin.port}])
        _call(server, "AddCdnDomain", DomainName=name, CdnType="web", Sources=sources)
        _call(server, "SetCdnDomainSSLCertificate", DomainName=name, SSLProtocol="on", SSLPub=chain, SSLPri=key)
        yield split_address(server.https)[1]


def _call(server, action, **params):
    answer = signer.post_form(server, "/", signer.signed_v1(server, action, params, "POST"))
    assert answer.status == 200, f"{action}: {answer.body}"


@contextlib.contextmanager
def _nginx(folder, leaves, origin):
    ports, servers = {}, ""
    for kind, (chain, key) in leaves.items():
        (folder / f"{kind}.crt").write_text(chain)
        (folder / f"{kind}.key").write_text(key)
        ports[kind] = _free_port()
        servers += NGINX_SERVER.format(
            folder=folder, kind=kind, port=ports[kind], origin=f"{origin.host}:{origin.port}"
        )
    config = folder / "nginx.conf"
    # Workers that change to another user could not read the temporary folder.
    config.write_text(NGINX.format(folder=folder, servers=servers, user="user root;" if os.geteuid() == 0 else ""))
    process = subprocess.Popen(["nginx", "-p", folder, "-e", folder / "error.log", "-c", config])
    try:
        for port in ports.values():
            _await_port(process, port)
        yield ports
    finally:
        process.terminate()
        process.wait()


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def _await_port(process, port):
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, f"nginx ended with {process.returncode}"
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        assert time.monotonic() < deadline, "nginx does not listen"
        time.sleep(0.05)
