"""Paths that ocrd may remove. This is the only code in ocrd that removes folders.

Threat model: names come from a configuration file and from the environment, which may contain
anything, and the folders may contain links that another program created. So an owned path is a root
that the user chose, and plain names below it. Removal walks from the root, name by name, and
follows no link. It never removes the root itself, the home folder or a folder above it, anything on
another file system, or the target of a link.

Accepted risks: the root may be reached through links (a cache that was moved to another disk is
common), and whoever can write below the root can also remove what is there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ocrd.errors import ModelError

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~-]*")

_BLOCK_BYTES = 512  # the unit of st_blocks


@dataclass(frozen=True)
class OwnedPath:
    """A file or folder of ocrd: the names ``parts`` below ``root``.

    Raises:
        ModelError: The root is not absolute, or a name is not plain.
    """

    root: Path
    parts: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.root.is_absolute():
            raise ModelError(f"{self.root}: the folder of a model must be an absolute path")
        if not self.parts or not all(_PLAIN_NAME.fullmatch(part) for part in self.parts):
            name = "/".join(self.parts) or "an empty name"
            raise ModelError(f"{name}: cannot be the name of a model's folder")

    @property
    def path(self) -> Path:
        """The whole path."""
        return self.root.joinpath(*self.parts)

    def exists(self) -> bool:
        """Whether there is anything with this name, also a broken link."""
        return os.path.lexists(self.path)

    def removable_bytes(self) -> int:
        """Bytes on the disk that removing the folder would free.

        Files that also have another name (a hard link) are not counted.
        """
        if self.path.is_symlink() or not self.path.is_dir():
            return 0
        total = 0
        for folder, _, names in os.walk(self.path):
            for name in names:
                with contextlib.suppress(OSError):
                    status = Path(folder, name).lstat()
                    if status.st_nlink == 1:
                        total += status.st_blocks * _BLOCK_BYTES
        return total

    def remove(self) -> None:
        """Remove it with everything in it. A link is removed, but not its target.

        Nothing happens when it does not exist.

        Raises:
            ModelError: It is not certain to be ocrd's, or cannot be removed.
        """
        with self._translate_errors(), self._open_folder(self.parts[:-1]) as parent:
            self._remove_entry(self.parts[-1], parent)

    def clear(self, keep: Callable[[str, os.stat_result], bool]) -> None:
        """Remove the entries of this folder, except those that ``keep`` accepts.

        Nothing happens when the folder does not exist.

        Args:
            keep: Called with the name and the status of each entry.

        Raises:
            ModelError: As for `remove`.
        """
        with self._translate_errors(), self._open_folder(self.parts) as folder:
            # By descriptor: the folder cannot be replaced by a link meanwhile.
            for name in os.listdir(folder):  # noqa: PTH208
                if not keep(name, os.stat(name, dir_fd=folder, follow_symlinks=False)):
                    self._remove_entry(name, folder)

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            return
        except OSError as error:
            raise ModelError(
                f"{self.path} cannot be removed ({error.strerror}); remove it by hand"
            ) from error

    def _remove_entry(self, name: str, parent: int) -> None:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=parent)
            return
        if status.st_dev != os.fstat(parent).st_dev:
            raise ModelError(
                f"{self.path} is on another disk and is not removed; move it away by hand"
            )
        if any(os.path.samestat(status, protected) for protected in _protected_folders()):
            raise ModelError(f"{self.path} is your home folder or contains it; it is not removed")
        for _, _, _, folder in os.fwalk(name, dir_fd=parent, follow_symlinks=False):
            with contextlib.suppress(OSError):
                os.fchmod(folder, stat.S_IRWXU)  # a read-only folder cannot be emptied
        shutil.rmtree(name, dir_fd=parent)

    @contextlib.contextmanager
    def _open_folder(self, parts: tuple[str, ...]) -> Iterator[int]:
        """A descriptor of the folder ``parts`` below the root, reached without following a link."""
        try:
            folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        except NotADirectoryError as error:
            # A file instead of the root: nothing of ours is in it.
            raise FileNotFoundError(error.errno, error.strerror) from error
        try:
            for part in parts:
                child = self._open_child(part, folder)
                os.close(folder)
                folder = child
            yield folder
        finally:
            os.close(folder)

    def _open_child(self, name: str, folder: int) -> int:
        try:
            return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        except NotADirectoryError:
            raise ModelError(
                f"{self.path} is reached through a link or a file; it is not removed"
            ) from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ModelError(
                    f"{self.path} is reached through a link; it is not removed"
                ) from None
            raise


def _protected_folders() -> list[os.stat_result]:
    """The home folder and every folder above it."""
    home = Path.home()
    found = []
    for folder in (home, *home.parents):
        with contextlib.suppress(OSError):
            found.append(folder.stat())
    return found
