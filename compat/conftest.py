"""Fixtures, and the skip list."""

import os
import pathlib

import pytest

import certs as materials
from authority import Pebble
from harness import Server

# More tests are skipped in special set-ups.
SKIPS = ["skip.tsv", *os.environ.get("COMPAT_SKIP", "").split()]


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    """The folder of the test certificates."""
    if folder := os.environ.get("COMPAT_CERTS"):
        return folder
    folder = tmp_path_factory.mktemp("certs")
    materials.write_all(folder)
    return folder


@pytest.fixture
def server(certs):
    """A server of its own for one test."""
    with Server(certs) as running:
        yield running


@pytest.fixture(scope="module")
def shared_server(certs):
    """One server for the tests of a module that do not interfere with each other."""
    with Server(certs) as running:
        yield running


@pytest.fixture(scope="module")
def issuing(certs, tmp_path_factory):
    """A server with an issuer, for the tests of a module."""
    pebble = Pebble(tmp_path_factory.mktemp("pebble"))
    try:
        with Server(certs, pebble.config, pebble.ports) as running:
            yield running
    finally:
        pebble.stop()


def pytest_collection_modifyitems(items):
    tables = [(pathlib.Path(__file__).parent / name).read_text() for name in SKIPS]
    skipped = dict(row.split("\t")[:2] for table in tables for row in table.splitlines()[1:] if row)
    for item in items:
        if reason := skipped.get(item.nodeid.rsplit("/", 1)[-1]):
            item.add_marker(pytest.mark.skip(reason=reason))
