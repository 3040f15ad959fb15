"""Finder tags: ``OCR`` on files that were read, ``OCR failed`` on files that failed.

The user's own tags stay. A tag is an extended attribute of the file. Writing it changes neither the
size nor the modification time, by which ocrd identifies a file, so a tag never causes ocrd to read
the file again.
"""

from __future__ import annotations

import errno
import os
import plistlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from ocrd import system_commands
from ocrd.config import COLOURS, FinderConfig

# A binary property list of strings: a tag's name, a line feed, and the number of its colour.
ATTRIBUTE = "com.apple.metadata:_kMDItemUserTags"

# What the system answers for a file without tags; macOS calls it ENOATTR.
_NO_ATTRIBUTE = frozenset({errno.ENODATA, getattr(errno, "ENOATTR", errno.ENODATA)})

_log = structlog.get_logger(component="finder")

if sys.platform == "darwin":
    import xattr

    def read_attribute(path: Path) -> bytes:
        """Return the attribute that holds the tags of ``path``."""
        return bytes(xattr.getxattr(os.fsencode(path), ATTRIBUTE, symlink=True))

    def write_attribute(path: Path, value: bytes) -> None:
        """Replace the attribute that holds the tags of ``path``."""
        xattr.setxattr(os.fsencode(path), ATTRIBUTE, value, symlink=True)
else:
    # On Linux such attributes begin with "user."; Samba and netatalk pass them on to Macs.
    def read_attribute(path: Path) -> bytes:
        """Return the attribute that holds the tags of ``path``."""
        return os.getxattr(path, f"user.{ATTRIBUTE}", follow_symlinks=False)

    def write_attribute(path: Path, value: bytes) -> None:
        """Replace the attribute that holds the tags of ``path``."""
        os.setxattr(path, f"user.{ATTRIBUTE}", value, follow_symlinks=False)


@dataclass(frozen=True)
class Tag:
    """A tag's name and the number of its colour."""

    name: str
    colour: int


@dataclass(frozen=True)
class Tagger:
    """Tags files with the names and colours that the user configured."""

    done: Tag
    failed: Tag

    def tag(self, path: Path, *, read: bool) -> None:
        """Tag a file that was read or that failed.

        Errors are logged, never raised: the folder may be read-only, or its file system may not
        support attributes.
        """
        new, old = (self.done, self.failed) if read else (self.failed, self.done)
        try:
            before = _read_tags(path)
            after = merge_tag(before, new, remove=old.name)
            if after != before:
                write_attribute(path, plistlib.dumps(after, fmt=plistlib.FMT_BINARY))
        except FileNotFoundError:
            pass  # Hazel, for example, may move the file as soon as its sidecar exists
        except ValueError as error:
            _log.warning("tags left unchanged", file=str(path), error=str(error))
        except OSError as error:
            _log.warning("tagging failed", file=str(path), error=error.strerror or str(error))


def make_tagger(config: FinderConfig) -> Tagger | None:
    """Return the tagger for this configuration; None without Finder or when tags are off."""
    if not (config.tags and system_commands.is_macos()):
        return None
    return Tagger(
        done=Tag(config.done_tag, COLOURS[config.done_colour]),
        failed=Tag(config.failed_tag, COLOURS[config.failed_colour]),
    )


def merge_tag(tags: Sequence[str], new: Tag, *, remove: str) -> list[str]:
    """Return ``tags`` with ``new`` and without the tag named ``remove``.

    A tag that already has this name keeps the colour that it has.
    """
    kept = [tag for tag in tags if _name(tag) != remove]
    if any(_name(tag) == new.name for tag in kept):
        return kept
    return [*kept, f"{new.name}\n{new.colour}"]


def parse_tags(value: bytes) -> list[str]:
    """Return the tags in an attribute's value.

    Raises:
        ValueError: The value is not a list as Finder writes it.
    """
    try:
        tags = plistlib.loads(value)
    except Exception as error:  # plistlib raises many types for broken bytes, even IndexError
        raise ValueError(f"not a property list ({error})") from error
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError("not a list of names")
    return tags


def _read_tags(path: Path) -> list[str]:
    try:
        return parse_tags(read_attribute(path))
    except OSError as error:
        if error.errno in _NO_ATTRIBUTE:
            return []
        raise


def _name(tag: str) -> str:
    return tag.split("\n", 1)[0]
