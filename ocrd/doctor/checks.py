"""All checks of `ocrd doctor`, in their order."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ocrd import paths
from ocrd.config import Config
from ocrd.control.status import StatusSnapshot, read_status
from ocrd.doctor.engine import check_device_plan, check_libraries, probe_torch
from ocrd.doctor.files import check_disks, check_folders, check_model
from ocrd.doctor.finding import Finding
from ocrd.doctor.service import check_daemon, check_service
from ocrd.errors import ExitCode, OcrdError


def run_checks(
    config: Config, probe: Callable[[Config], Mapping[str, Any]] = probe_torch
) -> Iterator[Finding]:
    """Run every check. An error in one check becomes a finding, and the others still run.

    Args:
        config: The configuration to check.
        probe: Asks PyTorch about this machine, see `probe_torch`.

    Yields:
        Findings, as they are made.
    """
    system = platform.mac_ver()[0] or platform.platform()
    yield Finding("system", "ok", f"{system}, Python {platform.python_version()}")
    status: StatusSnapshot | None = None

    def check_journal() -> Iterable[Finding]:
        nonlocal status
        status = read_status(paths.state_dir())
        return ()

    sections: list[tuple[str, ExitCode, Callable[[], Iterable[Finding]]]] = [
        ("libraries", ExitCode.ENGINE, check_libraries),
        ("plan", ExitCode.ENGINE, lambda: check_device_plan(probe(config))),
        ("journal", ExitCode.SERVICE, check_journal),
        ("folders", ExitCode.CONFIGURATION, lambda: check_folders(config, status)),
        ("model", ExitCode.MODEL, lambda: [check_model(config)]),
        ("disks", ExitCode.SERVICE, lambda: check_disks(config)),
        ("service", ExitCode.SERVICE, lambda: [check_service()]),
        ("daemon", ExitCode.SERVICE, lambda: check_daemon(status)),
    ]
    for name, exit_code, section in sections:
        try:
            yield from section()
        except (OSError, OcrdError) as error:
            advice = "fix that, then run ocrd doctor again"
            yield Finding(name, "fail", str(error), advice, exit_code)
