"""Every path that belongs to one managed model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ocrd.errors import ConfigError
from ocrd.model.owned_path import OwnedPath


@dataclass(frozen=True)
class ModelStorage:
    """Where one model is, where a new copy is assembled, and where other copies of it may be.

    Attributes:
        models_folder: The folder of all managed models (``model.folder``).
        repo: The repository.
        revision: A commit, branch or tag.
        hub_cache: huggingface_hub's cache of all repositories.
        modules_cache: Where transformers puts the code that it runs from repositories.
    """

    models_folder: Path
    repo: str
    revision: str
    hub_cache: Path
    modules_cache: Path

    @property
    def repo_folder(self) -> Path:
        """The folder of this repository's revisions."""
        return self.models_folder / self._repo_name

    @property
    def installed(self) -> OwnedPath:
        """The model that is loaded."""
        return self._in_repo_folder(self.revision)

    # The name of a revision cannot contain "~", so the following are never another revision.

    @property
    def staging(self) -> OwnedPath:
        """Where a new copy is assembled until it is verified."""
        return self._in_repo_folder(f"{self.revision}~new")

    @property
    def replaced(self) -> OwnedPath:
        """The old model, between the two renames and its removal."""
        return self._in_repo_folder(f"{self.revision}~old")

    @property
    def kept(self) -> OwnedPath:
        """Other files that were in the model's folder. They are never removed."""
        return self._in_repo_folder(f"{self.revision}~kept")

    @property
    def lock_file(self) -> Path:
        """Locked while a process heals this model."""
        return self._in_repo_folder(f"{self.revision}~lock").path

    @property
    def hub_copy(self) -> OwnedPath:
        """The repository in the hub's cache."""
        return OwnedPath(self.hub_cache, (f"models--{self._repo_name}",))

    @property
    def code_copies(self) -> tuple[OwnedPath, ...]:
        """The repository's code as transformers copied it.

        Version 5 uses names that Python can import, and older versions the plain ones.
        """
        plain = tuple(self.repo.split("/"))
        importable = tuple(name.replace(".", "_dot_").replace("-", "_hyphen_") for name in plain)
        return tuple(
            OwnedPath(self.modules_cache, ("transformers_modules", *parts))
            for parts in dict.fromkeys((plain, importable))
        )

    @property
    def other_copies(self) -> tuple[OwnedPath, ...]:
        """What a reset removes, besides the staging folder and the replaced model."""
        return (self.hub_copy, *self.code_copies)

    def check_overlap(self) -> None:
        """Raise ConfigError when a copy that a reset removes contains our folder or is in it."""
        own = Path(os.path.realpath(self.repo_folder))
        for copy in self.other_copies:
            other = Path(os.path.realpath(copy.path))
            if own.is_relative_to(other) or other.is_relative_to(own):
                raise ConfigError(
                    f"model.folder is {self.models_folder}, which overlaps with {copy.path}, a "
                    "cache of the same model; set model.folder, HF_HOME or HF_HUB_CACHE to "
                    "another folder"
                )

    @property
    def _repo_name(self) -> str:
        return self.repo.replace("/", "--")

    def _in_repo_folder(self, name: str) -> OwnedPath:
        return OwnedPath(self.models_folder, (self._repo_name, name))
