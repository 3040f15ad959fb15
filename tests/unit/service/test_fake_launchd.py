"""The launchd that stands in for macOS'.

Each answer that ours relies on, with real processes behind it.
"""

from __future__ import annotations

import json
import os
import plistlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fakes import launchd as fake_launchd

DOMAIN = "gui/501"
LABEL = "org.example.job"
TARGET = f"{DOMAIN}/{LABEL}"
SLEEP = "exec sleep 60"
STUBBORN = "trap '' TERM; echo ready; exec sleep 60"  # what is ignored stays so through exec

Done = subprocess.CompletedProcess[str]


class Launchd:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "launchd"
        self.launchctl = fake_launchd.place(folder)
        self.out = folder / "out"

    def __call__(self, *argv: object, **variables: str) -> Done:
        command = [str(self.launchctl), *map(str, argv)]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            env=dict(os.environ) | variables,
        )

    def job(self, shell: str, label: str = LABEL, **keys: object) -> Path:
        """A plist that runs ``shell`` at load; a key that is None is left out."""
        plist = {
            "Label": label,
            "ProgramArguments": ["/bin/sh", "-c", shell],
            "RunAtLoad": True,
            **keys,
        }
        path = self.folder / f"{label}.plist"
        path.write_bytes(
            plistlib.dumps(
                {"StandardOutPath": str(self.out)}
                | {key: value for key, value in plist.items() if value is not None}
            )
        )
        return path

    def load(self, shell: str, **keys: Any) -> None:
        assert self("bootstrap", DOMAIN, self.job(shell, **keys)).returncode == 0

    def script(self, **script: object) -> None:
        (self.root / "script.json").write_text(json.dumps(script))

    def history(self, event: str) -> list[dict[str, Any]]:
        path = self.root / "history"
        entries = (
            [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        )
        return [entry for entry in entries if entry["event"] == event]

    def pid(self) -> int:
        return int(self.history("started")[-1]["pid"])

    def wait(self, event: str, count: int = 1) -> dict[str, Any]:
        until(lambda: len(self.history(event)) >= count)
        return self.history(event)[count - 1]

    def written(self, words: str = "") -> str:
        until(
            lambda: (
                self.out.exists()
                and words in self.out.read_text()
                and self.out.read_text().endswith("\n")
            )
        )
        return self.out.read_text()

    def gone(self) -> bool:
        return self("print", TARGET).returncode == 113


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def says(done: Done, code: int, *, words: str) -> bool:
    return done.returncode == code and words in done.stderr and not done.stdout


@pytest.fixture
def launchd(tmp_path: Path) -> Iterator[Launchd]:
    folder = tmp_path / "bin"
    launchd = Launchd(folder)
    yield launchd
    fake_launchd.clear(folder)


# launchctl itself


def test_it_runs_from_anywhere_and_nothing_in_the_environment_reaches_it(
    launchd: Launchd, tmp_path: Path
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    script = f"cd {tmp_path} && bin/launchctl print {TARGET}"
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PYTHONPATH": str(tmp_path)},
        check=False,
        capture_output=True,
    )
    assert done.returncode == 113


def test_every_call_is_written_down_as_it_was_made(launchd: Launchd) -> None:
    calls = [["print", TARGET], ["nonsense", "with spaces"], [], ["kickstart", "-k", TARGET]]
    for call in calls:
        launchd(*call)
    assert [json.loads(line) for line in (launchd.root / "calls").read_text().splitlines()] == calls


@pytest.mark.parametrize(
    "call",
    [
        [], ["load", "a.plist"], ["bootout", DOMAIN], ["bootout", "--wait", TARGET], ["kill", "SIGNONE", TARGET],
    ],
)  # fmt: skip
def test_what_it_does_not_know_is_answered_with_its_usage(
    launchd: Launchd, call: list[str]
) -> None:
    assert says(launchd(*call), 64, words="usage: launchctl")


# print


def test_print_tells_the_state_and_the_pid_of_a_real_process(launchd: Launchd) -> None:
    launchd.load(SLEEP)
    done = launchd("print", TARGET)
    assert done.returncode == 0 and not done.stderr
    assert "\tstate = running\n" in done.stdout and f"\tpid = {launchd.pid()}\n" in done.stdout
    assert "\tminimum runtime = 10\n" in done.stdout and "\texit timeout = 5\n" in done.stdout
    assert psutil.Process(launchd.pid()).cmdline() == ["sleep", "60"]
    assert LABEL in launchd("print", DOMAIN).stdout


def test_print_of_what_is_not_registered_is_113(launchd: Launchd) -> None:
    assert says(
        launchd("print", TARGET),
        113,
        words=f'Could not find service "{LABEL}" in domain for user gui: 501',
    )
    launchd.load(SLEEP)
    assert launchd("print", f"user/501/{LABEL}").returncode == 113


# bootstrap


def test_a_second_bootstrap_is_an_input_output_error_and_starts_nothing(launchd: Launchd) -> None:
    launchd.load(SLEEP)
    done = launchd("bootstrap", DOMAIN, launchd.job(SLEEP))
    assert says(done, 5, words="Bootstrap failed: 5: Input/output error")
    assert len(launchd.history("started")) == 1


def test_of_bootstraps_at_the_same_time_one_wins(launchd: Launchd) -> None:
    plist = launchd.job(SLEEP)
    command = [str(launchd.launchctl), "bootstrap", DOMAIN, str(plist)]
    together = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(4)]
    assert sorted(process.wait(20) for process in together) == [0, 5, 5, 5]
    assert len(launchd.history("started")) == 1


