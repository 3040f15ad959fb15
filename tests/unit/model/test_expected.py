"""The configuration says which model to expect."""

from __future__ import annotations

from ocrd.config import PINNED_REPO, PINNED_REVISION, ModelConfig
from ocrd.model.expected import ExpectedModel, expected_model


def test_the_default_is_the_pinned_revision() -> None:
    assert expected_model(ModelConfig()) == ExpectedModel(
        PINNED_REPO, PINNED_REVISION, is_pinned=True
    )


def test_a_branch_may_be_at_any_commit() -> None:
    assert expected_model(ModelConfig(revision="main")) == ExpectedModel(PINNED_REPO, None)


def test_a_folder_of_the_users_own_may_contain_any_model() -> None:
    assert expected_model(ModelConfig(path="/some/folder")) == ExpectedModel()
