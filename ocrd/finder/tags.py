"""Finder's tags: ``OCR`` on what was read, ``OCR failed`` on what could not be.

The user's own tags stay.

A tag is written into an extended attribute, which changes neither size nor modification time: the
file keeps the fingerprint by which it is known, so a tag never makes it read again.
"""

from __future__ import annotations

import errno
import os
import plistlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from ocrd import system_commands
from ocrd.config import COLOURS, FinderConfig

# A binary property list: strings of a name, a line feed, and the number of a colour.
ATTRIBUTE = "com.apple.metadata:_kMDItemUserTags"

# ENOATTR on a Mac.
_NONE_THERE = frozenset({errno.ENODATA, getattr(errno, "ENOATTR", errno.ENODATA)})

_log = structlog.get_logger(component="finder")

if sys.platform == "darwin":
    import xattr

    def get(path: Path) -> bytes:
        return bytes(xattr.getxattr(os.fsencode(path), ATTRIBUTE, symlink=True))

    def put(path: Path, value: bytes) -> None:
        xattr.setxattr(os.fsencode(path), ATTRIBUTE, value, symlink=True)
else:
    # Linux keeps such attributes under "user."; Samba and netatalk hand them on to Macs as they
    # are.
    def get(path: Path) -> bytes:
        return os.getxattr(path, f"user.{ATTRIBUTE}", follow_symlinks=False)

    def put(path: Path, value: bytes) -> None:
        os.setxattr(path, f"user.{ATTRIBUTE}", value, follow_symlinks=False)


def merged(present: Sequence[str], name: str, *, colour: int, instead_of: str) -> list[str]:
    """``present`` with the tag ``name`` and without ``instead_of``.

    One of that name keeps the colour that it has.
    """
    kept = [tag for tag in present if _name(tag) != instead_of]
    return kept if name in map(_name, kept) else [*kept, f"{name}\n{colour}"]


def parse(value: bytes) -> list[str]:
    """The tags in an attribute. Raises ValueError for what is none of Finder's lists."""
    try:
        tags = plistlib.loads(value)
    except (
        Exception
    ) as error:  # plistlib raises half a dozen kinds for broken bytes, IndexError among them
        raise ValueError(f"not a property list ({error})") from error
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError("not a list of names")
    return tags


def marker(config: FinderConfig) -> Callable[[Path, bool], None] | None:
    """How a file is marked that was read (True) or failed.

    None where there is no Finder, or it is not wanted.
    """
    if not (config.tags and system_commands.is_macos()):
        return None
    done = (config.done_tag, COLOURS[config.done_colour])
    failed = (config.failed_tag, COLOURS[config.failed_colour])

    def mark(path: Path, read: bool) -> None:  # noqa: FBT001
        (name, colour), (other, _) = (done, failed) if read else (failed, done)
        _mark(path, name, colour=colour, instead_of=other)

    return mark


def _mark(path: Path, name: str, *, colour: int, instead_of: str) -> None:
    """Never raises: a tag is a courtesy, and a folder may be read-only or its disk know no
    attributes.
    """
    try:
        present = _present(path)
        tags = merged(present, name, colour=colour, instead_of=instead_of)
        if tags != present:
            put(path, plistlib.dumps(tags, fmt=plistlib.FMT_BINARY))
    except FileNotFoundError:
        pass  # moved on by Hazel, say, as soon as its sidecar was there
    except ValueError as error:
        _log.warning("tags left as they are", file=str(path), error=str(error))
    except OSError as error:
        _log.warning("no tag can be set", file=str(path), error=error.strerror or str(error))


def _present(path: Path) -> list[str]:
    try:
        return parse(get(path))
    except OSError as error:
        if error.errno in _NONE_THERE:
            return []
        raise


def _name(tag: str) -> str:
    return tag.split("\n", 1)[0]