def test_of_changes_at_the_same_time_none_is_lost(launchd: Launchd) -> None:
    labels = [f"org.example.{number}" for number in range(4)]
    together = [
        subprocess.Popen([launchd.launchctl, "disable", f"{DOMAIN}/{label}"]) for label in labels
    ]
    assert [process.wait(20) for process in together] == [0] * 4
    told = launchd("print-disabled", DOMAIN).stdout
    assert all(f'"{label}" => disabled' in told for label in labels)


@pytest.mark.parametrize("content", [b"{not a plist", plistlib.dumps({}), None])
def test_a_file_that_is_no_plist_or_not_there_cannot_be_bootstrapped(
    launchd: Launchd, content: bytes | None
) -> None:
    path = launchd.folder / f"{LABEL}.plist"
    if content is not None:
        path.write_bytes(content)
    assert says(
        launchd("bootstrap", DOMAIN, path), 5, words="Bootstrap failed: 5: Input/output error"
    )
    assert launchd.gone()


@pytest.mark.parametrize(
    "keys",
    [
        {"Label": "org.example.other"}, {"Label": None}, {"ProgramArguments": None}, {"ProgramArguments": ["ls", 1]},
        {"EnvironmentVariables": {"A": 1}}, {"KeepAlive": {"Crashed": True}},
    ],
)  # fmt: skip
def test_a_plist_that_launchd_would_not_understand_cannot_be_bootstrapped(
    launchd: Launchd, keys: dict[str, Any]
) -> None:
    assert launchd("bootstrap", DOMAIN, launchd.job(SLEEP, **keys)).returncode == 5
    assert launchd.gone()


def test_bootstrap_answers_when_the_process_runs(launchd: Launchd) -> None:
    os.mkfifo(launchd.out)  # who opens it to write waits for a reader
    with subprocess.Popen(
        [str(launchd.launchctl), "bootstrap", DOMAIN, str(launchd.job("echo runs"))]
    ) as waits:
        time.sleep(0.2)
        early = waits.poll()
        assert launchd.out.read_text() == "runs\n"
        assert (early, waits.wait(20)) == (None, 0)


def test_without_run_at_load_it_is_registered_and_waits(launchd: Launchd) -> None:
    launchd.load(SLEEP, RunAtLoad=False)
    told = launchd("print", TARGET)
    assert (
        told.returncode == 0
        and "state = not running" in told.stdout
        and "\tpid = " not in told.stdout
    )
    assert not launchd.history("started")


def test_keep_alive_starts_it_even_without_run_at_load(launchd: Launchd) -> None:
    launchd.load(SLEEP, RunAtLoad=None, KeepAlive={"SuccessfulExit": False})
    assert "state = running" in launchd("print", TARGET).stdout


