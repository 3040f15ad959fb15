"""A daemon that manages its own model."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ocrd.model.expected import ExpectedModel
from ocrd.model.hashes import HashCache
from ocrd.model.verify import verify
from tests.integration.conftest import Service
from tests.published import REPO


class ManagedService:
    """A service whose model comes from the local hub.

    Attributes:
        service: The daemon, its inbox and its commands.
        revision: The configured revision of the model.
    """

    def __init__(self, service: Service, revision: str) -> None:
        self.service = service
        self.revision = revision
        self.models_folder = service.home / "models"
        service.model = {"repo": REPO, "revision": revision, "folder": str(self.models_folder)}
        service.environment["HF_HOME"] = str(service.home / "hf")
        service.configure()

    @property
    def repo_folder(self) -> Path:
        return self.models_folder / REPO.replace("/", "--")

    @property
    def folder(self) -> Path:
        return self.repo_folder / self.revision

    @property
    def staging(self) -> Path:
        return self.repo_folder / f"{self.revision}~new"

    @property
    def replaced(self) -> Path:
        return self.repo_folder / f"{self.revision}~old"

    def heal(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.service.call("model", "heal", *options)

    def is_complete(self) -> bool:
        expected = ExpectedModel(REPO, self.revision)
        return verify(self.folder, HashCache(), expected=expected, full=True).ok

    def contents(self) -> dict[str, bytes]:
        if not self.folder.exists():
            return {}
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def engine_state(self) -> str | None:
        engine = self.service.status()["engine"] or {}
        state: str | None = engine.get("state")
        return state
