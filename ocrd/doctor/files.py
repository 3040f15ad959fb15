"""Checks of folders, the model's files and free disk space."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from ocrd import paths
from ocrd.config import Config, is_managed, model_dir, models_folder
from ocrd.control.status import StatusSnapshot
from ocrd.doctor.finding import Finding
from ocrd.errors import ExitCode
from ocrd.inbox.access import MISSING, folder_error, folders_in_use
from ocrd.model.expected import expected_model
from ocrd.model.hashes import HashCache
from ocrd.model.report import CheckState
from ocrd.model.verify import verify
from ocrd.units import format_size

# Below this much free space there is a warning; below the minimum, little works.
LOW_DISK_BYTES = 2 * 10**9
MIN_DISK_BYTES = 2 * 10**8
# Failed checks of the model in one finding; `ocrd model verify` shows all.
MAX_FAILURES = 3


def check_folders(config: Config, status: StatusSnapshot | None) -> Iterator[Finding]:
    """Check that this command and the daemon may write to each folder.

    They may differ: macOS can deny the daemon a folder that it allows a terminal.

    Args:
        config: Names the folders.
        status: What the daemon published; None when that cannot be read.
    """
    daemon_errors = status.folder_errors if status else {}
    for name, folder in folders_in_use(config):
        error = folder_error(folder)
        daemon_error = daemon_errors.get(str(folder))
        advice = "check that it exists and that you may write to it"
        # A folder that did not exist when the daemon started may exist now.
        if error is None and daemon_error and daemon_error != MISSING:
            error = f"the daemon has no access: {daemon_error}"
            advice = (
                "allow it in System Settings > Privacy & Security > Files and Folders, "
                "then run: ocrd restart"
            )
        if error == MISSING:
            found = f"{folder}: does not exist yet"
            yield Finding(name, "warn", found, "ocrd init or the daemon's start creates it")
        elif error:
            yield Finding(name, "fail", f"{folder}: {error}", advice, ExitCode.CONFIGURATION)
        else:
            who = "this command and the daemon" if str(folder) in daemon_errors else "this command"
            yield Finding(name, "ok", f"{folder}: {who} may write to it")


def check_model(config: Config) -> Finding:
    """Verify the model's files without hashing them again."""
    report = verify(
        model_dir(config.model),
        HashCache(paths.hash_cache_file()),
        expected=expected_model(config.model),
    )
    if report.ok:
        return Finding("model", "ok", f"{report.folder}: {len(report.checks)} checks passed")
    failures = "; ".join(f"{check.name}: {check.found}" for check in report.failures[:MAX_FAILURES])
    found = f"{report.folder}: {failures}"
    if not is_managed(config.model):
        return Finding(
            "model", "fail", found, "fix this folder, or remove model.path", ExitCode.MODEL
        )
    state: CheckState = "fail" if report.folder.exists() else "warn"
    return Finding("model", state, found, "run: ocrd model heal", ExitCode.MODEL)


def check_disks(config: Config) -> Iterator[Finding]:
    """Check the free space of each disk that ocrd writes to."""
    folders = dict([*folders_in_use(config), ("models", models_folder(config.model))])
    seen_devices: set[int] = set()
    for name, path in folders.items():
        folder = paths.nearest_existing_folder(path)
        device = folder.stat().st_dev
        if device in seen_devices:
            continue
        seen_devices.add(device)
        free = shutil.disk_usage(folder).free
        found = f"{format_size(free)} free at {folder}"
        if free >= LOW_DISK_BYTES:
            yield Finding(f"disk of {name}", "ok", found)
        else:
            state: CheckState = "fail" if free < MIN_DISK_BYTES else "warn"
            yield Finding(f"disk of {name}", state, found, "free some space", ExitCode.SERVICE)
