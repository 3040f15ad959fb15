"""What a model folder must hold.

Each file's size and hash, kept beside the model so that it works offline.

The hub's own metadata decides: sha256 for large files, git's blob id for small ones
(huggingface_hub's `verify_repo_checksums` compares the same two).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ocrd.errors import ModelError

FILE = "manifest.json"
# What is fetched from a repository. Never a pickle (``.bin``, ``.pt``), nor pictures and read-mes.
WANTED = (".json", ".safetensors", ".py")

# Bytes: no checkpoint's file comes near.
LARGEST = 10**13

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BLOB_ID = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Entry:
    """One file as the hub knows it; one of the two hashes is there."""

    size: int
    sha256: str | None = None
    blob_id: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError or TypeError for what no hub can mean.

        It names files and counts bytes from here on.
        """
        if (
            not isinstance(self.size, int)
            or isinstance(self.size, bool)
            or not 0 <= self.size <= LARGEST
        ):
            raise ValueError(f"{self.size!r} is not a file's size")
        if not (
            _SHA256.fullmatch(self.sha256 or "")
            or (not self.sha256 and _BLOB_ID.fullmatch(self.blob_id or ""))
        ):
            raise ValueError("it has no hash")

    @property
    def hash(self) -> str:
        """Whichever of the two it has."""
        return self.sha256 or self.blob_id or ""


@dataclass(frozen=True)
class Manifest:
    repo: str
    # The commit, not a branch's name; None for a model that has no repository.
    revision: str | None
    files: Mapping[str, Entry]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.files.values())


def is_commit(revision: str) -> bool:
    """Whether it names one commit for ever, and not a branch or tag that may move."""
    return _COMMIT.fullmatch(revision) is not None


def is_wanted(name: str) -> bool:
    """Whether a repository's file is part of the model.

    In its top folder, by a plain name, of a kind that we read.
    """
    return _PLAIN_NAME.fullmatch(name) is not None and name.endswith(WANTED) and name != FILE


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in ``folder``, None when there is none.

    Raises ModelError when it is broken or names a file outside the folder.
    """
    path = folder / FILE
    try:
        if path.exists() and not path.is_file():  # a pipe, say, would be waited for
            raise ModelError(f"{path} is not a plain file")
        data = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read ({error})") from error
    try:
        return _manifest(data)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelError(f"{path} is not a manifest ({type(error).__name__}: {error})") from error


def _manifest(data: Any) -> Manifest:
    files = {}
    for name, fields in data["files"].items():
        if not is_wanted(name):
            raise ValueError(f"{name!r} is no file of a model")
        files[name] = Entry(fields["size"], fields.get("sha256"), fields.get("blob_id"))
    if not isinstance(data["repo"], str) or not isinstance(data["revision"], str | None):
        raise TypeError("repo or revision is not a text")
    return Manifest(data["repo"], data["revision"], files)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json``; hashes that are not known are left out."""
    files = {
        name: {key: value for key, value in asdict(entry).items() if value is not None}
        for name, entry in sorted(manifest.files.items())
    }
    data = {"repo": manifest.repo, "revision": manifest.revision, "files": files}
    (folder / FILE).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
