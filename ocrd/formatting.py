"""What the engine is at, in words: for ``ocrd status`` and for commands that wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def plain(words: str) -> str:
    """Without what a file's name may hold that a terminal takes for orders, or that is no UTF-8."""
    shown = words.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else "?" for c in shown)


def format_engine_state(engine: dict[str, Any] | None) -> str:  # noqa: PLR0911 - one line for each state
    """One line for the fact that the daemon publishes, or for a message of the worker."""
    if engine is None:
        return "-"
    match engine["state"]:
        case "starting":
            return "starting"
        case "verifying":
            return f"verifying the model{_share(engine)}"
        case "healing":
            return f"healing the model: {engine['phase']}{_amount(engine)}{_pace(engine)}"
        case "waiting":
            return f"waiting for the model: {engine['message']} (next try within {_duration(engine['seconds'])})"
        case "loading":
            return f"loading the model, {engine['done']:.0%}"
        case "unloaded":
            return "unloaded; it comes back for the next file"
        case "ready":
            since = f", warm since {moment(engine['since'])}" if "since" in engine else ""
            return f"ready on {engine['device']} in {engine['dtype']}, mode {engine['mode']}{since}"
        case other:
            return str(other)


def moment(at: float, now: Callable[[], float] = time.time) -> str:
    """A time as one says it: the hour, and the day where it was another."""
    then = time.localtime(at)
    today = time.localtime(now())
    return time.strftime("%H:%M" if then[:3] == today[:3] else "%Y-%m-%d %H:%M", then)


def format_kernels(engine: dict[str, Any]) -> str:
    """How the engine multiplies here.

    What was measured at its start, in GB of weights a second, and chosen.
    """
    ways = engine["tuned"]["ways"]
    figures = engine["tuned"]["figures"]
    pages = engine["batch"]
    measured = "; ".join(
        f"{rows} page{'s' * (int(rows) > 1)}: "
        + ", ".join(f"{way} {speed:.1f}" for way, speed in speeds.items())
        for rows, speeds in figures["few"].items()
    )
    dense, few = (
        ", ".join(f"{way} for {rows}" for rows, way in ways[part].items())
        for part in ("dense", "few")
    )
    return (
        f"experts {few} ({measured} GB/s), {ways['many']} for prompts; other weights {dense}, {ways['prompt']} for"
        f" prompts; up to {pages} page{'s' * (pages > 1)} at once"
    )


def format_size(count: int) -> str:
    """Bytes as a person says them: 6.67 GB, 10.5 MB, 89 bytes."""
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return (
                f"{count / size:.2f} {unit}" if count < 10 * size else f"{count / size:.1f} {unit}"
            )
    return f"{count} bytes"


def _share(engine: dict[str, Any]) -> str:
    return f", {engine['done'] / engine['total']:.0%}" if engine["total"] else ""


def _amount(engine: dict[str, Any]) -> str:
    if not engine["total"]:
        return ""
    size, unit = (1e9, "GB") if engine["total"] >= 1e9 else (1e6, "MB")
    return f", {engine['done'] / size:.1f} of {engine['total'] / size:.1f} {unit}"


def _pace(engine: dict[str, Any]) -> str:
    if engine["speed"] is None:
        return ""
    left = f", {_duration(engine['left'])} left" if engine["left"] is not None else ""
    return f", {engine['speed'] / 1e6:.1f} MB/s{left}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
