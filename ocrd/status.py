"""What the daemon publishes about itself: its process, and the state of its engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ocrd.types import BackendInfo


@dataclass(frozen=True)
class DaemonStatus:
    """A running daemon.

    Attributes:
        pid: Its process.
        since: When it started, in seconds since 1970.
        manager: ``launchd`` or ``systemd``; None when a person started it.
    """

    pid: int
    since: float
    manager: str | None


@dataclass(frozen=True)
class EngineStarting:
    """The engine's process is starting."""

    state: Literal["starting"] = "starting"


@dataclass(frozen=True)
class ModelProgress:
    """The model is being verified or healed.

    Attributes:
        state: ``verifying`` or ``healing``.
        phase: ``checking``, ``copying`` or ``fetching``.
        done_bytes: Bytes of this phase that are done.
        total_bytes: Bytes of this phase.
        bytes_per_s: The current speed; None before it is known.
        remaining_s: Seconds until the phase ends at this speed.
    """

    state: Literal["verifying", "healing"]
    phase: str
    done_bytes: int
    total_bytes: int
    bytes_per_s: float | None
    remaining_s: float | None


@dataclass(frozen=True)
class WaitingForModel:
    """The model cannot be fetched now; the next try is in ``retry_in_s`` seconds."""

    message: str
    retry_in_s: float
    state: Literal["waiting"] = "waiting"


@dataclass(frozen=True)
class EngineLoading:
    """The weights are being loaded; ``share`` (0 to 1) is done."""

    share: float
    state: Literal["loading"] = "loading"


@dataclass(frozen=True)
class EngineReady:
    """The model is loaded.

    Attributes:
        backend: What reads the pages.
        pid: The worker's process; None where the backend has none.
        since: When it became ready, in seconds since 1970.
    """

    backend: BackendInfo
    pid: int | None
    since: float
    state: Literal["ready"] = "ready"


@dataclass(frozen=True)
class EngineUnloaded:
    """The model left memory until the next file, at ``since`` (seconds since 1970)."""

    since: float
    state: Literal["unloaded"] = "unloaded"


@dataclass(frozen=True)
class EngineStopped:
    """The daemon ended."""

    state: Literal["stopped"] = "stopped"


EngineStatus = (
    EngineStarting
    | ModelProgress
    | WaitingForModel
    | EngineLoading
    | EngineReady
    | EngineUnloaded
    | EngineStopped
)
# What a backend reports while it gets ready.
PreparationStatus = ModelProgress | WaitingForModel | EngineLoading
