"""Programs of the operating system, and the service manager that started this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd import system_commands
from ocrd.errors import ServiceError


def test_a_program_that_hangs_or_is_missing_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = tmp_path / "launchctl"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setitem(system_commands.PROGRAMS, "launchctl", str(slow))
    with pytest.raises(ServiceError, match="did not answer within 0 s"):
        system_commands.run_command("launchctl", "print", "gui/501", timeout_s=0.3)
    monkeypatch.setitem(system_commands.PROGRAMS, "launchctl", "/nowhere/launchctl")
    with pytest.raises(ServiceError, match="cannot run"):
        system_commands.run_command("launchctl", "print", "gui/501")


def test_the_service_manager_is_known_from_the_environment() -> None:
    assert system_commands.service_manager({"OCRD_SERVICE": "launchd"}) == "launchd"
    assert system_commands.service_manager({"OCRD_SERVICE": "systemd"}) == "systemd"
    for other in ({}, {"OCRD_SERVICE": ""}, {"XPC_SERVICE_NAME": "0", "INVOCATION_ID": "x"}):
        assert system_commands.service_manager(other) is None
