"""The calls of launchctl, one by one and in order, and what follows from each answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ocrd import system_commands
from ocrd.errors import ServiceError
from ocrd.service.daemon_probe import DaemonProbe
from ocrd.service.launchd import BOOTSTRAP_TIMEOUT_S, STOP_TIMEOUT_S, Launchd
from ocrd.status import DaemonStatus
from ocrd.system_commands import CommandResult

TARGET = "gui/501/local.ocrd"
PLIST = Path("/Users/me/Library/LaunchAgents/local.ocrd.plist")
PRINT = f"print {TARGET}"
BOOTOUT = f"bootout {TARGET}"
ENABLE = f"enable {TARGET}"
KICKSTART = f"kickstart {TARGET}"
KICKSTART_K = f"kickstart -k {TARGET}"
BOOTSTRAP = f"bootstrap gui/501 {PLIST}"


@dataclass
class ScriptedLaunchctl:
    """Answers by verb; the last answer repeats. Its clock moves only in `sleep`."""

    exit_codes: Mapping[str, Sequence[int]]
    # Verbs that start the daemon when they succeed.
    starts_daemon: Sequence[str] = ("bootstrap", "kickstart")
    calls: list[str] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    now: float = 0.0
    # When the running daemon started, in seconds since 1970.
    since: float = 0.0
    daemon_runs: bool = False

    def __call__(self, *arguments: str, timeout_s: float = 20.0) -> CommandResult:
        verb = arguments[0]
        nth = sum(call.split()[0] == verb for call in self.calls)
        self.calls.append(" ".join(arguments))
        self.timeouts.append(timeout_s)
        codes = self.exit_codes.get(verb, [0])
        code = codes[min(nth, len(codes) - 1)]
        if code == 0 and verb in self.starts_daemon:
            self.daemon_runs = True
            self.since = time.time()
        if code == 0 and verb == "bootout":
            self.daemon_runs = False
        return CommandResult(code, "", f"{verb}: exit code {code}")

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now

    def status(self) -> DaemonStatus | None:
        return DaemonStatus(1, self.since, "launchd") if self.daemon_runs else None


def launchd(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, scripted: ScriptedLaunchctl
) -> Launchd:
    monkeypatch.setattr(system_commands, "user_id", lambda: 501)
    monkeypatch.setattr(DaemonProbe, "is_running", lambda _self: scripted.daemon_runs)
    monkeypatch.setattr(DaemonProbe, "status", lambda _self: scripted.status())
    daemon = DaemonProbe(tmp_path, scripted.clock, scripted.sleep)
    return Launchd(PLIST, daemon, "gui/501", scripted, scripted.sleep, scripted.clock)


Case = tuple[Mapping[str, Sequence[int]], list[str]]

LOADS: dict[str, Case] = {
    "not loaded": ({"bootout": [3]}, [BOOTOUT, ENABLE, BOOTSTRAP]),
    "not loaded, on newer releases": (
        {"bootout": [5], "print": [113]},
        [BOOTOUT, PRINT, ENABLE, BOOTSTRAP],
    ),
    "loaded": ({"print": [113]}, [BOOTOUT, PRINT, ENABLE, BOOTSTRAP]),
    "stops slowly": (
        {"print": [0, 0, 0, 113]},
        [BOOTOUT, PRINT, PRINT, PRINT, PRINT, ENABLE, BOOTSTRAP],
    ),
    "already stopping": (
        {"bootout": [36], "print": [36, 113]},
        [BOOTOUT, PRINT, PRINT, ENABLE, BOOTSTRAP],
    ),
    "bootstrap too early": (
        {"bootout": [113], "bootstrap": [5, 37, 0], "print": [113]},
        [BOOTOUT, ENABLE, BOOTSTRAP, PRINT, BOOTSTRAP, PRINT, BOOTSTRAP],
    ),
    "disabled": (
        {"bootout": [3], "bootstrap": [119, 0]},
        [BOOTOUT, ENABLE, BOOTSTRAP, ENABLE, BOOTSTRAP],
    ),
}


@pytest.mark.parametrize("case", LOADS)
def test_loading(case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    codes, calls = LOADS[case]
    scripted = ScriptedLaunchctl(codes)
    launchd(monkeypatch, tmp_path, scripted=scripted).load()
    assert scripted.calls == calls


def test_a_service_that_another_process_loaded_meanwhile_counts_as_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    codes = {"bootout": [3], "bootstrap": [5], "print": [0]}
    scripted = ScriptedLaunchctl(codes, starts_daemon=["bootstrap", "print"])
    launchd(monkeypatch, tmp_path, scripted=scripted).load()
    assert scripted.calls == [BOOTOUT, ENABLE, BOOTSTRAP, PRINT]


def test_a_service_without_a_process_is_kickstarted_once_and_never_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted = ScriptedLaunchctl({"bootout": [3]}, starts_daemon=["kickstart"])
    launchd(monkeypatch, tmp_path, scripted=scripted).load()
    assert scripted.calls == [BOOTOUT, ENABLE, BOOTSTRAP, KICKSTART]
    assert scripted.now >= 5.0


def test_a_service_that_never_runs_is_an_error_that_names_the_logs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted = ScriptedLaunchctl({"bootout": [3]}, starts_daemon=[])
    with pytest.raises(ServiceError, match="does not run; check ocrd logs"):
        launchd(monkeypatch, tmp_path, scripted=scripted).load()
    assert scripted.now < 30.0


REFUSALS = {
    "bootstrap": ([5], "refused the service.*Login Items"),
    "enable": ([1], "enable.*failed with 1"),
    "bootout": ([1], "bootout.*failed with 1"),
    "kickstart": ([2], "kickstart.*failed with 2"),
}


@pytest.mark.parametrize("verb", REFUSALS)
def test_an_error_names_verb_and_exit_code(
    verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    codes, message = REFUSALS[verb]
    scripted = ScriptedLaunchctl({"bootout": [3], "print": [113], verb: codes}, starts_daemon=[])
    with pytest.raises(ServiceError, match=message):
        launchd(monkeypatch, tmp_path, scripted=scripted).load()
    assert scripted.now <= BOOTSTRAP_TIMEOUT_S + 2


@pytest.mark.parametrize("code", [112, 125])
@pytest.mark.parametrize("method", ["check_available", "load", "start", "stop"])
def test_without_a_login_at_the_screen_the_error_offers_the_other_domain(
    code: int, method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    verbs = ("print", "bootout", "enable", "bootstrap", "kickstart")
    scripted = ScriptedLaunchctl({verb: [code] for verb in verbs})
    with pytest.raises(ServiceError, match=r"not logged in.*--domain user"):
        getattr(launchd(monkeypatch, tmp_path, scripted=scripted), method)()


def test_waiting_for_a_service_to_stop_has_a_time_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted = ScriptedLaunchctl({"print": [0]})
    with pytest.raises(ServiceError, match="did not stop within 70 s"):
        launchd(monkeypatch, tmp_path, scripted=scripted).stop()
    assert STOP_TIMEOUT_S < scripted.now < STOP_TIMEOUT_S + 2


STARTS: dict[str, Case] = {
    "loaded": ({}, [PRINT, KICKSTART]),
    "already starting": ({"kickstart": [37, 0]}, [PRINT, KICKSTART, KICKSTART]),
    "not loaded": ({"print": [113]}, [PRINT, ENABLE, BOOTSTRAP]),
    **{
        f"gone between two calls ({code})": (
            {"kickstart": [code, 0]},
            [PRINT, KICKSTART, ENABLE, BOOTSTRAP],
        )
        for code in (3, 5, 113, 125)
    },
}


@pytest.mark.parametrize("case", STARTS)
def test_starting(case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    codes, calls = STARTS[case]
    scripted = ScriptedLaunchctl(codes)
    launchd(monkeypatch, tmp_path, scripted=scripted).start()
    assert scripted.calls == calls


def test_stopping_waits_until_launchd_does_not_know_the_service_any_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loaded = ScriptedLaunchctl({"print": [0, 0, 0, 113]})
    assert launchd(monkeypatch, tmp_path, scripted=loaded).stop() is True
    assert loaded.calls == [PRINT, BOOTOUT, PRINT, PRINT, PRINT]
    not_loaded = ScriptedLaunchctl({"print": [113]})
    assert launchd(monkeypatch, tmp_path, scripted=not_loaded).stop() is False


def test_a_restart_with_an_unchanged_file_only_kills_the_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted = ScriptedLaunchctl({}, daemon_runs=True)
    launchd(monkeypatch, tmp_path, scripted=scripted).restart(file_changed=False)
    assert scripted.calls == [PRINT, KICKSTART_K]
    assert scripted.timeouts[-1] > 60  # at least as long as launchd waits for the process


def test_a_restart_with_a_changed_file_loads_it_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted = ScriptedLaunchctl({"print": [0, 113]})
    launchd(monkeypatch, tmp_path, scripted=scripted).restart(file_changed=True)
    assert scripted.calls == [BOOTOUT, PRINT, PRINT, ENABLE, BOOTSTRAP]


def test_a_restart_of_a_service_that_is_not_loaded_loads_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted = ScriptedLaunchctl({"print": [113], "bootout": [113]})
    launchd(monkeypatch, tmp_path, scripted=scripted).restart(file_changed=False)
    assert scripted.calls == [PRINT, BOOTOUT, ENABLE, BOOTSTRAP]
    gone_meanwhile = ScriptedLaunchctl({"kickstart": [113], "bootout": [113]})
    launchd(monkeypatch, tmp_path, scripted=gone_meanwhile).restart(file_changed=False)
    assert gone_meanwhile.calls == [PRINT, KICKSTART_K, BOOTOUT, ENABLE, BOOTSTRAP]


def test_a_restart_waits_for_a_process_other_than_the_previous_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The previous process seems to go on.
    scripted = ScriptedLaunchctl({}, starts_daemon=[], daemon_runs=True)
    with pytest.raises(ServiceError, match="does not run"):
        launchd(monkeypatch, tmp_path, scripted=scripted).restart(file_changed=False)


def test_root_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scripted = ScriptedLaunchctl({})
    service = launchd(monkeypatch, tmp_path, scripted=scripted)
    monkeypatch.setattr(system_commands, "user_id", lambda: 0)
    with pytest.raises(ServiceError, match="without sudo"):
        service.check_available()
    assert scripted.calls == []


def test_the_state_contains_the_error_when_launchd_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_domain = ScriptedLaunchctl({"print": [125]})
    state = launchd(monkeypatch, tmp_path, scripted=no_domain).state()
    assert state.error is not None
    assert "not logged in" in state.error
    not_loaded = ScriptedLaunchctl({"print": [113]})
    state = launchd(monkeypatch, tmp_path, scripted=not_loaded).state()
    assert state.loaded is False
    assert state.error is None
