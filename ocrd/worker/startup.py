"""From nothing to a model that reads: verify, heal when broken, load, and read the canary."""

from __future__ import annotations

import contextlib
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from ocrd import paths
from ocrd.config import ModelConfig, is_managed, model_dir
from ocrd.errors import EngineError, ModelError, ModelUnavailable, OcrdError
from ocrd.model.expected import expected_model
from ocrd.model.factory import make_healer
from ocrd.model.hashes import HashCache
from ocrd.model.manifest import read_manifest
from ocrd.model.progress import ProgressMeter, TransferProgress
from ocrd.model.report import Report
from ocrd.model.retry import heal_with_retries
from ocrd.model.verify import bytes_to_hash, verify
from ocrd.worker.messages import Setup

if TYPE_CHECKING:
    from ocrd.engine.runtime.devices import Devices
    from ocrd.engine.runtime.engine_runner import EngineRunner

CANARY = paths.POCKET_MODEL / "demo" / "greeting.png"
Say = Callable[..., None]


class Startup:
    """Each step tells the parent how far it is, for ``ocrd status``."""

    def __init__(self, setup: Setup, say: Say, *, devices: Devices | None = None) -> None:
        """``devices`` in place of torch's own, for tests."""
        self._setup = setup
        self._say = say
        self._devices = devices
        self._model = ModelConfig.model_validate(setup.model)
        self._folder = model_dir(self._model)
        self._cache = HashCache(paths.hash_cache_file())
        self._healing = False
        self._waited_for = ""
        self._meter = ProgressMeter(self._tell, interval_s=1.0)

    def runner(self) -> EngineRunner:
        """With the model loaded.

        Raises ModelError for a model that stays broken, EngineError for want of a device.
        """
        self._make_whole(full=self._setup.distrust)
        runner = self._new_runner()
        try:
            runner.start()
            return runner
        except Exception as error:
            # Something that a quick look cannot see: a byte that changed, a disk that fails. If
            # every byte is right, it is not the files' fault.
            log = structlog.get_logger(component="model")
            log.warning(
                "the model does not load; hashing all of it",
                error=str(error),
                stack=traceback.format_exc(),
            )
            if not self._make_whole(full=True):
                if isinstance(error, OcrdError):
                    raise
                raise EngineError(
                    f"the model does not load ({type(error).__name__}: {error}); the log says more"
                ) from error
        runner = self._new_runner()
        runner.start()
        return runner

    def identity(self) -> dict[str, str | None]:
        """Whose model this is and at which commit.

        A folder that was made by hand is called by its name.
        """
        with contextlib.suppress(ModelError):
            if manifest := read_manifest(self._folder):
                return {"repo": manifest.repo, "revision": manifest.revision}
        return {"repo": self._folder.name, "revision": None}

    def _make_whole(self, *, full: bool) -> bool:
        """Verify and heal; whether anything had to be healed."""
        self._healing = False
        self._meter.start_phase("checking", bytes_to_hash(self._folder, self._cache, full=full))
        report = verify(
            self._folder,
            self._cache,
            expected=expected_model(self._model),
            full=full,
            on_bytes=self._meter.advance,
        )
        with contextlib.suppress(OSError):
            self._cache.save()
        if report.ok:
            return False
        if not is_managed(self._model):
            report.raise_if_broken()
        self._heal(report)
        return True

    def _heal(self, report: Report) -> None:
        self._healing = True
        broken = [f"{check.name}: {check.found}" for check in report.failures]
        structlog.get_logger(component="model").warning(
            "the model is broken; healing it", broken=broken
        )
        heal_with_retries(
            make_healer(self._model, self._cache, meter=self._meter),
            self._setup.tries,
            on_wait=self._wait,
        )

    def _new_runner(self) -> EngineRunner:
        """Not loaded yet. Raises EngineError for a device that is not there, which is no fault
        of the model.
        """
        # Imported here: torch takes seconds, and a model that cannot be had should be said before.
        from ocrd.engine.runtime.devices import TorchDevices
        from ocrd.engine.runtime.engine_runner import EngineOptions, EngineRunner
        from ocrd.engine.runtime.failover import FailoverPolicy
        from ocrd.engine.runtime.self_test import SelfTest

        setup = self._setup
        self._say(event="loading", done=0.0)
        return EngineRunner(
            self._folder,
            EngineOptions(
                device=setup.device,
                dtype=setup.dtype,
                mode=setup.mode,
                batch=setup.batch,
                skip_blank=setup.skip_blank,
                failover=FailoverPolicy(setup.max_fallbacks, setup.cool_down),
            ),
            devices=self._devices or TorchDevices(),
            self_test=SelfTest(CANARY, known_text(self._folder)),
            progress=_LoadReport(self._say),
        )

    def _tell(self, progress: TransferProgress) -> None:
        state = "healing" if self._healing else "verifying"
        self._say(
            event="preparing",
            state=state,
            phase=progress.phase,
            done=progress.done_bytes,
            total=progress.total_bytes,
            speed=progress.bytes_per_s,
            left=progress.remaining_s,
        )

    def _wait(self, error: ModelUnavailable, seconds: float) -> None:
        if str(error) != self._waited_for:
            self._waited_for = str(error)
            structlog.get_logger(component="model").info("waiting for the model", error=str(error))
        self._say(event="preparing", state="waiting", message=str(error), seconds=seconds)


class _LoadReport:
    """Reports loading in steps of 2 %, and the self-test."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._last = 0.0

    def loaded(self, share: float) -> None:
        """Report how much of the weights is loaded."""
        if share - self._last >= 0.02 or share == 1.0:
            self._last = share
            self._say(event="loading", done=round(share, 3))

    def self_test_started(self, timeout_s: float) -> None:
        """Report within how many seconds the self-test ends."""
        self._say(event="canary", within=timeout_s)


def known_text(folder: Path) -> str | None:
    """What the model in ``folder`` reads in the canary picture.

    Known for the pocket model, wherever its files lie.
    """
    with contextlib.suppress(ModelError):
        if (manifest := read_manifest(folder)) and manifest.repo == "ocrd/pocket":
            drawn: dict[str, str] = json.loads(
                (CANARY.parent / "drawn.json").read_text(encoding="utf-8")
            )
            return drawn[CANARY.name]
    return None
