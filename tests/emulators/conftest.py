"""Emulated servers for the tests, one of each kind for all of them."""

from collections.abc import Iterator

import pytest

from tests.emulators.wandb import WandbServer


@pytest.fixture(scope="session")
def running_wandb() -> Iterator[WandbServer]:
    server = WandbServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def wandb_server(running_wandb: WandbServer) -> Iterator[WandbServer]:
    """W&B's server, emulated; it is well, and a test that asks what it does not know fails."""
    running_wandb.errors.clear()
    yield running_wandb
    running_wandb.heal()
    assert running_wandb.errors == []
