"""The journal: every file that settled or was submitted, what became of it, and each page as it
came.

A job goes queued -> running -> done | failed. What is `running` when a daemon starts was
interrupted, so it is queued again, and goes on at its next page.
"""

from __future__ import annotations

from ocrd.journal.journal import Journal
from ocrd.journal.rows import Job, reading_from
from ocrd.journal.schema import FILE, unusable

__all__ = ["FILE", "Job", "Journal", "reading_from", "unusable"]
