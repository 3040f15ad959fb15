"""Between the journal's rows and our own types."""

from __future__ import annotations

import json
import os
import sqlite3
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ocrd.journal.schema import SUBMITTED
from ocrd.types import Attempt, Block, Fallback, Fingerprint, PageReading


@dataclass(frozen=True)
class Job:
    id: str
    path: Path
    # None for a file that was submitted where it lies.
    inbox: Path | None
    fingerprint: Fingerprint
    state: str
    crashes: int
    attempts: int
    reason: str | None
    message: str | None
    changed: float
    # Where they were written, once it is done.
    sidecars: tuple[Path, ...] = ()


def job_from(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        path=path_from(row["path"]),
        inbox=None if row["inbox"] == SUBMITTED else Path(row["inbox"]),
        fingerprint=Fingerprint(row["device"], row["inode"], row["size"], row["mtime_ns"]),
        state=row["state"],
        crashes=row["crashes"],
        attempts=row["attempts"],
        reason=row["reason"],
        message=row["message"],
        changed=row["changed"],
        sidecars=tuple(path_from(bytes.fromhex(name)) for name in json.loads(row["sidecars"])),
    )


def reading_from(data: Mapping[str, Any]) -> PageReading:
    """A `PageReading` from its JSON form, as ``dataclasses.asdict`` wrote it."""
    blocks = tuple(
        Block(
            text=b["text"],
            label=b["label"],
            bbox=tuple(b["bbox"]) if b["bbox"] else None,
            page=b["page"],
        )
        for b in data["blocks"]
    )
    fallbacks = tuple(Fallback(**f) for f in data.get("fallbacks", ()))
    attempts = tuple(Attempt(**a) for a in data.get("attempts", ()))
    return PageReading(**{**data, "blocks": blocks, "fallbacks": fallbacks, "attempts": attempts})


def path_from(name: bytes) -> Path:
    return Path(os.fsdecode(name))


def hex_of(path: Path) -> str:
    return os.fsencode(path).hex()


def paths_as_json(paths: Sequence[Path]) -> str:
    return json.dumps([hex_of(path) for path in paths])


def key(path: Path) -> str:
    """One for both Unicode forms of a name; bytes that are no UTF-8 are escaped."""
    return unicodedata.normalize("NFC", os.fsencode(path).decode("utf-8", "backslashreplace"))


def storable(message: str | None) -> str | None:
    """Names that are no UTF-8 come as surrogates, which SQLite's texts cannot hold."""
    return None if message is None else message.encode("utf-8", "backslashreplace").decode()


def values(fingerprint: Fingerprint) -> tuple[int, ...]:
    # SQLite's integers are signed 64-bit; some file systems give inodes that are not.
    return tuple(v - (1 << 64) if v >= 1 << 63 else v for v in asdict(fingerprint).values())
