"""Engine states, times and sizes as text for users."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ocrd.units import format_size


def printable(text: str) -> str:
    """Return ``text`` without anything that a terminal could take for a control sequence.

    File names may contain such characters, or bytes that are not UTF-8.
    """
    shown = text.encode("utf-8", "backslashreplace").decode()
    return "".join(character if character.isprintable() else "?" for character in shown)


def format_engine_state(engine: dict[str, Any] | None) -> str:  # noqa: PLR0911 - one return per state
    """Describe the engine's state in one line.

    Args:
        engine: The engine's status as the daemon publishes it, or the fields of a worker message.
            None when it is not known.
    """
    if engine is None:
        return "-"
    match engine["state"]:
        case "starting":
            return "starting"
        case "verifying":
            return f"verifying the model{_format_percent(engine)}"
        case "healing":
            amount = f"{_format_amount(engine)}{_format_speed(engine)}"
            return f"healing the model: {engine['phase']}{amount}"
        case "waiting":
            retry = f"next try within {_format_duration(engine['seconds'])}"
            return f"waiting for the model: {engine['message']} ({retry})"
        case "loading":
            return f"loading the model, {engine['done']:.0%}"
        case "unloaded":
            return "unloaded; the model is loaded again for the next file"
        case "ready":
            since = f", warm since {format_time(engine['since'])}" if "since" in engine else ""
            return f"ready on {engine['device']} in {engine['dtype']}, mode {engine['mode']}{since}"
        case other:
            return str(other)


def format_time(at: float, now: Callable[[], float] = time.time) -> str:
    """Return the local time ``at`` (seconds since 1970) as ``16:04``.

    The date comes first when it is not today.
    """
    local = time.localtime(at)
    today = time.localtime(now())
    is_today = local[:3] == today[:3]
    return time.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M", local)


def format_kernels(engine: dict[str, Any]) -> str:
    """Describe which kernels the engine uses on this machine.

    The engine measured them at its start; speeds are in GB of weights per second.
    """
    choice = engine["tuned"]["choice"]
    throughput = engine["tuned"]["throughput"]
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
        f"up to {_count_pages(engine['batch'])} at once"
    )


def _count_pages(count: int) -> str:
    return "1 page" if count == 1 else f"{count} pages"


def _format_percent(engine: dict[str, Any]) -> str:
    return f", {engine['done'] / engine['total']:.0%}" if engine["total"] else ""


def _format_amount(engine: dict[str, Any]) -> str:
    if not engine["total"]:
        return ""
    return f", {format_size(engine['done'])} of {format_size(engine['total'])}"


def _format_speed(engine: dict[str, Any]) -> str:
    if engine["speed"] is None:
        return ""
    left = f", {_format_duration(engine['left'])} left" if engine["left"] is not None else ""
    return f", {format_size(engine['speed'])}/s{left}"


def _format_duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
