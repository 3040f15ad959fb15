"""What belongs to an installation and where: shared by `install`, `uninstall` and `lifecycle`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ocrd
from ocrd import paths
from ocrd.errors import ServiceError
from ocrd.files import next_free_path
from ocrd.service import templates
from ocrd.service.install_record import RECORD_FILE, InstallRecord, read_record
from ocrd.service.service_manager import ServiceManager

# Appended to the name of a file that the user edited. launchd reads only ``*.plist``.
EDITED_SUFFIX = ".edited"


@dataclass(frozen=True)
class Installation:
    """The files of an installation and what they contain."""

    config: Path
    state_dir: Path
    context: templates.TemplateContext
    manager: ServiceManager
    # The folder of the Quick Action; None on systems without Finder.
    quick_action: Path | None
    # Change nothing, only report what would be done.
    dry_run: bool = False

    def files(self) -> Mapping[Path, bytes]:
        """Return the contents of all files but the service's own."""
        if self.quick_action is None:
            return {}
        contents = templates.quick_action(self.context)
        return {self.quick_action / "Contents" / name: data for name, data in contents.items()}

    def all_files(self) -> Mapping[Path, bytes]:
        """Return the contents of all files; the service's own file is the last."""
        return {**self.files(), self.manager.file: self.service_file()}

    def service_file(self) -> bytes:
        """Return the contents of the service's file."""
        if self.manager.name == "systemd":
            return templates.systemd_unit(self.context)
        return templates.launch_agent(self.context)

    def read_record(self) -> InstallRecord:
        """Read the record of what was created. A dry run creates nothing, not even its folder."""
        if self.dry_run and not self.state_dir.is_dir():
            return InstallRecord(self.state_dir / RECORD_FILE)
        return read_record(self.state_dir)


def record_loaded(state_dir: Path, sha256: str) -> None:
    """Record which content of the service's file the manager has loaded."""
    record = read_record(state_dir)
    record.loaded = sha256
    record.version = ocrd.__version__
    record.save()


def move_aside(path: Path) -> Path:
    """Rename a file that ocrd did not write or that the user edited.

    Returns:
        Its new path.

    Raises:
        ServiceError: The file cannot be renamed.
    """
    new_path = next_free_path(path.with_name(path.name + EDITED_SUFFIX))
    try:
        path.rename(new_path)
    except OSError as error:
        raise ServiceError(
            f"{path}: was changed and cannot be renamed to {new_path.name} ({error.strerror}); "
            "move it away"
        ) from error
    return new_path


def launchd_log_file() -> Path:
    """Return the file with what the service prints before logging begins."""
    return paths.log_dir() / "launchd.log"
