"""A real ACME authority for the tests: Debian's pebble, which validates at the edge of the server under test."""

import json
import os
import socket
import struct
import subprocess
import threading

from issuer import write_self_signed

from harness import split_address


class Pebble:
    """An authority with a port of its own. `config` is the server's; `start` when the edge's ports are known."""

    def __init__(self, folder):
        self.folder, self.address = folder, f"127.0.0.1:{free_port()}"
        self.crt, self.key = folder / "pebble.crt", folder / "pebble.key"
        write_self_signed(self.crt, self.key)
        # The names of the tests point nowhere, so what Edgeseal would check beforehand fails.
        self.config = (
            'acme_preflight = "off"\n[[acme]]\nname = "pebble"\naccept_terms = true\n'
            f'contact = ["mailto:ops@example.com"]\ndirectory = "https://{self.address}/dir"\nroot_file = "{self.crt}"\n'
        )

    def start(self, server):
        """Lets it validate at the edge of this server, whatever the name, except below `nowhere.example`."""
        self._resolver = Resolver(without="nowhere.example")
        config = {
            "listenAddress": self.address,
            "managementListenAddress": f"127.0.0.1:{free_port()}",
            "certificate": str(self.crt),
            "privateKey": str(self.key),
            "httpPort": split_address(server.http)[1],
            "tlsPort": split_address(server.https)[1],
        }
        file = self.folder / "pebble.json"
        file.write_text(json.dumps({"pebble": config}))
        self._log = open(self.folder / "pebble.log", "wb")
        self._process = subprocess.Popen(
            ["pebble", "-config", file, "-dnsserver", self._resolver.address],
            stdout=self._log,
            stderr=self._log,
            env=os.environ | {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"},
        )

    def stop(self):
        self._process.kill()
        self._process.wait()
        self._log.close()
        self._resolver.close()


class Resolver:
    """A DNS server on loopback: every name has the address 127.0.0.1, those below `without` do not exist."""

    def __init__(self, without):
        self._without = b"".join(bytes([len(label)]) + label.encode() for label in without.split(".")) + b"\0"
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._socket.close()

    def _serve(self):
        while True:
            try:
                query, client = self._socket.recvfrom(4096)
                self._socket.sendto(self._answer(query), client)
            except OSError:
                return

    def _answer(self, query):
        """One question (RFC 1035 §4.1); a record for type A, none for others."""
        end = query.index(b"\0", 12) + 1
        question, (kind,) = query[12 : end + 4], struct.unpack("!H", query[end : end + 2])
        exists = not query[12:end].lower().endswith(self._without)
        found = exists and kind == 1
        # A response, authoritative; NXDOMAIN is 3.
        header = query[:2] + struct.pack("!HHHHH", 0x8400 if exists else 0x8403, 1, found, 0, 0)
        record = struct.pack("!HHHIH4B", 0xC00C, 1, 1, 1, 4, 127, 0, 0, 1) if found else b""
        return header + question + record


def free_port():
    """A port that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
