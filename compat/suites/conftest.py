"""The site that all suites test."""

import pytest

from website import Site


@pytest.fixture(scope="session")
def site():
    with Site() as running:
        yield running
