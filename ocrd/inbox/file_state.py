"""The state of one file, found without opening it, and how long it has to stay unchanged."""

from __future__ import annotations

import math
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ocrd.types import Fingerprint

# An empty file gets this time to receive its content. After that it is read, and fails with a
# record.
EMPTY_QUIET_S = 30.0

# A copy that Finder marks as running counts as abandoned when it does not change for so long.
FINDER_COPY_QUIET_S = 600.0

# The same where only the birth time suggests a copy. Volumes that keep no birth time say 1970 for
# every file.
COPY_BIRTH_TIME_QUIET_S = 120.0

_SF_DATALESS = 0x40000000  # of <sys/stat.h>; Python's stat module lacks it
_FINDER_COPYING = b"brokMACS"  # the type and creator that Finder gives a file while it copies
_DAY_S = 86_400
_MACINTOSH_BIRTHDAY = 443_750_400  # 1984-01-24 UTC


@dataclass(frozen=True)
class FileState:
    """A file as it is now.

    Attributes:
        fingerprint: None for a path that is never read (a link, a pipe, nothing).
        reason: Why it is not read, or has to be waited for; empty for a plain file.
        required_quiet_s: Seconds without a change before it may be read, where that is more than
            the inbox's settle time; infinite while it cannot be read at all.
    """

    fingerprint: Fingerprint | None
    reason: str = ""
    required_quiet_s: float = 0.0


if sys.platform == "darwin":
    import xattr

    def finder_info(path: Path) -> bytes:
        """Finder's 32 bytes about a file, empty where it has none."""
        try:
            return bytes(xattr.getxattr(os.fsencode(path), "com.apple.FinderInfo", symlink=True))
        except OSError:
            return b""
else:

    def finder_info(path: Path) -> bytes:
        """Nothing, as there is no Finder."""
        return b""


def stat_file(path: Path, finder: Callable[[Path], bytes] = finder_info) -> FileState:
    """Return the state of ``path`` from one ``lstat`` and its Finder information.

    It never opens the file: that would block on a pipe, and download a file that is in iCloud.
    """
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return FileState(None, "there is no such file")
    except (OSError, ValueError) as error:
        return FileState(None, f"its state cannot be read: {error}")
    if stat.S_ISLNK(status.st_mode):
        return FileState(None, "a symbolic link")
    if not stat.S_ISREG(status.st_mode):
        return FileState(None, "not a regular file")
    return classify(status, finder(path))


def classify(status: os.stat_result, info: bytes) -> FileState:
    """Return the state of a regular file from its status and Finder information."""
    fingerprint = Fingerprint(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if getattr(status, "st_flags", 0) & _SF_DATALESS:
        return FileState(fingerprint, "still in iCloud", math.inf)
    if info.startswith(_FINDER_COPYING):
        return FileState(fingerprint, "being copied by Finder", FINDER_COPY_QUIET_S)
    if _is_copy_birth_time(getattr(status, "st_birthtime", None)):
        return FileState(fingerprint, "probably being copied by Finder", COPY_BIRTH_TIME_QUIET_S)
    if status.st_size == 0:
        return FileState(fingerprint, "empty", EMPTY_QUIET_S)
    return FileState(fingerprint)


def is_deleted(path: Path, last_seen: Fingerprint) -> bool:
    """Whether the file certainly does not exist any more.

    That is so when its folder exists, is on the disk that the file was ``last_seen`` on, and does
    not contain it. While a disk is not mounted, its mount point may be missing, or be an empty
    folder of another disk.
    """
    try:
        os.lstat(path)
    except FileNotFoundError:
        try:
            return path.parent.stat().st_dev == last_seen.device
        except OSError:
            return False
    except (OSError, ValueError):
        return False
    return False


def unavailable_reason(path: Path) -> str | None:
    """Why the content of an existing file cannot be read now; None when it can."""
    state = stat_file(path)
    if state.required_quiet_s < math.inf:
        return None
    return f"{state.reason}; it is read when it has been downloaded"


def remaining_settle_s(path: Path, settle_s: float, *, now: float) -> float:
    """Seconds until a file that was not watched before counts as complete.

    Its ctime is the time of the last change of any kind; a copy does not preserve it. A ctime in
    the future comes from a server whose clock is wrong, and is ignored.

    Args:
        path: The file.
        settle_s: Seconds without a change that are required.
        now: Seconds since 1970.

    Returns:
        0 for a file that is complete, or that is missing.
    """
    try:
        age_s = now - path.lstat().st_ctime
    except OSError:
        return 0.0
    if age_s < 0:
        return 0.0
    required_s = stat_file(path).required_quiet_s
    if required_s == math.inf:  # `unavailable_reason` reports that
        required_s = 0.0
    return max(0.0, max(settle_s, required_s) - age_s)


def _is_copy_birth_time(birth_time: float | None) -> bool:
    """Whether Finder gives a copy in progress this birth time: 1946-02-14, 1970 or 1984-01-24.

    A day is added on each side, as some of them are meant in local time.
    """
    if birth_time is None:
        return False
    if birth_time <= _DAY_S:
        return True
    return _MACINTOSH_BIRTHDAY - _DAY_S <= birth_time < _MACINTOSH_BIRTHDAY + 2 * _DAY_S
