"""The calls that launchd gets, one by one and in their order, and what becomes of every answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ocrd import system_commands
from ocrd.errors import ServiceError
from ocrd.service import manager
from ocrd.service.launchctl import Verdict, is_disabled, verdict
from ocrd.service.launchd import BOOTSTRAP, DRAIN, Launchd
from ocrd.service.manager import Daemon, refuse_inside
from ocrd.system_commands import CommandResult

T = "gui/501/local.ocrd"
PLIST = Path("/Users/me/Library/LaunchAgents/local.ocrd.plist")
PRINT = f"print {T}"
BOOTOUT = f"bootout {T}"
ENABLE = f"enable {T}"
KICKSTART = f"kickstart {T}"
BOOT = f"bootstrap gui/501 {PLIST}"


@dataclass
class Scripted:
    """Answers by verb, the last of them for ever; a clock that runs only while somebody sleeps."""

    codes: Mapping[str, Sequence[int]]
    # Verbs after whose 0 a daemon runs.
    runs_after: Sequence[str] = ("bootstrap", "kickstart")
    calls: list[str] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    now: float = 0.0
    # When the daemon that runs began, seconds from 1970.
    since: float = 0.0
    runs: bool = False

    def __call__(self, *arguments: str, timeout_s: float = 20.0) -> CommandResult:
        verb = arguments[0]
        nth = sum(call.split()[0] == verb for call in self.calls)
        self.calls.append(" ".join(arguments))
        self.timeouts.append(timeout_s)
        given = self.codes.get(verb, [0])
        code = given[min(nth, len(given) - 1)]
        if code == 0 and verb in self.runs_after:
            self.runs = True
            self.since = time.time()
        if code == 0 and verb == "bootout":
            self.runs = False
        return CommandResult(code, "", f"{verb}: said {code}")

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now

    def running(self) -> bool:
        return self.runs

    def fact(self) -> dict[str, Any]:
        return {"pid": 1, "since": self.since} if self.runs else {}


def launchd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, scripted: Scripted) -> Launchd:
    monkeypatch.setattr(system_commands, "user_id", lambda: 501)
    monkeypatch.setattr(Daemon, "running", lambda _self: scripted.running())
    monkeypatch.setattr(Daemon, "fact", lambda _self: scripted.fact())
    daemon = Daemon(tmp_path, scripted.clock, scripted.sleep)
    return Launchd(PLIST, daemon, "gui/501", scripted, scripted.sleep, scripted.clock)


Case = tuple[Mapping[str, Sequence[int]], list[str]]

LOADS: dict[str, Case] = {
    "nothing there": ({"bootout": [3]}, [BOOTOUT, ENABLE, BOOT]),
    "nothing there, as newer releases say it": (
        {"bootout": [5], "print": [113]},
        [BOOTOUT, PRINT, ENABLE, BOOT],
    ),
    "loaded": ({"print": [113]}, [BOOTOUT, PRINT, ENABLE, BOOT]),
    "ending slowly": (
        {"print": [0, 0, 0, 113]},
        [BOOTOUT, PRINT, PRINT, PRINT, PRINT, ENABLE, BOOT],
    ),
    "ending already": (
        {"bootout": [36], "print": [36, 113]},
        [BOOTOUT, PRINT, PRINT, ENABLE, BOOT],
    ),
    "a bootstrap that comes too early": (
        {"bootout": [113], "bootstrap": [5, 37, 0], "print": [113]},
        [BOOTOUT, ENABLE, BOOT, PRINT, BOOT, PRINT, BOOT],
    ),
    "disabled": ({"bootout": [3], "bootstrap": [119, 0]}, [BOOTOUT, ENABLE, BOOT, ENABLE, BOOT]),
}


@pytest.mark.parametrize("case", LOADS)
def test_loading(case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    codes, calls = LOADS[case]
    scripted = Scripted(codes)
    launchd(monkeypatch, tmp_path, scripted=scripted).load()
    assert scripted.calls == calls


def test_loaded_by_somebody_meanwhile_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted = Scripted({"bootout": [3], "bootstrap": [5], "print": [0]}, ["bootstrap", "print"])
    launchd(monkeypatch, tmp_path, scripted=scripted).load()
    assert scripted.calls == [BOOTOUT, ENABLE, BOOT, PRINT]


def test_one_that_is_registered_without_a_process_is_kicked_once_and_never_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted = Scripted({"bootout": [3]}, ["kickstart"])
    launchd(monkeypatch, tmp_path, scripted=scripted).load()
    assert scripted.calls == [BOOTOUT, ENABLE, BOOT, KICKSTART]
    assert scripted.now >= 5.0


def test_one_that_never_runs_is_said_so_with_where_to_look(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted = Scripted({"bootout": [3]}, [])
    with pytest.raises(ServiceError, match="does not run; ocrd logs"):
        launchd(monkeypatch, tmp_path, scripted=scripted).load()
    assert scripted.now < 30.0


REFUSALS = {
    "bootstrap": ([5], "does not take the service.*Login Items"),
    "enable": ([1], "enable.*failed with 1"),
    "bootout": ([1], "bootout.*failed with 1"),
    "kickstart": ([2], "kickstart.*failed with 2"),
}


@pytest.mark.parametrize("verb", REFUSALS)
def test_a_refusal_is_one_sentence_with_verb_and_code(
    verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    codes, words = REFUSALS[verb]
    scripted = Scripted({"bootout": [3], "print": [113], verb: codes}, [])
    with pytest.raises(ServiceError, match=words):
        launchd(monkeypatch, tmp_path, scripted=scripted).load()
    assert scripted.now <= BOOTSTRAP + 2


@pytest.mark.parametrize("code", [112, 125])
@pytest.mark.parametrize("action", ["check", "load", "start", "stop"])
def test_without_a_login_at_the_screen_it_says_so_and_offers_the_other_domain(
    code: int, action: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted = Scripted(
        {verb: [code] for verb in ("print", "bootout", "enable", "bootstrap", "kickstart")}
    )
    with pytest.raises(ServiceError, match=r"nobody is logged in.*--domain user"):
        getattr(launchd(monkeypatch, tmp_path, scripted=scripted), action)()


def test_a_service_that_does_not_end_is_given_up_after_its_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted = Scripted({"print": [0]})
    with pytest.raises(ServiceError, match="did not end within 70 s"):
        launchd(monkeypatch, tmp_path, scripted=scripted).stop()
    assert DRAIN < scripted.now < DRAIN + 2


STARTS: dict[str, Case] = {
    "loaded": ({}, [PRINT, KICKSTART]),
    "starting already": ({"kickstart": [37, 0]}, [PRINT, KICKSTART, KICKSTART]),
    "not loaded": ({"print": [113]}, [PRINT, ENABLE, BOOT]),
    **{
        f"gone between two calls ({code})": (
            {"kickstart": [code, 0]},
            [PRINT, KICKSTART, ENABLE, BOOT],
        )
        for code in (3, 5, 113, 125)
    },
}


@pytest.mark.parametrize("case", STARTS)
def test_starting(case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    codes, calls = STARTS[case]
    scripted = Scripted(codes)
    launchd(monkeypatch, tmp_path, scripted=scripted).start()
    assert scripted.calls == calls


def test_stopping_waits_until_launchd_does_not_know_it_any_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted = Scripted({"print": [0, 0, 0, 113]})
    assert launchd(monkeypatch, tmp_path, scripted=scripted).stop() is True
    assert scripted.calls == [PRINT, BOOTOUT, PRINT, PRINT, PRINT]
    assert launchd(monkeypatch, tmp_path, scripted=Scripted({"print": [113]})).stop() is False


def test_a_restart_kills_only_what_was_loaded_from_this_very_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    same = Scripted({})
    same.runs = True
    launchd(monkeypatch, tmp_path, scripted=same).restart(changed=False)
    assert same.calls == [PRINT, f"kickstart -k {T}"]
    assert same.timeouts[-1] > 60  # it may take as long as launchd waits for the process
    new = Scripted({"print": [0, 113]})
    launchd(monkeypatch, tmp_path, scripted=new).restart(changed=True)
    assert new.calls == [BOOTOUT, PRINT, PRINT, ENABLE, BOOT]
    away = Scripted({"print": [113], "bootout": [113]})
    launchd(monkeypatch, tmp_path, scripted=away).restart(changed=False)
    assert away.calls == [PRINT, BOOTOUT, ENABLE, BOOT]


def test_a_restart_of_what_is_gone_when_it_is_to_be_killed_loads_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted = Scripted({"kickstart": [113], "bootout": [113]})
    launchd(monkeypatch, tmp_path, scripted=scripted).restart(changed=False)
    assert scripted.calls == [PRINT, f"kickstart -k {T}", BOOTOUT, ENABLE, BOOT]


def test_a_restart_waits_for_another_process_than_the_one_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted = Scripted({}, [])  # the old one seems to run on
    scripted.runs = True
    with pytest.raises(ServiceError, match="does not run"):
        launchd(monkeypatch, tmp_path, scripted=scripted).restart(changed=False)


def test_root_is_sent_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scripted = Scripted({})
    service = launchd(monkeypatch, tmp_path, scripted=scripted)
    monkeypatch.setattr(system_commands, "user_id", lambda: 0)
    with pytest.raises(ServiceError, match="without sudo"):
        service.check()
    assert scripted.calls == []


def test_every_code_of_public_reports_has_a_meaning() -> None:
    known = {
        0: "DONE",
        3: "UNKNOWN",
        113: "UNKNOWN",
        5: "UNCLEAR",
        36: "BUSY",
        37: "BUSY",
        112: "NO_DOMAIN",
    }
    known |= {125: "NO_DOMAIN", 119: "DISABLED", 1: "FAILED", 64: "FAILED", -9: "FAILED"}
    assert {code: verdict(CommandResult(code)).name for code in known} == known
    assert set(known.values()) == {v.name for v in Verdict}


@pytest.mark.parametrize(
    ("listed", "disabled"),
    [
        ('disabled services = {\n\t"local.ocrd" => disabled\n}', True),
        ('disabled services = {\n\t"local.ocrd" => enabled\n}', False),
        ('disabled services = {\n\t"local.ocrd" => true\n}', True),
        ('disabled services = {\n\t"local.ocrd" => false\n}', False),
        (
            'disabled services = {\n\t"local.ocrd.other" => disabled\n\t"x.local.ocrd" => true\n}',
            False,
        ),
        ("", False),
    ],
)
def test_disabled_is_read_in_the_words_of_old_and_new_releases(listed: str, disabled: bool) -> None:
    assert is_disabled("local.ocrd", listed) is disabled


def test_how_it_stands_says_why_when_it_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    state = launchd(monkeypatch, tmp_path, scripted=Scripted({"print": [125]})).state()
    assert state.trouble is not None and "nobody is logged in" in state.trouble
    assert (
        launchd(monkeypatch, tmp_path, scripted=Scripted({"print": [113]})).state().loaded is False
    )


def test_a_launchctl_that_hangs_or_is_not_there_is_said_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = tmp_path / "launchctl"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setitem(system_commands.PROGRAMS, "launchctl", str(slow))
    with pytest.raises(ServiceError, match="did not answer within 0 s"):
        system_commands.run_command("launchctl", "print", T, timeout_s=0.3)
    monkeypatch.setitem(system_commands.PROGRAMS, "launchctl", "/nowhere/launchctl")
    with pytest.raises(ServiceError, match="cannot run"):
        system_commands.run_command("launchctl", "print", T)


def test_a_command_inside_the_service_does_not_end_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_inside("stop")
    monkeypatch.setenv("OCRD_SERVICE", "launchd")
    with pytest.raises(ServiceError, match="runs inside the service"):
        manager.refuse_inside("stop")
