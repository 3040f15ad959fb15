"""Sleep, battery and memory pressure of the machine."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable

import structlog

from ocrd import system_commands

# The machine slept when the wall clock ran ahead of the monotonic clock by more than this.
MIN_SLEEP_S = 15.0
# For how long an answer about the battery is used.
BATTERY_CACHE_S = 20.0
# ``kern.memorystatus_vm_pressure_level``: 1 normal, 2 warning, 4 critical.
CRITICAL_PRESSURE = 4

_log = structlog.get_logger(component="power")


class KeepAwake:
    """Prevents idle sleep while something is read, with macOS' ``caffeinate``.

    It watches the daemon (``-w``), so it ends with it in every case. On Linux it does nothing.
    """

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted and system_commands.is_macos()
        self._process: subprocess.Popen[bytes] | None = None

    def hold(self) -> None:
        """Keep the machine awake from now on."""
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
        """Let the machine sleep."""
        process = self._process
        self._process = None
        if process is not None:
            process.kill()
            process.wait()


class SleepWatch:
    """Notices that the machine slept: the monotonic clock stops meanwhile, the wall clock not."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._ahead = wall() - clock()

    def slept(self) -> float:
        """Seconds that it slept since the last call, 0 when it did not.

        A wall clock that is set forward looks the same.
        """
        before = self._ahead
        self._ahead = self._wall() - self._clock()
        asleep_s = self._ahead - before
        return asleep_s if asleep_s > MIN_SLEEP_S else 0.0


class Battery:
    """Whether the machine runs on its battery; False where that is not known."""

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
        """Whether the machine runs on its battery."""
        if self._clock() >= self._known_until:
            self._known_until = self._clock() + BATTERY_CACHE_S
            self._in_use = bool(self._ask())
        return self._in_use


def _on_battery() -> bool | None:
    import psutil  # only needed when it is configured

    try:
        battery = psutil.sensors_battery()
    except Exception as error:  # no answer must not cost a page
        _log.debug("the battery cannot be read", error=str(error))
        return None
    return None if battery is None or battery.power_plugged is None else not battery.power_plugged


def memory_is_short() -> bool:
    """Whether macOS reports critical memory pressure; False on other systems."""
    if sys.platform != "darwin":
        return False
    level = ctypes.c_int(0)
    size = ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
    name = b"kern.memorystatus_vm_pressure_level"
    failed = ctypes.CDLL(None).sysctlbyname(name, ctypes.byref(level), ctypes.byref(size), None, 0)
    return not failed and level.value >= CRITICAL_PRESSURE
