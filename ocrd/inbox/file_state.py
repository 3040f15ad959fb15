"""One look at one file, without opening it: what it is now, and how long to distrust that."""

from __future__ import annotations

import math
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ocrd.types import Fingerprint

# Seconds that an empty file may take to get its content; then it is handed on, to end with a
# failure record.
EMPTY_GRACE = 30.0

# Seconds without any change after which a copy that Finder marks as running counts as given up.
COPY_GRACE = 600.0

# The same where only the birth time hints at a copy: volumes that keep none say 1970 for every
# file.
BIRTH_GRACE = 120.0

_DATALESS = 0x40000000  # SF_DATALESS of <sys/stat.h>, which Python's stat module lacks
_BUSY = b"brokMACS"  # the type and creator that Finder gives a file while it copies
_DAY = 86_400
_BORN_1984 = 443_750_400  # 1984-01-24 UTC, the Macintosh's own birthday


@dataclass(frozen=True)
class FileState:
    """Either a fingerprint, or the reason why the path is not to be read at all."""

    fingerprint: Fingerprint | None
    # Why it is ignored, or why it needs patience; empty for a plain file.
    reason: str = ""
    # Seconds that it must stay as it is before it may be taken, if longer than usual; ``inf``: not
    # in this state.
    patience: float = 0.0


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
        """What there is to know where there is no Finder."""
        return b""


def stat_file(path: Path, finder: Callable[[Path], bytes] = finder_info) -> FileState:
    """One ``lstat``. Never opens the file.

    That would hang on a FIFO and on a file that is still in iCloud.
    """
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return FileState(None, "gone")
    except (OSError, ValueError) as error:
        return FileState(None, f"cannot be looked at: {error}")
    if not stat.S_ISREG(status.st_mode):
        return FileState(
            None, "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
        )
    return judge(status, finder(path))


def gone(path: Path, known: Fingerprint) -> bool:
    """Whether there is surely no such file.

    Its folder is there, on the disk that it was ``known`` on, and it is not.

    Where a disk is away its place may be missing, or be an empty folder of another disk.
    """
    try:
        os.lstat(path)
    except FileNotFoundError:
        try:
            return path.parent.stat().st_dev == known.device
        except OSError:
            return False
    except (OSError, ValueError):
        return False
    return False


def not_here(path: Path) -> str | None:
    """Why the contents of a file cannot be had, though it lies there; None when they can."""
    seen = stat_file(path)
    return (
        f"{seen.reason}; it is read once it has been downloaded"
        if seen.patience == math.inf
        else None
    )


def unsettled_for(path: Path, settle: float, *, now: float) -> float:
    """Seconds at ``now`` (from 1970) until nobody has changed a file for its settle time.

    0 when that is so.

    For a file of which no earlier look is known. Its ctime is the time of the last change of any
    kind, which a copy does not bring with it; one that lies in the future, of a server whose clock
    is wrong, says nothing.
    """
    try:
        age = now - path.lstat().st_ctime
    except OSError:
        return 0.0
    patience = stat_file(path).patience
    need = max(settle, patience if patience < math.inf else 0.0)
    return max(0.0, need - age) if age >= 0 else 0.0


def judge(status: os.stat_result, info: bytes) -> FileState:
    """What a regular file's status and Finder information say."""
    fingerprint = Fingerprint(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if getattr(status, "st_flags", 0) & _DATALESS:
        return FileState(fingerprint, "still in iCloud", math.inf)
    if info.startswith(_BUSY):
        return FileState(fingerprint, "being copied by Finder", COPY_GRACE)
    if _busy_birth(getattr(status, "st_birthtime", None)):
        return FileState(fingerprint, "probably being copied by Finder", BIRTH_GRACE)
    if status.st_size == 0:
        return FileState(fingerprint, "empty", EMPTY_GRACE)
    return FileState(fingerprint)


def _busy_birth(born: float | None) -> bool:
    """Whether a birth time is one of those that Finder gives a copy in progress.

    1946-02-14, 1970, 1984-01-24.

    A day is added on each side, as some of them are meant in local time.
    """
    if born is None:
        return False
    return born <= _DAY or _BORN_1984 - _DAY <= born < _BORN_1984 + 2 * _DAY
