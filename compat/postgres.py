"""`python postgres.py COMMAND…` runs a command beside a PostgreSQL server; COMPAT_POSTGRES is its port."""

import os
import pathlib
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
import time

from harness import free_port

# Tests of the store itself show what survives a crash.
FAST = ["fsync=off", "full_page_writes=off", "max_connections=300"]
START_SECONDS = 60


def main(command):
    with tempfile.TemporaryDirectory(prefix="edgeseal-compat-") as folder:
        os.chmod(folder, 0o755)
        data = pathlib.Path(folder, "data")
        data.mkdir()
        user = None
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root.
            user = pwd.getpwnam("postgres")
            os.chown(data, user.pw_uid, user.pw_gid)
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        options = {**identity, "cwd": "/", "stdout": subprocess.DEVNULL}
        initdb = [programs() / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(initdb, check=True, **options)
        port = free_port()
        settings = [f"-c{setting}" for setting in (*FAST, "unix_socket_directories=", "listen_addresses=127.0.0.1")]
        with open(pathlib.Path(folder, "log"), "wb") as log:
            server = subprocess.Popen(
                [programs() / "postgres", "-D", data, "-p", str(port), *settings], **options, stderr=log
            )
        try:
            wait_until_it_listens(server, port, pathlib.Path(folder, "log"))
            return subprocess.run(command, env=os.environ | {"COMPAT_POSTGRES": str(port)}).returncode
        finally:
            server.send_signal(signal.SIGINT)  # the fast shutdown
            server.wait()


def programs():
    """The folder of the newest version that Debian's packages have installed."""
    folders = pathlib.Path("/usr/lib/postgresql").glob("*/bin")
    return max(folders, key=lambda folder: int(folder.parent.name))


def wait_until_it_listens(server, port, log):
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            late = time.monotonic() > deadline
            assert server.poll() is None and not late, f"PostgreSQL does not start:\n{log.read_text()}"
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
