"""Where the sidecars of a file go, and how a set is written: never over what the user made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ocrd.files import hash_bytes, numbered_names, write_atomically
from ocrd.outputs.sidecar import read_sidecar

# A sidecar's name before its suffix, in bytes. A number and a suffix must fit into the 255 bytes
# that file systems allow.
MAX_BASE_BYTES = 240


@dataclass(frozen=True)
class Destination:
    """A folder, and the name of the sidecars without suffix."""

    folder: Path
    base: str

    def path(self, format_: str) -> Path:
        """The sidecar of this format."""
        return self.folder / f"{self.base}.{format_}"


def preferred_destination(
    source: Path, template: str, *, inbox: Path, output: Path | None
) -> Destination:
    """Where the sidecars go when nothing is in the way.

    Args:
        source: The file that is read.
        template: The configured name, with ``{name}`` or ``{stem}``.
        inbox: The folder whose subfolders are kept below ``output``.
        output: The configured folder; None for the source's own.
    """
    name = template.replace("{name}", source.name).replace("{stem}", source.stem)
    base = _shorten(name)
    if output is None:
        return Destination(source.parent, base)
    return Destination(output / source.parent.relative_to(inbox), base)


def choose_destination(
    preferred: Destination, formats: Sequence[str], *, is_ours: Callable[[Path], bool]
) -> Destination:
    """``preferred``, or with ``-2``, ``-3``... until each file is free or ``is_ours``."""
    for candidate in _candidates(preferred):
        paths = [candidate.path(format_) for format_ in formats]
        if all(not os.path.lexists(path) or is_ours(path) for path in paths):
            return candidate
    raise AssertionError("unreachable: the numbers do not end")


def find_complete_set(
    preferred: Destination, source_sha256: str, *, formats: Sequence[str]
) -> Destination | None:
    """Where a complete set for exactly this source is; None when there is none.

    A lost journal is rebuilt from these.
    """
    if "json" not in formats:
        return None
    for candidate in _candidates(preferred):
        if not all(candidate.path(format_).is_file() for format_ in formats):
            return None
        document = read_sidecar(candidate.path("json"))
        if document is not None and document["source"].get("sha256") == source_sha256:
            return candidate
    raise AssertionError("unreachable: the numbers do not end")


def write_set(
    destination: Destination, contents: Mapping[str, bytes], *, is_ours: Callable[[Path], bool]
) -> None:
    """Write the files of a set in order, each atomically and durably.

    Raises:
        FileExistsError: Someone else created a file of this name meanwhile.
        OSError: A file cannot be written.
    """
    destination.folder.mkdir(parents=True, exist_ok=True)
    for format_, data in contents.items():
        write_atomically(destination.path(format_), data, may_replace=is_ours)


def _candidates(preferred: Destination) -> Iterator[Destination]:
    for base in numbered_names(preferred.base):
        yield replace(preferred, base=base)


def _shorten(name: str) -> str:
    """A name of at most MAX_BASE_BYTES bytes."""
    if len(os.fsencode(name)) <= MAX_BASE_BYTES:
        return name
    # Two long names with the same beginning stay different.
    mark = "~" + hash_bytes(os.fsencode(name))[:8]
    while len(os.fsencode(name + mark)) > MAX_BASE_BYTES:
        name = name[:-1]
    return name + mark
