"""A real ACME authority for the tests: Debian's pebble, which validates at the edge of the server under test."""

import json
import os
import socket
import struct
import subprocess
import threading

from issuer import write_self_signed

from harness import eventually, free_port, split_address


class Pebble:
    """An authority that validates whatever name at an edge with the ports `ports`, except below `nowhere.example`.
    `config` is the configuration of the server.
    """

    def __init__(self, folder):
        address = f"127.0.0.1:{free_port()}"
        self.ports = {"http": free_port(), "https": free_port()}
        crt, key = folder / "pebble.crt", folder / "pebble.key"
        write_self_signed(crt, key)
        # The names of the tests point nowhere, so what Edgeseal would check beforehand fails.
        self.config = (
            'acme_preflight = "off"\n[[acme]]\nname = "pebble"\naccept_terms = true\n'
            f'contact = ["mailto:ops@example.com"]\ndirectory = "https://{address}/dir"\nroot_file = "{crt}"\n'
        )
        self._resolver = Resolver(without="nowhere.example")
        config = {
            "listenAddress": address,
            "managementListenAddress": f"127.0.0.1:{free_port()}",
            "certificate": str(crt),
            "privateKey": str(key),
            "httpPort": self.ports["http"],
            "tlsPort": self.ports["https"],
        }
        file = folder / "pebble.json"
        file.write_text(json.dumps({"pebble": config}))
        self._log = open(folder / "pebble.log", "wb")
        self._process = subprocess.Popen(
            ["pebble", "-config", file, "-dnsserver", self._resolver.address],
            stdout=self._log,
            stderr=self._log,
            env=os.environ | {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"},
        )
        eventually("the authority", lambda: listens(address))

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


def listens(address):
    try:
        socket.create_connection(split_address(address)).close()
    except ConnectionRefusedError:
        return False
    return True
