"""What the configuration says about the model folder."""

from __future__ import annotations

from dataclasses import dataclass

from ocrd.config import PINNED_REPO, PINNED_REVISION, POCKET, ModelConfig
from ocrd.model.manifest import Manifest, is_commit


@dataclass(frozen=True)
class ExpectedModel:
    """The model that a folder should contain.

    Attributes:
        repo: The repository, None for any.
        revision: The commit, None for any.
        is_pinned: It is ocrd's own pinned revision, whose modeling code converts image features.
        manifest: The files to expect; None for those of the folder's own manifest.
    """

    repo: str | None = None
    revision: str | None = None
    is_pinned: bool = False
    manifest: Manifest | None = None


def expected_model(model: ModelConfig) -> ExpectedModel:
    """Return what to expect; nothing about a folder of the user's own."""
    if model.path == POCKET:
        return ExpectedModel(repo="ocrd/pocket")
    if model.path is not None:
        return ExpectedModel()
    return ExpectedModel(
        repo=model.repo,
        revision=model.revision if is_commit(model.revision) else None,  # a branch can move
        is_pinned=(model.repo, model.revision) == (PINNED_REPO, PINNED_REVISION),
    )