# What the process finds


def test_it_has_the_environment_of_launchd_and_not_that_of_the_shell(launchd: Launchd) -> None:
    plist = launchd.job("env; echo", EnvironmentVariables={"MINE": "1"})
    home = {"HOME": "/home/x", "USER": "x", "SHELL": "/bin/zsh", "TMPDIR": "/tmp"}
    assert launchd("bootstrap", DOMAIN, plist, FROM_THE_SHELL="1", **home).returncode == 0
    found = dict(line.split("=", 1) for line in launchd.written("\n\n").splitlines() if line)
    for name in ("PWD", "OLDPWD", "SHLVL", "_"):  # the shell's own
        found.pop(name, None)
    assert found == home | {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "XPC_SERVICE_NAME": LABEL,
        "MINE": "1",
    }


def test_a_variable_that_a_test_passes_is_that_of_bootstrap_and_the_plist_wins(
    launchd: Launchd,
) -> None:
    (launchd.root / "pass_environment").write_text("ONE\nTWO\nTHREE\n")
    plist = launchd.job("echo $ONE $TWO $THREE.", EnvironmentVariables={"TWO": "plist"})
    launchd("bootstrap", DOMAIN, plist, ONE="bootstrap", TWO="bootstrap")
    assert launchd.written() == "bootstrap plist .\n"
    launchd("kickstart", "-k", TARGET, ONE="kickstart")
    assert launchd.written("\nb") == "bootstrap plist .\n" * 2


@pytest.mark.parametrize("folder", [None, "/usr"])
def test_it_starts_in_its_working_directory_or_in_the_root(
    launchd: Launchd, folder: str | None
) -> None:
    launchd.load("pwd -P", WorkingDirectory=folder)
    assert launchd.written() == f"{folder or '/'}\n"


def test_what_it_prints_is_appended(launchd: Launchd) -> None:
    launchd.out.write_text("before\n")
    err = launchd.folder / "err"
    launchd.load("echo out; echo err >&2", StandardErrorPath=str(err))
    assert launchd.written("out") == "before\nout\n"
    launchd.wait("exited")
    assert err.read_text() == "err\n"


def test_a_bare_name_is_sought_on_launchds_path_alone(launchd: Launchd) -> None:
    mine = launchd.folder / "only-mine"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    path = {"PATH": f"{launchd.folder}:/usr/bin:/bin"}
    launchd.load("", ProgramArguments=["only-mine"], EnvironmentVariables=path)
    assert launchd.wait("exited")["code"] == 78
    launchd("bootout", TARGET)
    until(launchd.gone)
    launchd.load("", ProgramArguments=["sh", "-c", "echo found"], EnvironmentVariables=path)
    assert launchd.written() == "found\n"


# Starts that fail, and starts anew


@pytest.mark.parametrize(
    "keys",
    [
        {"ProgramArguments": ["/no/such/program"]},
        {"ProgramArguments": ["/etc/passwd"]},
        {"StandardOutPath": "/no/such/folder/log"},
        {"StandardErrorPath": "~/Library/Logs/log"},
        {"WorkingDirectory": "/no/such/folder"},
    ],
)
def test_a_start_that_cannot_be_is_exit_78_and_bootstrap_says_nothing(
    launchd: Launchd, keys: dict[str, Any]
) -> None:
    launchd.load(SLEEP, **keys)
    assert launchd.wait("exited") | {"at": 0} == {
        "label": LABEL,
        "event": "exited",
        "pid": None,
        "code": 78,
        "at": 0,
    }
    told = launchd("print", TARGET).stdout
    assert "last exit code = 78: EX_CONFIG" in told and "state = not running" in told
    assert not launchd.history("started")


