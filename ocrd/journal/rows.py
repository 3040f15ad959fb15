"""Between the journal's rows and our own types."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ocrd.errors import RefusalReason
from ocrd.journal.database import Row
from ocrd.journal.schema import SUBMITTED
from ocrd.types import Fingerprint


class JobState(StrEnum):
    """The states of a job: queued, then running, then done or failed."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Job:
    """One file to read, and what has happened to it.

    Attributes:
        id: Its name in the log, in ``ocrd jobs`` and in hooks.
        path: The file.
        inbox: The inbox that it was dropped into; None for a submitted file.
        fingerprint: The contents that are to be read.
        state: Its state.
        crashes: How many workers died over it.
        attempts: How many times it was started.
        reason: Why it failed.
        message: Why it failed, or why it waits for a retry.
        changed: When its state changed, in seconds since 1970.
        sidecars: Where they were written, once it is done.
    """

    id: str
    path: Path
    inbox: Path | None
    fingerprint: Fingerprint
    state: JobState
    crashes: int
    attempts: int
    reason: RefusalReason | None
    message: str | None
    changed: float
    sidecars: tuple[Path, ...] = ()


def job_from_row(row: Row) -> Job:
    """The job of a row of the table ``jobs``."""
    return Job(
        id=row["id"],
        path=path_from_bytes(row["path"]),
        inbox=None if row["inbox"] == SUBMITTED else Path(row["inbox"]),
        fingerprint=_fingerprint(row),
        state=JobState(row["state"]),
        crashes=row["crashes"],
        attempts=row["attempts"],
        reason=_reason(row["reason"]),
        message=row["message"],
        changed=row["changed"],
        sidecars=tuple(
            path_from_bytes(bytes.fromhex(name)) for name in json.loads(row["sidecars"])
        ),
    )


def path_from_bytes(name: bytes) -> Path:
    """The path of its bytes on disk."""
    return Path(os.fsdecode(name))


def path_to_hex(path: Path) -> str:
    """The path's bytes on disk, in hex."""
    return os.fsencode(path).hex()


def paths_to_json(paths: Sequence[Path]) -> str:
    """Several paths in one text."""
    return json.dumps([path_to_hex(path) for path in paths])


def name_key(path: Path) -> str:
    """The same key for both Unicode forms of a name; bytes that are not UTF-8 are escaped."""
    return unicodedata.normalize("NFC", os.fsencode(path).decode("utf-8", "backslashreplace"))


def as_utf8(message: str | None) -> str | None:
    """Names that are not UTF-8 contain surrogates, which SQLite's texts cannot hold."""
    return None if message is None else message.encode("utf-8", "backslashreplace").decode()


def fingerprint_values(fingerprint: Fingerprint) -> tuple[int, int, int, int]:
    """The columns device, inode, size and mtime_ns."""
    return (
        _signed(fingerprint.device),
        _signed(fingerprint.inode),
        _signed(fingerprint.size),
        _signed(fingerprint.mtime_ns),
    )


def _fingerprint(row: Row) -> Fingerprint:
    # A time before 1970 is negative; the other values never are.
    mask = (1 << 64) - 1
    return Fingerprint(
        row["device"] & mask, row["inode"] & mask, row["size"] & mask, row["mtime_ns"]
    )


def _signed(value: int) -> int:
    # SQLite's integers are signed 64-bit; some file systems have inodes that are not.
    return value - (1 << 64) if value >= 1 << 63 else value


def _reason(text: str | None) -> RefusalReason | None:
    if text is None:
        return None
    try:
        return RefusalReason(text)
    except ValueError:  # a word of another version
        return RefusalReason.UNREADABLE
