"""Writes a job's sidecars so that a kill between two files leaves nothing that is taken wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ocrd.files import hash_bytes, hash_file
from ocrd.journal import Journal
from ocrd.outputs.destination import Destination, choose_destination, write_set


class SidecarWriter:
    """Knows by the journal's hashes which files are ours; all others are the user's."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def write(
        self, source: Path, preferred: Destination, *, contents: Mapping[str, bytes]
    ) -> list[Path]:
        """Write a complete set for ``source``; returns its paths.

        Args:
            source: The file that was read.
            preferred: Where the set goes when no user's file is in the way.
            contents: The bytes by format, in the order in which they are written.

        Raises:
            FileExistsError: Someone else created a file of this name meanwhile.
            OSError: A file cannot be written.
            JournalError: The journal cannot be used.
        """
        hashes = {f".{format_}": hash_bytes(data) for format_, data in contents.items()}

        def is_ours(path: Path) -> bool:
            if path.is_symlink() or not path.is_file():
                return False
            sha256 = hash_file(path)
            # It already holds what would be written, or ocrd wrote it.
            return sha256 == hashes.get(path.suffix) or self._journal.outputs.wrote(
                source, path, sha256=sha256
            )

        destination = choose_destination(preferred, tuple(contents), is_ours=is_ours)
        planned = {destination.path(format_): hashes[f".{format_}"] for format_ in contents}
        self._journal.outputs.plan(source, planned)
        write_set(destination, contents, is_ours=is_ours)
        self._journal.outputs.commit(source, planned)
        return list(planned)

    def wrote(self, source: Path, path: Path) -> bool:
        """Whether ocrd wrote what is at ``path`` for ``source``, and nobody edited it."""
        return self._journal.outputs.wrote(source, path, sha256=hash_file(path))
