"""What an installation made, written down before it is made.

So that removing it takes away exactly that.

It outlives an interruption anywhere: what it names may be there or not, and everything that is
there is named.
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

FILE = "service.json"


class _Stored(BaseModel):
    """The file, as somebody may have left it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    files: dict[Annotated[str, Field(pattern="^/")], list[str]] = {}
    folders: list[Annotated[str, Field(pattern="^/")]] = []
    domain: Literal["", "gui", "user"] = ""
    loaded: str = ""
    version: str = ""


@dataclass
class Record:
    path: Path
    # Each file that was or is about to be written, and the sha256 of what may stand in it.
    files: dict[str, list[str]] = field(default_factory=dict)
    # Folders that were made, outermost first.
    folders: list[str] = field(default_factory=list)
    # launchd's, if not the usual one.
    domain: str = ""
    # sha256 of the service's file as its manager knows it.
    loaded: str = ""
    # ocrd's, when it was loaded.
    version: str = ""

    def save(self) -> None:
        """Raises ServiceError when it cannot be written."""
        text = json.dumps({k: v for k, v in asdict(self).items() if k != "path"}, indent=2)
        try:
            write_atomically(self.path, text.encode())
        except OSError as error:
            raise ServiceError(f"{self.path}: cannot be written ({error.strerror})") from error

    def about_to_make(self, folder: Path) -> None:
        if str(folder) not in self.folders:
            self.folders.append(str(folder))
            self.save()

    def about_to_write(self, file: Path, sha256: str) -> None:
        hashes = self.files.setdefault(str(file), [])
        if sha256 not in hashes:
            hashes.append(sha256)
        self.save()

    def written(self, file: Path, sha256: str) -> None:
        self.files[str(file)] = [sha256]
        self.save()

    def wrote(self, file: Path, sha256: str) -> bool:
        return sha256 in self.files.get(str(file), ())

    def remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()


def read_record(state: Path) -> Record:
    """An empty one where nothing was installed, or where it cannot be read.

    What it named is known by its place too.
    """
    path = paths.make_private_folder(state) / FILE
    try:
        stored = _Stored.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return Record(path)
    return Record(path, **stored.model_dump())
