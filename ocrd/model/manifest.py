"""What a model folder must contain: the size and hash of each file.

They are the hub's own metadata: sha256 for large files, git's blob id for small ones
(huggingface_hub's `verify_repo_checksums` compares the same two). They are kept in a file next to
the model, so that verification works offline.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ocrd.errors import ModelError

MANIFEST_FILE = "manifest.json"

# What is fetched from a repository. Never a pickle (``.bin``, ``.pt``), nor pictures and read-mes.
MODEL_SUFFIXES = (".json", ".safetensors", ".py")

# More than any file of a checkpoint has.
MAX_FILE_BYTES = 10**13

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BLOB_ID = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class ManifestEntry:
    """One file as the hub describes it. It has one of the two hashes.

    Raises:
        ValueError, TypeError: A size or hash that no hub can mean.
    """

    size: int
    sha256: str | None = None
    blob_id: str | None = None

    def __post_init__(self) -> None:
        is_number = isinstance(self.size, int) and not isinstance(self.size, bool)
        if not is_number or not 0 <= self.size <= MAX_FILE_BYTES:
            raise ValueError(f"{self.size!r} is not a file's size")
        if self.sha256:
            valid = _SHA256.fullmatch(self.sha256)
        else:
            valid = _BLOB_ID.fullmatch(self.blob_id or "")
        if not valid:
            raise ValueError("it has no hash")

    @property
    def hash(self) -> str:
        """The hash that it has."""
        return self.sha256 or self.blob_id or ""


@dataclass(frozen=True)
class Manifest:
    """The files of one model.

    Attributes:
        repo: The repository, such as ``deepseek-ai/DeepSeek-OCR``.
        revision: The commit, never a branch; None for a model without a repository.
        files: The entries by file name.
    """

    repo: str
    revision: str | None
    files: Mapping[str, ManifestEntry]

    @property
    def total_bytes(self) -> int:
        """The size of all files together."""
        return sum(entry.size for entry in self.files.values())


def is_commit(revision: str) -> bool:
    """Whether it names one commit, and not a branch or tag that can move."""
    return _COMMIT.fullmatch(revision) is not None


def is_model_file(name: str) -> bool:
    """Whether a repository's file belongs to the model: a plain name and a suffix that we read."""
    if name == MANIFEST_FILE or not name.endswith(MODEL_SUFFIXES):
        return False
    return _PLAIN_NAME.fullmatch(name) is not None


def read_manifest(folder: Path) -> Manifest | None:
    """Read the manifest in ``folder``; None when it has none.

    Raises:
        ModelError: The manifest is damaged, or names a file outside the folder.
    """
    path = folder / MANIFEST_FILE
    try:
        if path.exists() and not path.is_file():  # reading a pipe would block
            raise ModelError(f"{path} is not a plain file")
        data = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read ({error})") from error
    try:
        return _parse(data)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelError(f"{path} is not a manifest ({type(error).__name__}: {error})") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json``, without the hashes that are not known."""
    files = {
        name: {key: value for key, value in asdict(entry).items() if value is not None}
        for name, entry in sorted(manifest.files.items())
    }
    data = {"repo": manifest.repo, "revision": manifest.revision, "files": files}
    (folder / MANIFEST_FILE).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _parse(data: Any) -> Manifest:
    files = {}
    for name, fields in data["files"].items():
        if not is_model_file(name):
            raise ValueError(f"{name!r} is not a model's file")
        files[name] = ManifestEntry(fields["size"], fields.get("sha256"), fields.get("blob_id"))
    if not isinstance(data["repo"], str) or not isinstance(data["revision"], str | None):
        raise TypeError("repo or revision is not a text")
    return Manifest(data["repo"], data["revision"], files)