@pytest.mark.parametrize(
    ("keep_alive", "shell", "again"),
    [
        (None, "exit 3", False),
        (True, "exit 0", True),
        ({"SuccessfulExit": False}, "exit 0", False),
        ({"SuccessfulExit": False}, "exit 3", True),
        ({"SuccessfulExit": False}, "kill -KILL $$", True),
        ({"SuccessfulExit": True}, "exit 0", True),
    ],
)
def test_keep_alive_decides_who_is_started_again(
    launchd: Launchd, keep_alive: object, shell: str, again: bool
) -> None:
    launchd.load(shell, KeepAlive=keep_alive)
    launchd.wait("exited")
    told = launchd("print", TARGET).stdout
    assert ("state = spawn scheduled" in told, "state = not running" in told) == (again, not again)


@pytest.mark.parametrize(("plist", "script"), [(0.2, None), (60, 0.2)])
def test_between_two_starts_the_throttle_interval_passes(
    launchd: Launchd, plist: float, script: float | None
) -> None:
    launchd.script(**({} if script is None else {"throttle": script}))
    launchd.load("exit 1", KeepAlive={"SuccessfulExit": False}, ThrottleInterval=plist)
    launchd.wait("started", 2)
    first, second = (entry["at"] for entry in launchd.history("started")[:2])
    assert 0.18 < second - first < 5  # one clock starts, another one writes


def test_each_start_and_exit_is_in_the_history(launchd: Launchd) -> None:
    before = time.time()
    launchd.load("exit 3")
    launchd.wait("exited")
    [started] = launchd.history("started")
    [exited] = launchd.history("exited")
    assert (
        started["pid"] == exited["pid"] and before <= started["at"] <= exited["at"] <= time.time()
    )
    assert (started["code"], exited["code"], started["label"], exited["label"]) == (
        None,
        3,
        LABEL,
        LABEL,
    )


# bootout


def test_bootout_of_what_is_not_registered_is_no_such_process(launchd: Launchd) -> None:
    assert says(launchd("bootout", TARGET), 3, words="Boot-out failed: 3: No such process")


def test_bootout_answers_at_once_and_a_stubborn_process_is_killed_when_its_time_is_up(
    launchd: Launchd,
) -> None:
    launchd.load(STUBBORN, ExitTimeOut=1, KeepAlive=True)
    launchd.written("ready")
    asked = time.time()
    assert launchd("bootout", TARGET).returncode == 0
    assert "state = SIGTERMed" in launchd("print", TARGET).stdout
    assert lives(launchd.pid())
    assert says(
        launchd("bootout", TARGET), 36, words="Boot-out failed: 36: Operation now in progress"
    )
    exited = launchd.wait("exited")
    assert exited["code"] == -signal.SIGKILL and 0.9 < exited["at"] - asked < 4
    assert launchd.gone()
    assert len(launchd.history("started")) == 1, "KeepAlive has no say after a bootout"


def test_bootout_asks_by_sigterm_and_the_place_is_free_when_the_process_has_gone(
    launchd: Launchd,
) -> None:
    launchd.load(
        "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.02; done", KeepAlive=True
    )
    launchd.written("ready")
    launchd("bootout", TARGET)
    until(launchd.gone)
    assert launchd.written("bye") == "ready\nbye\n" and launchd.history("exited")[0]["code"] == 0
    launchd.load(SLEEP)
    assert lives(launchd.pid())


def test_what_a_job_leaves_in_its_process_group_dies_with_it(launchd: Launchd) -> None:
    launchd.load("sleep 60 & echo $!")
    until(lambda: not lives(int(launchd.written())))
    assert launchd.wait("exited")["code"] == 0


def test_a_service_that_drains_is_still_found_for_a_few_polls(launchd: Launchd) -> None:
    launchd.script(drain_polls=3)
    launchd.load(SLEEP)
    launchd("bootout", TARGET)
    launchd.wait("exited")
    assert launchd("bootout", TARGET).returncode == 36
    assert launchd("kickstart", TARGET).returncode == 37
    assert launchd("bootstrap", DOMAIN, launchd.job(SLEEP)).returncode == 5
    assert [launchd("print", TARGET).returncode for _ in range(4)] == [0, 0, 0, 113]
    assert launchd("bootstrap", DOMAIN, launchd.job(SLEEP)).returncode == 0


# enable and disable


