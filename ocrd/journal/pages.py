"""The pages of unfinished documents: a 300-page PDF continues where it stopped."""

from __future__ import annotations

from ocrd.journal.database import Database
from ocrd.types import EncodedReading


class PageStore:
    """Readings by job and page, as the worker encoded them; may raise JournalError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, job: str, reading: EncodedReading) -> None:
        """Keep a page that was read."""
        self._database.run(
            "INSERT OR REPLACE INTO pages (job, page, reading) VALUES (?, ?, ?)",
            job,
            reading.index,
            reading.json,
        )

    def readings(self, job: str) -> list[EncodedReading]:
        """The pages so far, in order."""
        rows = self._database.run(
            "SELECT page, reading FROM pages WHERE job = ? ORDER BY page", job
        )
        return [EncodedReading(row["page"], row["reading"]) for row in rows]

    def clear(self, job: str) -> None:
        """Forget the pages: they are read again."""
        self._database.run("DELETE FROM pages WHERE job = ?", job)

    def page_count(self, job: str) -> int:
        """The number of pages so far."""
        rows = self._database.run("SELECT COUNT(*) AS n FROM pages WHERE job = ?", job)
        return int(rows[0]["n"])
