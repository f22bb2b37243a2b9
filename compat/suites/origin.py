"""An origin for the suites: bodies both ways, ranges, redirects, trailers, WebSockets."""

import base64
import hashlib
import http.server
import json
import re
import socketserver
import threading

# Content that differs in every part, so that a shifted or repeated piece shows.
BLOCK = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(2048))
PAGE = b"the origin's page\n"
# What scanners look for in a site's answers. They belong to the site, not to the edge, which has to pass them on.
SECURITY = {
    "content-security-policy": "default-src 'self'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}
# A page that is loaded once its WebSocket has ended.
TALK = b'<!doctype html><title>talk</title><body>silent<script src="/talk.js"></script><img src="/talked">'
TALK_JS = b"""
const talk = new WebSocket("wss://" + location.host + "/websocket");
talk.onopen = () => talk.send("hello".repeat(2000));
talk.onmessage = said => { document.title = said.data.length; talk.close(); };
"""
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3


def content(length):
    """The first bytes of the origin's endless content."""
    return (BLOCK * (length // len(BLOCK) + 1))[:length]


class Origin:
    """Serves plaintext HTTP/1.1 on a free port. A context manager."""

    def __enter__(self):
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self.host, self.port = self._server.server_address
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    @property
    def websockets(self):
        """`Via` of each request for a WebSocket: the client's HTTP version."""
        return self._server.websockets

    def forget(self):
        """Resets the counts."""
        self._server.websockets.clear()
        self._server.talked.clear()

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, *args):
        super().__init__(*args)
        self.websockets, self.talked = [], threading.Event()

    def handle_error(self, *_):
        """A client that disconnects early is not an error."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024

    def do_GET(self):
        length = re.fullmatch(r"/bytes/(\d+)", self.path)
        if length:
            self._send_bytes(int(length[1]))
        elif self.path == "/moved":
            self._answer(302, b"", location="/")
        elif self.path == "/trailers":
            self._send_trailers()
        elif self.headers.get("upgrade", "").lower() == "websocket":
            self.server.websockets.append(self.headers.get("via"))
            self._echo_websocket()
            self.server.talked.set()
        elif self.path == "/talk":
            self._answer(200, TALK, "text/html")
        elif self.path == "/talk.js":
            self._answer(200, TALK_JS, "text/javascript")
        elif self.path == "/talked":
            self._answer(200 if self.server.talked.wait(20) else 504, b"")
        else:
            self._answer(200, PAGE)

    do_HEAD = do_GET

    def do_POST(self):
        digest, length = hashlib.sha256(), 0
        for part in self._body():
            digest.update(part)
            length += len(part)
        self._answer(200, json.dumps({"length": length, "sha256": digest.hexdigest()}).encode())

    do_PUT = do_POST

    def _body(self):
        if "chunked" in self.headers.get("transfer-encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return
        left = int(self.headers.get("content-length", 0))
        while left:
            part = self.rfile.read(min(left, 65536))
            if not part:
                return
            left -= len(part)
            yield part

    def _send_bytes(self, length):
        whole = content(length)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        if not asked:
            return self._answer(200, whole)
        first, last = int(asked[1]), min(int(asked[2]), length - 1)
        if first >= length:
            return self._answer(416, b"", content_range=f"bytes */{length}")
        return self._answer(206, whole[first : last + 1], content_range=f"bytes {first}-{last}/{length}")

    def _answer(self, status, body, kind="text/plain", **headers):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in {**SECURITY, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_trailers(self):
        """As in gRPC responses: the status follows the body, in trailers."""
        self.send_response(200)
        self.send_header("trailer", "grpc-status, grpc-message")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nhello\r\n0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\n\r\n")

    def _echo_websocket(self):
        key = self.headers["sec-websocket-key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID).digest()).decode()
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "upgrade")
        self.send_header("sec-websocket-accept", accept)
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        while frame := self._frame():
            opcode, payload = frame
            size = len(payload)
            length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
            self.wfile.write(bytes([0x80 | opcode]) + length + payload)
            self.wfile.flush()
            if opcode == 8:
                return

    def _frame(self):
        """Opcode and payload of a client's frame up to 64 KiB (RFC 6455 §5.2)."""
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        size = head[1] & 0x7F
        if size == 126:
            size = int.from_bytes(self.rfile.read(2), "big")
        mask, payload = self.rfile.read(4), self.rfile.read(size)
        return head[0] & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))

    def log_message(self, *_):
        pass
