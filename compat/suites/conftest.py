"""The site that all suites look at."""

import pytest

from website import Site


@pytest.fixture(scope="session")
def site():
    with Site() as running:
        yield running
