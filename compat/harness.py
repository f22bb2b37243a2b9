"""A running Edgeseal for the tests: started on free ports, watched while it runs, checked at its exit."""

import hashlib
import json
import os
import pathlib
import random
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
START_SECONDS = 60
STOP_SECONDS = 30

# Created once and without trust roots: loading them takes long enough to hide a late change.
CLIENT_CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CLIENT_CONTEXT.check_hostname = False
CLIENT_CONTEXT.verify_mode = ssl.CERT_NONE


class Server:
    """`edgeseal serve` on an empty data directory, with this configuration (TOML) and, if they are given, these ports
    of the edge by role. A context manager: leaving it stops the server and checks its exit.

    `api`, `https`, `http`, `admin` are `host:port`; `account`, `key_id`, `secret` are the root account's; `data` is the
    data directory.
    """

    def __init__(self, certs, config="", ports={}):
        self.certs, self._config, self._ports = pathlib.Path(certs), config, ports

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="edgeseal-compat-")
        self.folder = pathlib.Path(self._folder.name)
        self.data, self._log = self.folder / "data", self.folder / "log"
        self._start(self._config)
        return self

    def restart(self, config):
        """Stops it and starts it again on the same data, with this configuration (TOML)."""
        self._stop()
        self._start(config)

    def _start(self, config):
        config_file = self.folder / "edgeseal.toml"
        config_file.write_text(config)
        roles = [f"--{role}=127.0.0.1:{self._ports.get(role, 0)}" for role in ("api", "https", "http", "admin")]
        self._process = subprocess.Popen(
            [binary(), "serve", "--data", self.data, "--config", config_file, *roles],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ignore the configuration in the environment of the tests.
            env={name: value for name, value in os.environ.items() if not name.startswith("EDGESEAL_")},
        )
        self._ready, self._settled = False, threading.Event()
        self._reader = threading.Thread(target=self._copy_output, daemon=True)
        self._reader.start()
        self._settled.wait(START_SECONDS)
        if not self._ready:
            self._process.kill()
            self._reader.join()
            raise AssertionError(f"edgeseal did not become ready:\n{self._log.read_text()}")
        addresses = json.loads((self.data / "addresses.json").read_text())
        self.api, self.https, self.http, self.admin = (addresses[role] for role in ("api", "https", "http", "admin"))
        self._admins = addresses.get("admins", [])
        root = json.loads((self.data / "credentials.json").read_text())
        self.account, self.key_id, self.secret = root["AccountId"], root["AccessKeyId"], root["AccessKeySecret"]

    def __exit__(self, *_):
        with self._folder:
            self._stop()

    def _stop(self):
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise AssertionError("edgeseal did not end after SIGTERM") from None
        self._reader.join()
        log = self._log.read_text(errors="replace")
        assert code == 0, f"edgeseal ended with {code}:\n{log}"
        assert_no_key_material(log, self.secret, self.certs)

    def text(self, name):
        """The text of a material, by file name."""
        return (self.certs / name).read_bytes().decode()

    def served(self, name):
        """SHA-256 of the leaf that a new handshake for `name` gets; None if it is refused as an unrecognised name."""
        self.await_edge()
        host, port = split_address(self.https)
        with socket.create_connection((host, port), timeout=10) as plain:
            try:
                with CLIENT_CONTEXT.wrap_socket(plain, server_hostname=name) as connection:
                    return hashlib.sha256(connection.getpeercert(binary_form=True)).hexdigest()
            except ssl.SSLError as refused:
                if refused.reason == "TLSV1_UNRECOGNIZED_NAME":
                    return None
                raise

    def await_edge(self):
        """With several nodes: waits until the edge has applied what the others have. A call waits for its own node."""
        revisions = [edge_revision(admin) for admin in self._admins]
        while revisions and edge_revision(self._admins[0]) < max(revisions):
            pass

    def leaf(self, name):
        """SHA-256 of the leaf of the material `name`."""
        return hashlib.sha256(self.leaf_der(name)).hexdigest()

    def leaf_der(self, name):
        """The leaf of the material `name`."""
        first = self.text(f"{name}.crt").split("-----END", 1)[0] + "-----END CERTIFICATE-----\n"
        return ssl.PEM_cert_to_DER_cert(first)

    def _copy_output(self):
        with open(self._log, "wb") as log:
            for line in self._process.stdout:
                log.write(line)
                log.flush()
                if line.strip() == b"ready":
                    self._ready = True
                    self._settled.set()
        self._settled.set()


def eventually(what, condition, seconds=120):
    """The first true value of `condition`, asked four times a second: a server's rates allow no more."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.25)
    return value


def edge_revision(admin):
    """What the edge has applied."""
    with urllib.request.urlopen(f"http://{admin}/metrics") as metrics:
        return int(re.search(r"^edgeseal_edge_revision (\d+)$", metrics.read().decode(), re.M).group(1))


def binary():
    """The program under test."""
    path = os.environ.get("EDGESEAL_BIN") or ROOT / "target" / "debug" / "edgeseal"
    assert os.access(path, os.X_OK), f"{path} is not there: build it or set EDGESEAL_BIN"
    return path


def free_port():
    """A port that nothing listens on now, below those that the system gives to outgoing connections."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


def split_address(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


def assert_no_key_material(log, secret, certs):
    """Asserts that the output of the server contains no private key and no access-key secret."""
    assert "PRIVATE KEY" not in log, "the log holds a private key"
    assert secret not in log, "the log holds the access-key secret"
    for line in key_lines(certs):
        assert line not in log, "the log holds a line of a private key"


def key_lines(certs):
    """Every base64 line of every private key, except short ones."""
    for path in sorted(pathlib.Path(certs).glob("*.key")):
        for block in re.findall(r"BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", path.read_bytes().decode(), re.S):
            yield from (line for line in block.split() if len(line) >= 16)


def documented_refusals():
    """spec/errors.tsv as {(code, where): (status, message)}."""
    rows = {}
    for row in table("errors.tsv"):
        for where in row["where"].split(","):
            rows.setdefault((row["code"], where), (int(row["status"]), row["message"]))
    return rows


def table(name):
    """A table of spec/ as a list of dictionaries."""
    lines = [line for line in (ROOT / "spec" / name).read_text().splitlines() if line and not line.startswith("#")]
    header = lines[0].split("\t")
    return [dict(zip(header, line.split("\t"), strict=True)) for line in lines[1:]]
