"""A certificate's whole life through each official Python client: story.json from the first step to the last."""

import pytest

from clients import CLIENTS
from steps import load, run


@pytest.mark.parametrize("client", CLIENTS)
def test_story(client, server):
    sdk, saved = CLIENTS[client](server), {}
    for step in load("story.json"):
        try:
            run(step, sdk, server, saved)
        except Exception as failure:
            failure.add_note(f"in the step: {step['title']}")
            raise
