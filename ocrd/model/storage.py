"""Every path that belongs to one managed model, and the only code in ocrd that removes folders.

Threat model: names come from a configuration file and the environment, which may hold anything, and
the folders may hold links that somebody put there. So a place is a root that the user chose and
plain names below it; removal walks from the root name by name without following a link, never
touches the root itself, the home folder or what lies above it, another file system, or the far side
of a link. Accepted: the root may be reached through links (a cache moved to another disk is
common), and who can write below the root can have removed what he could remove himself.
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

from ocrd.errors import ConfigError, ModelError

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~-]*")


@dataclass(frozen=True)
class OwnedPath:
    """A file or folder of ours: ``parts`` below ``root``."""

    root: Path
    parts: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.root.is_absolute():
            raise ModelError(f"{self.root}: a model's place must be an absolute path")
        if not self.parts or not all(_PLAIN_NAME.fullmatch(part) for part in self.parts):
            raise ModelError(
                f"{'/'.join(self.parts) or 'no name'}: cannot be the name of a model's folder"
            )

    @property
    def path(self) -> Path:
        return self.root.joinpath(*self.parts)

    def exists(self) -> bool:
        return os.path.lexists(self.path)

    def size(self) -> int:
        """Bytes on disk that removing it would free; what other names keep alive is not counted."""
        if self.path.is_symlink() or not self.path.is_dir():
            return 0
        total = 0
        for folder, _, names in os.walk(self.path):
            for name in names:
                with contextlib.suppress(OSError):
                    status = Path(folder, name).lstat()
                    total += status.st_blocks * 512 if status.st_nlink == 1 else 0
        return total

    def remove(self) -> None:
        """Remove it whole; nothing happens where nothing is.

        A link is removed, what it points to is not.

        Raises ModelError when it is not surely ours, or cannot be removed.
        """
        with self._removing(), self._opened(self.parts[:-1]) as parent:
            self._remove(self.parts[-1], parent)

    def clear(self, keep: Callable[[str, os.stat_result], bool]) -> None:
        """Remove what is in it but what ``keep`` says of (name, status).

        Nothing happens where nothing is.

        Raises ModelError as `remove` does.
        """
        with self._removing(), self._opened(self.parts) as folder:
            for name in os.listdir(folder):  # noqa: PTH208 - by its descriptor, which no link can turn elsewhere
                if not keep(name, os.stat(name, dir_fd=folder, follow_symlinks=False)):
                    self._remove(name, folder)

    @contextlib.contextmanager
    def _removing(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            return
        except OSError as error:
            raise ModelError(
                f"{self.path} cannot be removed ({error.strerror}); remove it by hand"
            ) from error

    def _remove(self, name: str, parent: int) -> None:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=parent)
            return
        if status.st_dev != os.fstat(parent).st_dev:
            raise ModelError(
                f"{self.path} is another disk's; it is not removed. Move it away by hand"
            )
        if any(os.path.samestat(status, kept) for kept in _never_removed()):
            raise ModelError(f"{self.path} is your home folder or holds it; it is not removed")
        for _, _, _, folder in os.fwalk(name, dir_fd=parent, follow_symlinks=False):
            with contextlib.suppress(OSError):
                os.fchmod(folder, stat.S_IRWXU)  # a folder that nobody may write cannot be emptied
        shutil.rmtree(name, dir_fd=parent)

    @contextlib.contextmanager
    def _opened(self, parts: tuple[str, ...]) -> Iterator[int]:
        """The folder at ``parts``, reached from the root without following a link below the
        root.
        """
        try:
            folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        except (
            NotADirectoryError
        ) as error:  # a file where the root should be: nothing of ours lies in it
            raise FileNotFoundError(error.errno, error.strerror) from error
        try:
            for part in parts:
                try:
                    below = os.open(
                        part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder
                    )
                except NotADirectoryError:
                    raise ModelError(
                        f"{self.path} lies behind a link or a file; it is not removed"
                    ) from None
                except OSError as error:
                    if error.errno == errno.ELOOP:
                        raise ModelError(
                            f"{self.path} lies behind a link; it is not removed"
                        ) from None
                    raise
                os.close(folder)
                folder = below
            yield folder
        finally:
            os.close(folder)


def _never_removed() -> list[os.stat_result]:
    home = Path.home()
    found = []
    for folder in (home, *home.parents):
        with contextlib.suppress(OSError):
            found.append(folder.stat())
    return found


@dataclass(frozen=True)
class ModelStorage:
    """Where one model lives, is put together, and may have left copies."""

    # The folder of all managed models (``model.folder``).
    store: Path
    repo: str
    revision: str
    # huggingface_hub's cache of all repositories.
    hub_cache: Path
    # Where transformers puts code that it ran from repositories.
    modules_cache: Path

    @property
    def _repo_folder(self) -> str:
        return self.repo.replace("/", "--")

    def _in_store(self, name: str) -> OwnedPath:
        return OwnedPath(self.store, (self._repo_folder, name))

    @property
    def final(self) -> OwnedPath:
        """The model that is loaded."""
        return self._in_store(self.revision)

    # A revision's name cannot hold "~", so these can never be another revision's folder.
    @property
    def staging(self) -> OwnedPath:
        """Where a new copy is put together, until it is verified."""
        return self._in_store(f"{self.revision}~new")

    @property
    def old(self) -> OwnedPath:
        """What was replaced, between the two renames and its removal."""
        return self._in_store(f"{self.revision}~old")

    @property
    def kept(self) -> OwnedPath:
        """Files that somebody else put into the model's folder: never removed."""
        return self._in_store(f"{self.revision}~kept")

    @property
    def lock(self) -> Path:
        return self._in_store(f"{self.revision}~lock").path

    @property
    def siblings(self) -> Path:
        """The folder of this repository's revisions."""
        return self.store / self._repo_folder

    @property
    def cached(self) -> OwnedPath:
        """The repository in the hub's cache."""
        return OwnedPath(self.hub_cache, (f"models--{self._repo_folder}",))

    @property
    def modules(self) -> tuple[OwnedPath, ...]:
        """The repository's code as transformers copied it.

        Since version 5 under names that Python can import.
        """
        plain = tuple(self.repo.split("/"))
        importable = tuple(name.replace(".", "_dot_").replace("-", "_hyphen_") for name in plain)
        return tuple(
            OwnedPath(self.modules_cache, ("transformers_modules", *parts))
            for parts in {plain: 0, importable: 0}
        )

    @property
    def reset(self) -> tuple[OwnedPath, ...]:
        """What the nuclear reset removes beside the staging folder.

        The final one goes when the new one stands.
        """
        return (self.cached, *self.modules)

    def refuse_overlap(self) -> None:
        """Raises ConfigError when the model's own folder lies in what a reset removes, or holds
        it.
        """
        ours = Path(os.path.realpath(self.siblings))
        for place in self.reset:
            theirs = Path(os.path.realpath(place.path))
            if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
                raise ConfigError(
                    f"model.folder is {self.store}, which mixes with {place.path}, a cache of the same model; set "
                    "model.folder, HF_HOME or HF_HUB_CACHE to another folder"
                )
