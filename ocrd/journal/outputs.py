"""Which sidecars ocrd wrote: what is not listed here is the user's and never replaced."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ocrd.journal.database import Database
from ocrd.journal.rows import name_key, path_to_hex


class OutputRecord:
    """Hashes of sidecars by source and path; every method may raise JournalError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def plan(self, source: Path, outputs: Mapping[Path, str]) -> None:
        """Note the sidecars that are about to be written, so that a restart knows them as ours.

        What was there before stays noted until `commit`: the daemon may be killed between two
        files.

        Args:
            source: The file that was read.
            outputs: sha256 by path.
        """
        self._database.run_many(
            "INSERT OR IGNORE INTO outputs VALUES (?, ?, ?)", _rows(source, outputs)
        )

    def commit(self, source: Path, outputs: Mapping[Path, str]) -> None:
        """The planned sidecars are written: forget what they replaced."""
        self._database.run_many(
            "DELETE FROM outputs WHERE name_key = ? AND file = ? AND sha256 <> ?",
            _rows(source, outputs),
        )

    def wrote(self, source: Path, path: Path, *, sha256: str) -> bool:
        """Whether ocrd wrote these bytes to ``path`` for ``source``."""
        rows = self._database.run(
            "SELECT 1 FROM outputs WHERE name_key = ? AND file = ? AND sha256 = ?",
            name_key(source),
            path_to_hex(path),
            sha256,
        )
        return bool(rows)


def _rows(source: Path, outputs: Mapping[Path, str]) -> list[tuple[str, str, str]]:
    return [(name_key(source), path_to_hex(path), sha256) for path, sha256 in outputs.items()]