@pytest.mark.parametrize(("script", "code"), [({}, 119), ({"disabled_is_5": True}, 5)])
def test_what_is_disabled_cannot_be_bootstrapped_until_it_is_enabled(
    launchd: Launchd, script: dict[str, Any], code: int
) -> None:
    launchd.script(**script)
    assert launchd("disable", TARGET).returncode == 0
    assert says(
        launchd("bootstrap", DOMAIN, launchd.job(SLEEP)), code, words=f"Bootstrap failed: {code}: "
    )
    assert launchd("enable", TARGET).returncode == 0
    launchd.load(SLEEP)


@pytest.mark.parametrize(
    ("old", "on", "off"), [(False, "enabled", "disabled"), (True, "false", "true")]
)
def test_print_disabled_has_the_words_of_new_and_old_systems(
    launchd: Launchd, old: bool, on: str, off: str
) -> None:
    launchd.script(old_words=old)
    launchd("disable", f"{DOMAIN}/off")
    launchd("enable", f"{DOMAIN}/on")
    launchd("disable", "user/501/elsewhere")
    done = launchd("print-disabled", DOMAIN)
    assert done.returncode == 0 and "elsewhere" not in done.stdout
    assert f'\t\t"off" => {off}\n' in done.stdout and f'\t\t"on" => {on}\n' in done.stdout


# kickstart and kill


@pytest.mark.parametrize("verb", [["kickstart"], ["kickstart", "-k"], ["kill", "SIGTERM"]])
def test_what_is_not_registered_can_neither_be_started_nor_killed(
    launchd: Launchd, verb: list[str]
) -> None:
    assert says(launchd(*verb, TARGET), 113, words="Could not find service")


def test_kickstart_starts_what_waits_and_leaves_alone_what_runs(launchd: Launchd) -> None:
    launchd.load(SLEEP, RunAtLoad=False)
    assert launchd("kickstart", TARGET).returncode == 0
    pid = launchd.pid()
    assert lives(pid)
    assert launchd("kickstart", TARGET).returncode == 0
    assert lives(pid) and len(launchd.history("started")) == 1


def test_kickstart_k_asks_then_kills_and_starts_what_was_registered(launchd: Launchd) -> None:
    launchd.load(STUBBORN, ExitTimeOut=0.2)
    launchd.written("ready")
    launchd.job("echo of the new plist")
    asked = time.time()
    first = launchd.pid()
    assert launchd("kickstart", "-k", TARGET).returncode == 0
    assert not lives(first) and lives(launchd.pid())
    exited = launchd.history("exited")[0]
    assert exited["code"] == -signal.SIGKILL and exited["at"] - asked > 0.18
    assert launchd.written("ready\nready") == "ready\nready\n"


def test_kickstart_k_does_not_kill_what_goes_when_it_is_asked(launchd: Launchd) -> None:
    launchd.load(SLEEP)
    for _ in range(2):
        launchd("kickstart", "-k", TARGET)
    assert [entry["code"] for entry in launchd.history("exited")] == [-signal.SIGTERM] * 2


def test_kickstart_does_not_wait_for_the_throttle_interval(launchd: Launchd) -> None:
    launchd.load("exit 1", KeepAlive=True, ThrottleInterval=60)
    launchd.wait("exited")
    assert launchd("kickstart", TARGET).returncode == 0
    launchd.wait("started", 2)


@pytest.mark.parametrize("name", ["SIGHUP", "1"])
def test_kill_sends_the_signal_and_the_history_has_it_as_a_negative_code(
    launchd: Launchd, name: str
) -> None:
    launchd.load(SLEEP)
    assert launchd("kill", name, TARGET).returncode == 0
    assert launchd.wait("exited")["code"] == -1
    assert "last terminating signal = Hangup: 1" in launchd("print", TARGET).stdout


def test_kill_without_a_process_says_so(launchd: Launchd) -> None:
    launchd.load(SLEEP, RunAtLoad=False)
    assert says(launchd("kill", "SIGTERM", TARGET), 3, words="No process to signal")


# What a test may ask for


