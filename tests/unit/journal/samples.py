"""What the tests of the journal share."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ocrd.journal import FILE_NAME
from ocrd.serialization import encode_reading
from ocrd.types import Block, EncodedReading, Fingerprint, PageReading

FINGERPRINT = Fingerprint(1, 2, 3, 4)


def reading(index: int) -> EncodedReading:
    block = Block("hi", bbox=(1, 2, 3, 4), page=index)
    return encode_reading(PageReading(index, 10, 20, "hi", (block,), 2, "eos", 0.5, "native"))


def sqlite(folder: Path) -> sqlite3.Connection:
    """The journal's database, without ocrd."""
    return sqlite3.connect(folder / FILE_NAME, isolation_level=None)
