"""Commands that must not run inside the service."""

from __future__ import annotations

import pytest

from ocrd.errors import ServiceError
from ocrd.service.service_manager import refuse_inside_service


def test_a_command_inside_the_service_does_not_stop_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCRD_SERVICE", raising=False)
    refuse_inside_service("stop")
    monkeypatch.setenv("OCRD_SERVICE", "launchd")
    with pytest.raises(ServiceError, match="runs inside the service"):
        refuse_inside_service("stop")