def test_scripted_answers_come_in_order_until_used_up_and_nothing_is_done(launchd: Launchd) -> None:
    launchd.script(
        answers=[
            {
                "verb": "bootstrap",
                "code": 5,
                "stderr": "Bootstrap failed: 5: Input/output error",
                "times": 2,
            },
            {"verb": "bootstrap", "code": 37, "stderr": "again"},
            {"verb": "print", "code": 1, "stderr": "odd", "times": 0},
        ]
    )
    plist = launchd.job(SLEEP)
    for code, words in [(5, "Bootstrap failed: 5"), (5, "Bootstrap failed: 5"), (37, "again")]:
        assert says(launchd("bootstrap", DOMAIN, plist), code, words=words)
        assert launchd.gone() and not launchd.history("started")
    assert launchd("bootstrap", DOMAIN, plist).returncode == 0


def test_a_scripted_answer_can_keep_its_caller_waiting_but_nobody_else(launchd: Launchd) -> None:
    launchd.script(answers=[{"verb": "bootout", "hang": 0.3}])
    asked = time.monotonic()
    with subprocess.Popen([launchd.launchctl, "bootout", TARGET]) as slow:
        until((launchd.root / "calls").exists)
        assert launchd.gone() and slow.poll() is None
        assert slow.wait(20) == 0
    assert time.monotonic() - asked >= 0.3
    assert launchd("bootout", TARGET).returncode == 3


def test_a_domain_that_does_not_exist_has_its_own_codes(launchd: Launchd) -> None:
    launchd.script(no_domain=[DOMAIN])
    words = "Could not find domain for user gui: 501"
    plist = launchd.job(SLEEP)
    for call in (
        ["bootstrap", DOMAIN, plist], ["bootout", TARGET], ["kickstart", "-k", TARGET], ["print-disabled", DOMAIN],
    ):  # fmt: skip
        assert says(launchd(*call), 125, words=words), call
    assert says(launchd("print", TARGET), 112, words=words) and says(
        launchd("print", DOMAIN), 112, words=words
    )
    assert launchd("bootstrap", "user/501", plist).returncode == 0


def test_registered_without_a_pid_until_kickstart(launchd: Launchd) -> None:
    launchd.script(no_pid=True)
    launchd.load(SLEEP, KeepAlive=True)
    told = launchd("print", TARGET)
    assert told.returncode == 0 and "\tpid = " not in told.stdout and not launchd.history("started")
    launchd("kickstart", TARGET)
    assert f"pid = {launchd.pid()}" in launchd("print", TARGET).stdout


# The end


def test_clear_leaves_no_process_behind(launchd: Launchd) -> None:
    launchd.load("trap '' TERM; sleep 60 & echo $!; wait", KeepAlive=True)
    other = launchd.job(SLEEP, label="org.example.other", RunAtLoad=False)
    assert launchd("bootstrap", DOMAIN, other).returncode == 0
    supervisors = [service["supervisor"] for service in state(launchd)]
    everyone = [int(launchd.written()), launchd.pid(), *supervisors]
    assert all(map(lives, everyone)) and len(set(everyone)) == 4
    for supervisor in supervisors:
        os.kill(supervisor, signal.SIGSTOP)  # nobody's help is needed
    fake_launchd.clear(launchd.folder)
    assert not any(map(lives, everyone))
    assert launchd.gone()
    launchd.load(SLEEP)


def test_clear_of_a_folder_that_has_gone_or_is_no_launchd_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / "half-removed" / "launchd").mkdir(parents=True)
    for name in ("gone", "half-removed"):
        fake_launchd.clear(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["half-removed", "launchd"]


def test_when_the_folder_goes_supervisor_and_process_go_too_and_do_not_bring_it_back(
    launchd: Launchd,
) -> None:
    launchd.load(STUBBORN, KeepAlive=True)
    pid = launchd.pid()
    supervisor = state(launchd)[0]["supervisor"]
    assert lives(pid) and lives(supervisor)
    shutil.rmtree(launchd.folder)
    until(lambda: not lives(pid) and not lives(supervisor), seconds=2)
    assert not launchd.folder.exists()


def state(launchd: Launchd) -> list[dict[str, Any]]:
    return list(json.loads((launchd.root / "state.json").read_text())["services"].values())
