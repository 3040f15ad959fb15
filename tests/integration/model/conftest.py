"""A hub on this machine, a user's folders, and a daemon that manages its own model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrd.model import hub as hub_module
from tests.hub import LocalHub
from tests.integration.conftest import Service
from tests.integration.model.managed import ManagedService
from tests.machine import Machine
from tests.published import REPO, published_files


@pytest.fixture
def stopped_hub() -> LocalHub:
    """A hub with one repository that does not serve yet."""
    hub = LocalHub()
    hub.publish(REPO, published_files())
    return hub


@pytest.fixture
def hub(stopped_hub: LocalHub) -> Iterator[LocalHub]:
    """A hub that serves one repository."""
    with stopped_hub.serving():
        yield stopped_hub


@pytest.fixture
def machine(tmp_path: Path, hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A user's folders. The client in this process retries immediately and only a few times."""
    monkeypatch.setattr(hub_module, "MAX_TRIES_WITHOUT_PROGRESS", 1)
    monkeypatch.setattr(hub_module, "RECONNECT_DELAY_S", 0.0)
    return Machine(tmp_path, hub.branches["main"])


@pytest.fixture
def managed(service: Service, stopped_hub: LocalHub) -> ManagedService:
    """A daemon that manages its own model, from the local hub."""
    return ManagedService(service, stopped_hub.branches["main"])
