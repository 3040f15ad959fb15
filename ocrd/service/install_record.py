"""The record of what an installation created, so that `ocrd uninstall` removes exactly that.

Every entry is written before the file or folder is created. After an interruption at any point, an
entry may name something that does not exist, but everything that exists has an entry.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ocrd import paths
from ocrd.errors import ServiceError
from ocrd.files import write_atomically

RECORD_FILE = "service.json"


class _StoredRecord(BaseModel):
    """The file's contents, validated because users may have edited the file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    files: dict[Annotated[str, Field(pattern="^/")], list[str]] = {}
    folders: list[Annotated[str, Field(pattern="^/")]] = []
    domain: Literal["", "gui", "user"] = ""
    loaded: str = ""
    version: str = ""


@dataclass
class InstallRecord:
    """The files and folders that an installation created; each change is saved immediately."""

    path: Path
    # Each file that was written or is about to be written, with the sha256 of each content that
    # ocrd may have written to it.
    files: dict[str, list[str]] = field(default_factory=dict)
    # Folders that were created, outermost first.
    folders: list[str] = field(default_factory=list)
    # The type of launchd's domain: ``gui`` or ``user``. Empty when nothing was installed.
    domain: str = ""
    # The sha256 of the service's file that the service manager loaded.
    loaded: str = ""
    # The version of ocrd that loaded it.
    version: str = ""

    def save(self) -> None:
        """Write the record.

        Raises:
            ServiceError: The file cannot be written.
        """
        fields = {name: value for name, value in asdict(self).items() if name != "path"}
        try:
            write_atomically(self.path, json.dumps(fields, indent=2).encode())
        except OSError as error:
            raise ServiceError(
                f"{self.path}: cannot be written ({error.strerror}); check its permissions"
            ) from error

    def add_folder(self, folder: Path) -> None:
        """Record a folder that is about to be created."""
        if str(folder) not in self.folders:
            self.folders.append(str(folder))
            self.save()

    def add_planned_write(self, file: Path, sha256: str) -> None:
        """Record a content that is about to be written; earlier contents stay recorded."""
        hashes = self.files.setdefault(str(file), [])
        if sha256 not in hashes:
            hashes.append(sha256)
        self.save()

    def confirm_write(self, file: Path, sha256: str) -> None:
        """Record the content of a file that was written; it replaces all earlier contents."""
        self.files[str(file)] = [sha256]
        self.save()

    def wrote(self, file: Path, sha256: str) -> bool:
        """Return whether ocrd wrote this content to this file, or was about to."""
        return sha256 in self.files.get(str(file), ())

    def delete(self) -> None:
        """Delete the record's file."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()


def read_record(state_dir: Path) -> InstallRecord:
    """Read the record in ``state_dir``.

    Returns:
        An empty record when nothing was installed or the file cannot be read. Uninstalling then
        recognises ocrd's files by their places and contents.
    """
    path = paths.make_private_folder(state_dir) / RECORD_FILE
    try:
        stored = _StoredRecord.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return InstallRecord(path)
    return InstallRecord(path, **stored.model_dump())
