"""Sleep, battery and memory pressure.

When to keep the machine awake, when to hold back, when it was away.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable

import structlog

from ocrd import system_commands

# Seconds by which the wall clock may run ahead of ours before the machine counts as having slept.
SLEPT = 15.0
# Seconds for which an answer about the battery is good.
BATTERY_KNOWN_FOR = 20.0
# ``kern.memorystatus_vm_pressure_level``: 1 normal, 2 warning, 4 critical.
CRITICAL = 4

_log = structlog.get_logger(component="power")


class KeepAwake:
    """Holds off idle sleep while something is read, with macOS' own ``caffeinate``.

    It watches our process (``-w``), so it ends with us however we end. Where there is none, nothing
    is done.
    """

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted and system_commands.is_macos()
        self._process: subprocess.Popen[bytes] | None = None

    def hold(self) -> None:
        if not self._wanted or (self._process is not None and self._process.poll() is None):
            return
        try:
            self._process = subprocess.Popen(
                [system_commands.PROGRAMS["caffeinate"], "-i", "-w", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            self._wanted = False
            _log.warning("the machine may fall asleep while it reads", error=str(error))

    def release(self) -> None:
        process = self._process
        self._process = None
        if process is not None:
            process.kill()
            process.wait()


class SleepWatch:
    """Tells that the machine slept: our clock stood still meanwhile, and the wall clock did not."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._ahead = wall() - clock()

    def slept(self) -> float:
        """Seconds that it slept since the last call.

        0 when it did not. A clock that is set forward looks the same.
        """
        before, self._ahead = self._ahead, self._wall() - self._clock()
        return self._ahead - before if self._ahead - before > SLEPT else 0.0


class Battery:
    """Whether the machine runs on its battery; False where it has none or does not say."""

    def __init__(
        self,
        ask: Callable[[], bool | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask or _on_battery
        self._clock = clock
        self._known_until = float("-inf")
        self._in_use = False

    @property
    def in_use(self) -> bool:
        if self._clock() >= self._known_until:
            self._known_until = self._clock() + BATTERY_KNOWN_FOR
            self._in_use = bool(self._ask())
        return self._in_use


def _on_battery() -> bool | None:
    import psutil  # only those who ask for it pay for it

    try:
        battery = psutil.sensors_battery()
    except Exception as error:  # a machine that cannot be asked must not cost a page
        _log.debug("the battery cannot be asked", error=str(error))
        return None
    return None if battery is None or battery.power_plugged is None else not battery.power_plugged


def memory_is_short() -> bool:
    """Whether macOS calls its memory pressure critical; False elsewhere."""
    if sys.platform != "darwin":
        return False
    level = ctypes.c_int(0)
    size = ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
    name = b"kern.memorystatus_vm_pressure_level"
    failed = ctypes.CDLL(None).sysctlbyname(name, ctypes.byref(level), ctypes.byref(size), None, 0)
    return not failed and level.value >= CRITICAL
