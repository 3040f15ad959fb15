"""From nothing to a model that reads: verify it, heal it when it is broken, load it, self-test."""

from __future__ import annotations

import contextlib
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from ocrd import paths
from ocrd.config import is_managed, model_dir
from ocrd.errors import EngineError, ModelError, ModelUnavailable, OcrdError
from ocrd.model.expected import expected_model
from ocrd.model.factory import make_healer
from ocrd.model.hashes import HashCache
from ocrd.model.manifest import read_manifest
from ocrd.model.progress import ProgressMeter, TransferProgress
from ocrd.model.report import Report
from ocrd.model.retry import heal_with_retries
from ocrd.model.verify import bytes_to_hash, verify
from ocrd.status import EngineLoading, ModelProgress, WaitingForModel
from ocrd.types import ModelIdentity
from ocrd.worker.messages import Preparing, SelfTestStarted, WorkerMessage, WorkerSetup

if TYPE_CHECKING:
    from ocrd.engine.runtime.devices import Devices
    from ocrd.engine.runtime.engine_runner import EngineRunner

SELF_TEST_PICTURE = paths.POCKET_MODEL / "demo" / "greeting.png"
# The share of the weights after which loading is reported again.
LOADING_STEP = 0.02


class Startup:
    """Makes the model complete and loads it; reports every step to the daemon."""

    def __init__(
        self,
        setup: WorkerSetup,
        send: Callable[[WorkerMessage], None],
        *,
        devices: Devices | None = None,
    ) -> None:
        """``devices`` replaces torch's own in tests."""
        self._setup = setup
        self._send = send
        self._devices = devices
        self._folder = model_dir(setup.model)
        self._hashes = HashCache(paths.hash_cache_file())
        self._healing = False
        self._last_wait = ""
        self._meter = ProgressMeter(self._report_progress, interval_s=1.0)

    def run(self) -> EngineRunner:
        """Verify, heal, load and self-test.

        Returns:
            The engine, ready to read pages.

        Raises:
            ModelError: The model is broken and cannot be healed.
            EngineError: No device can be used.
        """
        self._make_complete(full=self._setup.verify_fully)
        runner = self._new_runner()
        try:
            runner.start()
        except Exception as error:
            # The quick check cannot see a changed byte or a failing disk. When every byte is
            # right, the files are not the reason.
            structlog.get_logger(component="model").warning(
                "the model cannot be loaded; hashing all of it",
                error=str(error),
                stack=traceback.format_exc(),
            )
            if not self._make_complete(full=True):
                if isinstance(error, OcrdError):
                    raise
                raise EngineError(
                    f"the model cannot be loaded ({type(error).__name__}: {error});"
                    " the log says more"
                ) from error
        else:
            return runner
        runner = self._new_runner()
        runner.start()
        return runner

    def model_identity(self) -> ModelIdentity:
        """The model's repository and commit; the folder's name when it has no manifest."""
        with contextlib.suppress(ModelError):
            manifest = read_manifest(self._folder)
            if manifest is not None:
                return ModelIdentity(manifest.repo, manifest.revision)
        return ModelIdentity(self._folder.name, None)

    def _make_complete(self, *, full: bool) -> bool:
        """Verify and heal; returns whether anything had to be healed."""
        self._healing = False
        self._meter.start_phase("checking", bytes_to_hash(self._folder, self._hashes, full=full))
        report = verify(
            self._folder,
            self._hashes,
            expected=expected_model(self._setup.model),
            full=full,
            on_bytes=self._meter.advance,
        )
        with contextlib.suppress(OSError):
            self._hashes.save()
        if report.ok:
            return False
        if not is_managed(self._setup.model):
            report.raise_if_broken()
        self._heal(report)
        return True

    def _heal(self, report: Report) -> None:
        self._healing = True
        broken = [f"{check.name}: {check.found}" for check in report.failures]
        log = structlog.get_logger(component="model")
        log.warning("the model is broken; healing it", broken=broken)
        healer = make_healer(self._setup.model, self._hashes, meter=self._meter)
        heal_with_retries(healer, self._setup.max_fetch_tries, on_wait=self._report_wait)

    def _new_runner(self) -> EngineRunner:
        """An engine that is not loaded yet.

        Raises:
            EngineError: The configured device does not exist.
        """
        # Imported here: torch takes seconds, and a model that is missing is reported before that.
        from ocrd.engine.runtime.devices import TorchDevices
        from ocrd.engine.runtime.engine_runner import EngineOptions, EngineRunner
        from ocrd.engine.runtime.failover import FailoverPolicy
        from ocrd.engine.runtime.self_test import SelfTest

        self._send(Preparing(EngineLoading(0.0)))
        return EngineRunner(
            self._folder,
            EngineOptions(
                device=self._setup.device,
                dtype=self._setup.dtype,
                mode=self._setup.mode,
                batch=self._setup.batch,
                skip_blank=self._setup.skip_blank,
                failover=FailoverPolicy(self._setup.max_fallbacks, self._setup.cool_down_s),
            ),
            devices=self._devices or TorchDevices(),
            self_test=SelfTest(SELF_TEST_PICTURE, self_test_text(self._folder)),
            progress=_LoadReporter(self._send),
        )

    def _report_progress(self, progress: TransferProgress) -> None:
        status = ModelProgress(
            state="healing" if self._healing else "verifying",
            phase=progress.phase,
            done_bytes=progress.done_bytes,
            total_bytes=progress.total_bytes,
            bytes_per_s=progress.bytes_per_s,
            remaining_s=progress.remaining_s,
        )
        self._send(Preparing(status))

    def _report_wait(self, error: ModelUnavailable, seconds: float) -> None:
        message = str(error)
        if message != self._last_wait:
            self._last_wait = message
            structlog.get_logger(component="model").info("waiting for the model", error=message)
        self._send(Preparing(WaitingForModel(message, seconds)))


def self_test_text(folder: Path) -> str | None:
    """What the model in ``folder`` reads in the test picture.

    Known for the pocket model, wherever its files are; None for others.
    """
    with contextlib.suppress(ModelError):
        manifest = read_manifest(folder)
        if manifest is not None and manifest.repo == "ocrd/pocket":
            truth = (SELF_TEST_PICTURE.parent / "drawn.json").read_text(encoding="utf-8")
            drawn: dict[str, str] = json.loads(truth)
            return drawn[SELF_TEST_PICTURE.name]
    return None


class _LoadReporter:
    """Reports loading in steps, and the beginning of the self-test; see `StartProgress`."""

    def __init__(self, send: Callable[[WorkerMessage], None]) -> None:
        self._send = send
        self._last_share = 0.0

    def loaded(self, share: float) -> None:
        """Report the share (0 to 1) of the weights that is loaded."""
        if share - self._last_share >= LOADING_STEP or share == 1.0:
            self._last_share = share
            self._send(Preparing(EngineLoading(round(share, 3))))

    def self_test_started(self, timeout_s: float) -> None:
        """Report within how many seconds the self-test ends."""
        self._send(SelfTestStarted(timeout_s))
