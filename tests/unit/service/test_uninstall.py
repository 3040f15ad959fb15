"""The model is removed only on request, and only if ocrd downloaded it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocrd.config import PINNED_REVISION
from ocrd.errors import ServiceError
from ocrd.service.daemon_probe import DaemonProbe
from ocrd.service.installation import Installation
from ocrd.service.templates import TemplateContext
from ocrd.service.uninstall import uninstall
from tests.unit.service.home import FakeManager


class Store:
    """A folder of models, a configuration that names it, and a service that does not run."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        self.config = folder / "config.toml"
        self.manager = FakeManager(folder / "local.ocrd.plist")
        self.context = TemplateContext(
            Path("/bin/ocrd"), self.config, folder, folder / "launchd.log"
        )
        self.state_dir = folder / "state"
        self.configure(folder=str(self.models))

    def configure(self, **settings: str) -> None:
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        self.config.write_text("\n".join(["[model]", *lines]))

    def download(self, revision: str) -> Path:
        folder = self.models / "deepseek-ai--DeepSeek-OCR" / revision
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_text("weights")
        return folder

    def uninstall(self, *, model: bool = False, dry_run: bool = False) -> str:
        installation = Installation(
            self.config,
            self.state_dir,
            self.context,
            self.manager,
            quick_action=None,
            dry_run=dry_run,
        )
        return "\n".join(uninstall(installation, model=model))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("OCRD_STATE_DIR", str(tmp_path / "state"))
    return Store(tmp_path)


def test_the_model_is_removed_only_on_request(store: Store) -> None:
    model = store.download(PINNED_REVISION)
    other_revision = store.download("another")
    store.uninstall()
    assert model.exists()
    assert f"would remove {model}" in store.uninstall(model=True, dry_run=True)
    assert model.exists()
    assert f"removed {model}" in store.uninstall(model=True)
    assert not model.exists()
    assert other_revision.exists()


def test_the_model_of_a_running_daemon_is_not_removed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = store.download(PINNED_REVISION)
    monkeypatch.setattr(DaemonProbe, "is_running", lambda _self: True)
    with pytest.raises(ServiceError, match="started by hand"):
        store.uninstall(model=True)
    assert model.exists()


def test_a_model_that_ocrd_did_not_download_is_kept(store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    store.configure(path=str(mine))
    assert "kept the model" in store.uninstall(model=True)
    assert mine.exists()
