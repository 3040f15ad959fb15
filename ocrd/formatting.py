"""Engine states, times and sizes as text for users."""

from __future__ import annotations

import time
from collections.abc import Callable

from ocrd.status import (
    EngineLoading,
    EngineReady,
    EngineStarting,
    EngineStatus,
    EngineStopped,
    EngineUnloaded,
    ModelProgress,
    WaitingForModel,
)
from ocrd.types import BackendInfo
from ocrd.units import format_size


def printable(text: str) -> str:
    """Return ``text`` without anything that a terminal could take for a control sequence.

    File names may contain such characters, or bytes that are not UTF-8.
    """
    shown = text.encode("utf-8", "backslashreplace").decode()
    return "".join(character if character.isprintable() else "?" for character in shown)


def format_engine_state(engine: EngineStatus | None) -> str:  # noqa: PLR0911 - one per state
    """Describe the engine's state in one line; ``-`` when it is not known."""
    match engine:
        case None:
            return "-"
        case ModelProgress(state="verifying"):
            return f"verifying the model{_format_percent(engine)}"
        case ModelProgress():
            amount = f"{_format_amount(engine)}{_format_speed(engine)}"
            return f"healing the model: {engine.phase}{amount}"
        case WaitingForModel():
            retry = f"next try within {_format_duration(engine.retry_in_s)}"
            return f"waiting for the model: {engine.message} ({retry})"
        case EngineLoading():
            return f"loading the model, {engine.share:.0%}"
        case EngineUnloaded():
            return "unloaded; the model is loaded again for the next file"
        case EngineReady():
            backend = engine.backend
            since = format_time(engine.since)
            return (
                f"ready on {backend.device} in {backend.dtype}, mode {backend.mode},"
                f" warm since {since}"
            )
        case EngineStarting() | EngineStopped():
            return engine.state


def format_time(at: float, now: Callable[[], float] = time.time) -> str:
    """Return the local time ``at`` (seconds since 1970) as ``16:04``.

    The date comes first when it is not today.
    """
    local = time.localtime(at)
    today = time.localtime(now())
    is_today = local[:3] == today[:3]
    return time.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M", local)


def format_kernels(backend: BackendInfo) -> str:
    """Describe which kernels the engine uses on this machine.

    The engine measured them at its start; speeds are in GB of weights per second.
    """
    choice = backend.tuned["choice"]
    throughput = backend.tuned["throughput"]
    measured = "; ".join(
        f"{_count_pages(int(rows))}: "
        + ", ".join(f"{kernel} {speed:.1f}" for kernel, speed in speeds.items())
        for rows, speeds in throughput["decode_experts"].items()
    )
    experts = ", ".join(f"{kernel} for {rows}" for rows, kernel in choice["decode_experts"].items())
    matmul = ", ".join(f"{kernel} for {rows}" for rows, kernel in choice["decode_matmul"].items())
    return (
        f"experts {experts} ({measured} GB/s), {choice['prefill_experts']} for prompts; "
        f"other weights {matmul}, {choice['prefill_matmul']} for prompts; "
        f"up to {_count_pages(backend.batch)} in one batch"
    )


def _count_pages(count: int) -> str:
    return "1 page" if count == 1 else f"{count} pages"


def _format_percent(progress: ModelProgress) -> str:
    return f", {progress.done_bytes / progress.total_bytes:.0%}" if progress.total_bytes else ""


def _format_amount(progress: ModelProgress) -> str:
    if not progress.total_bytes:
        return ""
    return f", {format_size(progress.done_bytes)} of {format_size(progress.total_bytes)}"


def _format_speed(progress: ModelProgress) -> str:
    if progress.bytes_per_s is None:
        return ""
    left = (
        f", {_format_duration(progress.remaining_s)} left"
        if progress.remaining_s is not None
        else ""
    )
    return f", {format_size(progress.bytes_per_s)}/s{left}"


def _format_duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
