"""macOS' launchd for machines without one.

``place`` makes a ``launchctl`` that really runs what is bootstrapped.

In ``FOLDER/launchd`` lie ``calls`` (a JSON list for each call of launchctl), ``history`` (an object
for each start and exit: ``label``, ``event``, ``pid``, ``code``, ``at``; a negative code is a
signal), ``log`` (what went wrong in here), and what a test may write: ``pass_environment`` (names
of variables, one a line, that services inherit from who bootstraps them) and ``script.json``:

* ``answers``: ``[{"verb": "bootstrap", "code": 5, "stderr": "...", "times": 2, "hang": 0}]``;
nothing else is done then
* ``no_domain``: ``["gui/501"]``, domains that do not exist
* ``drain_polls``: so many times ``print`` still finds a service that was booted out, after its
process has gone
* ``no_pid``: bootstrap registers, and only kickstart starts
* ``throttle``: seconds, in place of each plist's ThrottleInterval
* ``disabled_is_5``, ``old_words``: answers of other versions of macOS

Where nothing public says what launchd does: `kickstart` starts at once whatever ThrottleInterval
says, and returns when the new process runs (with ``-k`` that is after the old one has gone); HOME,
USER, SHELL and TMPDIR are those of who bootstraps, so that a test's home stays the test's.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import pwd
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypedDict

if TYPE_CHECKING:  # at run time only the supervisor needs it, and launchctl starts sooner
    import subprocess

TICK = 0.02  # seconds between two looks of a supervisor
PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
BAD_START = 78
TARGET = re.compile(r"(?P<domain>system|(?:gui|user)/\d+)(?:/(?P<label>[^/]+))?")
USAGE = """usage: launchctl print DOMAIN[/LABEL] | print-disabled DOMAIN | bootstrap DOMAIN PLIST | bootout TARGET
       enable TARGET | disable TARGET | kickstart [-k] TARGET | kill SIGNAL TARGET      TARGET is DOMAIN/LABEL"""
WORDS = {
    3: "No such process",
    5: "Input/output error",
    36: "Operation now in progress",
    37: "Operation already in progress",
    119: "Service is disabled",
}


class Job(TypedDict):
    """What is kept of a plist; a plist that changes later changes nothing here."""

    label: str
    plist: str
    program: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    out: str | None
    err: str | None
    run_at_load: bool
    keep_alive: bool
    successful_exit: bool | None
    throttle: float
    exit_timeout: float


class Service(TypedDict):
    job: Job
    supervisor: int | None
    pid: int | None
    runs: int
    last_exit: int | None
    wants: str
    scheduled: bool
    draining: bool
    polls: int


class Book(TypedDict):
    services: dict[str, Service]
    disabled: dict[str, dict[str, bool]]


class Answer(NamedTuple):
    code: int = 0
    out: str = ""
    err: str = ""


class BadPlist(Exception):
    pass


def place(folder: Path) -> Path:
    """Make ``folder/launchctl``, and what it needs; returns its path."""
    root = folder.absolute() / "launchd"
    launchctl = folder / "launchctl"
    root.mkdir(parents=True, exist_ok=True)
    (root / "lock").touch()
    module = Path(__file__).resolve()
    launchctl.write_text(
        f"#!{sys.executable} -IS\n"
        f"import sys\nsys.path.append({str(module.parent)!r})\n"
        f"import {module.stem}\n{module.stem}.main({str(root)!r})\n"
    )
    launchctl.chmod(0o755)
    return launchctl


def clear(folder: Path) -> None:
    """End every service and its supervisor, at once; returns when they have gone."""
    groups: list[int] = []
    try:
        # A supervisor starts only while it holds the lock, so that nothing starts between the two
        # kills.
        with locked(folder / "launchd") as book:
            for service in book["services"].values():
                groups += [
                    group for group in (service["supervisor"], service["pid"]) if group is not None
                ]
            for group in groups:
                kill_group(group)
            book["services"].clear()
    except FileNotFoundError:
        return
    deadline = time.monotonic() + 10
    while any(map(group_lives, groups)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still there after SIGKILL: {groups}")
        time.sleep(TICK / 4)


def kill_group(group: int) -> None:
    # PermissionError: what macOS says of a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    if not Path("/proc/self/stat").exists():
        return True
    # Not every first process of a container reaps: zombies have gone.
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False


@contextlib.contextmanager
def locked(root: Path) -> Iterator[Book]:
    """The state, ours until the end of the block.

    FileNotFoundError: the folder has gone, and is not made anew.
    """
    with (root / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = root / "state.json"
        before = state.read_text() if state.exists() else '{"services": {}, "disabled": {}}'
        book: Book = json.loads(before)
        yield book
        replace(state, json.dumps(book), before=before)


def replace(path: Path, text: str, *, before: str) -> None:
    if text != before:
        draft = path.with_suffix(".draft")
        draft.write_text(text)
        draft.replace(path)


def read_script(root: Path) -> dict[str, Any]:
    path = root / "script.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def append(path: Path, entry: object) -> None:
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")


# What launchctl does


def main(root: str) -> NoReturn:
    answer = perform(Path(root), sys.argv[1:])
    if answer.out:
        print(answer.out, flush=True)
    if answer.err:
        print(answer.err, file=sys.stderr, flush=True)
    os._exit(answer.code)  # taking the interpreter down took 4 of 30 ms


def perform(root: Path, argv: list[str]) -> Answer:
    with locked(root):
        append(root / "calls", argv)
        entry = next_answer(root, argv[0] if argv else "")
    if entry is not None:
        time.sleep(entry.get("hang", 0))
        return Answer(entry.get("code", 0), err=entry.get("stderr", ""))
    match argv:
        case ["bootstrap", domain, plist] if (found := TARGET.fullmatch(domain)) and not found[
            "label"
        ]:
            return missing_domain(root, argv[0], domain=domain) or bootstrap(
                root, domain, plist=Path(plist)
            )
        case ["print-disabled" | "print", domain] if (
            found := TARGET.fullmatch(domain)
        ) and not found["label"]:
            return missing_domain(root, argv[0], domain=domain) or print_domain(
                root, argv[0], domain=domain
            )
        case [verb, *options, target] if (found := TARGET.fullmatch(target)) and found["label"]:
            return missing_domain(root, verb, domain=found["domain"]) or on_service(
                root, verb, options=options, target=target
            )
    return Answer(64, err=USAGE)


def next_answer(root: Path, verb: str) -> dict[str, Any] | None:
    script = read_script(root)
    for entry in script.get("answers", []):
        if entry["verb"] == verb and entry.get("times", 1) > 0:
            entry["times"] = entry.get("times", 1) - 1
            replace(root / "script.json", json.dumps(script), before="")
            return dict(entry)
    return None


def missing_domain(root: Path, verb: str, *, domain: str) -> Answer | None:
    if domain not in read_script(root).get("no_domain", []):
        return None
    return Answer(
        112 if verb == "print" else 125,
        err=f"Bad request.\nCould not find domain for {in_words(domain)}",
    )


def in_words(domain: str) -> str:
    kind, _, uid = domain.partition("/")
    return {"gui": f"user gui: {uid}", "user": f"uid: {uid}"}.get(kind, kind)


def on_service(root: Path, verb: str, *, options: list[str], target: str) -> Answer:
    match verb, options:
        case "print", []:
            return print_service(root, target)
        case "bootout", []:
            return bootout(root, target)
        case (("enable" | "disable"), []):
            with locked(root) as book:
                domain, _, label = target.rpartition("/")
                book["disabled"].setdefault(domain, {})[label] = verb == "disable"
            return Answer()
        case "kickstart", ([] | ["-k"]):
            return kickstart(root, target, first_kill=bool(options))
        case "kill", [name] if (number := signal_number(name)) is not None:
            return kill(root, target, number=number)
    return Answer(64, err=USAGE)


def failure(what: str, code: int) -> Answer:
    return Answer(code, err=f"{what} failed: {code}: {WORDS[code]}")


def not_found(target: str) -> Answer:
    domain, _, label = target.rpartition("/")
    return Answer(
        113, err=f'Bad request.\nCould not find service "{label}" in domain for {in_words(domain)}'
    )


def bootstrap(root: Path, domain: str, *, plist: Path) -> Answer:
    script = read_script(root)
    with locked(root) as book:
        try:
            job = read_job(root, plist)
        except BadPlist as error:
            return Answer(5, err=f"Bootstrap failed: 5: {WORDS[5]} ({error})")
        target = f"{domain}/{job['label']}"
        if target in book["services"]:
            return failure("Bootstrap", 5)
        if book["disabled"].get(domain, {}).get(job["label"]):
            return failure("Bootstrap", 5 if script.get("disabled_is_5") else 119)
        # The man page: a KeepAlive that asks how the process ended implies RunAtLoad.
        starts = job["run_at_load"] or job["keep_alive"] or job["successful_exit"] is not None
        starts = starts and not script.get("no_pid")
        book["services"][target] = {
            "job": job, "supervisor": fork_supervisor(root, target), "pid": None, "runs": 0, "last_exit": None,
            "wants": "start" if starts else "", "scheduled": False, "draining": False, "polls": 0,
        }  # fmt: skip
    if starts:
        await_start(root, target, runs=0)
    return Answer()


def read_job(root: Path, path: Path) -> Job:
    import plistlib

    try:
        plist = plistlib.loads(path.read_bytes())
    except Exception as error:  # plistlib lets through whatever its parsers raise
        raise BadPlist(f"{path}: {error}") from None
    if not isinstance(plist, dict) or plist.get("Label") != path.stem:
        raise BadPlist(f"{path}: the Label is not the file's name")
    arguments = plist.get("ProgramArguments", [plist["Program"]] if "Program" in plist else None)
    variables = plist.get("EnvironmentVariables", {})
    if not arguments or not all(
        isinstance(word, str) for word in [*arguments, *variables, *variables.values()]
    ):
        raise BadPlist(
            f"{path}: ProgramArguments and EnvironmentVariables have to be there, of strings"
        )
    keep = plist.get("KeepAlive", False)
    if isinstance(keep, dict) and set(keep) - {"SuccessfulExit"}:
        raise BadPlist(f"{path}: of KeepAlive, this launchd knows only SuccessfulExit")
    return {
        "label": plist["Label"],
        "plist": str(path.absolute()),
        "program": plist.get("Program", arguments[0]),
        "arguments": arguments,
        "environment": minimal_environment(root, plist["Label"]) | variables,
        "folder": plist.get("WorkingDirectory", "/"),
        "out": plist.get("StandardOutPath"),
        "err": plist.get("StandardErrorPath"),
        "run_at_load": bool(plist.get("RunAtLoad", False)),
        "keep_alive": keep is True,
        "successful_exit": keep.get("SuccessfulExit") if isinstance(keep, dict) else None,
        "throttle": float(plist.get("ThrottleInterval", 10)),
        "exit_timeout": float(plist.get("ExitTimeOut", 5)),
    }


def minimal_environment(root: Path, label: str) -> dict[str, str]:
    user = pwd.getpwuid(os.getuid())
    environment = {
        "HOME": os.environ.get("HOME", user.pw_dir),
        "USER": os.environ.get("USER", user.pw_name),
        "PATH": PATH,
        "SHELL": os.environ.get("SHELL", "/bin/zsh"),
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        "XPC_SERVICE_NAME": label,
    }
    passed = root / "pass_environment"
    names = passed.read_text().split() if passed.exists() else []
    return environment | {name: os.environ[name] for name in names if name in os.environ}


def await_start(root: Path, target: str, *, runs: int) -> None:
    """Wait until it has been started once more, or nobody will start it."""
    while True:
        with locked(root) as book:
            service = book["services"].get(target)
            if service is None or service["draining"] or service["runs"] > runs:
                return
        time.sleep(TICK / 4)


def bootout(root: Path, target: str) -> Answer:
    with locked(root) as book:
        service = book["services"].get(target)
        if service is None:
            return failure("Boot-out", 3)
        if service["draining"]:
            return failure("Boot-out", 36)
        service["draining"] = True
        service["polls"] = int(read_script(root).get("drain_polls", 0))
    return Answer()


def kickstart(root: Path, target: str, *, first_kill: bool) -> Answer:
    with locked(root) as book:
        service = book["services"].get(target)
        if service is None:
            return not_found(target)
        if service["draining"]:
            return Answer(37, err=f"Could not kickstart service: 37: {WORDS[37]}")
        if service["pid"] is not None and not first_kill:
            return Answer()
        runs = service["runs"]
        service["wants"] = "restart" if first_kill else "start"
    await_start(root, target, runs=runs)
    return Answer()


def signal_number(name: str) -> int | None:
    if name.isdigit():
        return int(name) if int(name) in signal.valid_signals() else None
    return signal.Signals.__members__.get(name if name.startswith("SIG") else f"SIG{name}")


def kill(root: Path, target: str, *, number: int) -> Answer:
    with locked(
        root
    ) as book:  # a supervisor reaps only while it holds the lock: the pid is still its own
        service = book["services"].get(target)
        if service is None:
            return not_found(target)
        if service["pid"] is None:
            return Answer(3, err="No process to signal.")
        os.kill(service["pid"], number)
    return Answer()


def print_domain(root: Path, verb: str, *, domain: str) -> Answer:
    old = read_script(root).get("old_words")
    with locked(root) as book:
        if verb == "print":
            inside = [target.rpartition("/") for target in book["services"]]
            labels = [f"\t\t{label}" for its_domain, _, label in inside if its_domain == domain]
            return Answer(out="\n".join([f"{domain} = {{", "\tservices = {", *labels, "\t}", "}"]))
        words = ("false", "true") if old else ("enabled", "disabled")
        lines = [
            f'\t\t"{label}" => {words[off]}'
            for label, off in book["disabled"].get(domain, {}).items()
        ]
    return Answer(out="\n".join(["", "\tdisabled services = {", *lines, "\t}"]))


def print_service(root: Path, target: str) -> Answer:
    with locked(root) as book:
        service = book["services"].get(target)
        if service is None:
            return not_found(target)
        if service["draining"] and service["supervisor"] is None:  # its process has gone
            service["polls"] -= 1
            if service["polls"] <= 0:
                del book["services"][target]
    return Answer(out=described(target, service))


def described(target: str, service: Service) -> str:
    job = service["job"]
    code = service["last_exit"]
    last = f"last exit code = {code}"
    if code is None:
        last = "last exit code = (never exited)"
    elif code < 0:
        last = f"last terminating signal = {signal.strsignal(-code)}: {-code}"
    elif code == BAD_START:
        last = "last exit code = 78: EX_CONFIG"
    lines = [
        f"{target} = {{",
        f"\tactive count = {int(service['pid'] is not None)}",
        f"\tpath = {job['plist']}",
        "\ttype = LaunchAgent",
        f"\tstate = {state_of(service)}",
        "",
        f"\tprogram = {job['program']}",
        *("\targuments = {", *(f"\t\t{word}" for word in job["arguments"]), "\t}", ""),
        *(
            "\tenvironment = {",
            *(f"\t\t{name} => {value}" for name, value in job["environment"].items()),
            "\t}",
            "",
        ),
        f"\tdomain = {target.rpartition('/')[0]}",
        f"\tminimum runtime = {job['throttle']:g}",
        f"\texit timeout = {job['exit_timeout']:g}",
        f"\truns = {service['runs']}",
        *([] if service["pid"] is None else [f"\tpid = {service['pid']}"]),
        f"\t{last}",
        "}",
    ]
    return "\n".join(lines)


def state_of(service: Service) -> str:
    if service["draining"]:
        return "SIGTERMed"
    if service["pid"] is not None:
        return "running"
    return "spawn scheduled" if service["scheduled"] else "not running"


# What launchd does: a process for each registered service, that starts, ends and reaps it


def fork_supervisor(root: Path, target: str) -> int:
    """Called with the lock held: the child waits for it, and so sees what its parent registers."""
    child = os.fork()
    if child:
        while os.getpgid(child) != child:  # `clear` finds it by its group
            time.sleep(0.001)
        return child
    try:
        os.setsid()
        os.chdir("/")
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(os.open(root / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), 1)
        os.dup2(1, 2)
        os.closerange(3, 65536)  # the lock as well: it is the parent's
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        Supervisor(root, target).run()
    except BaseException:
        import traceback

        os.write(2, traceback.format_exc().encode())
    os._exit(0)


class Supervisor:
    def __init__(self, root: Path, target: str) -> None:
        self._root = root
        self._target = target
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._due: float | None = None  # when it is started again by itself
        self._kill_at: float | None = None  # set by SIGTERM

    def run(self) -> None:
        try:
            while self._look():
                time.sleep(TICK)
        except FileNotFoundError:
            pass  # the folder has gone, and so do we
        finally:
            if self._process is not None:
                kill_group(self._process.pid)

    def _look(self) -> bool:
        with locked(self._root) as book:
            service = book["services"].get(self._target)
            if service is None or service["supervisor"] != os.getpid():
                return False
            if self._process is not None and self._process.poll() is not None:
                self._reap(service)
            if service["draining"] and self._process is None:
                service["supervisor"] = None
                if service["polls"] <= 0:
                    del book["services"][self._target]
                return False
            self._step(service, time.monotonic())
            service["scheduled"] = self._due is not None
        return True

    def _step(self, service: Service, now: float) -> None:
        if self._process is None:
            if service["wants"] or (self._due is not None and now >= self._due):
                self._start(service, now)
        elif not service["draining"] and service["wants"] != "restart":
            service["wants"] = ""  # a start of what runs
        elif self._kill_at is None:
            self._process.terminate()
            self._kill_at = now + (
                service["job"]["exit_timeout"] or math.inf
            )  # the man page: zero is infinity
        elif now >= self._kill_at:
            self._process.kill()

    def _start(self, service: Service, now: float) -> None:
        self._started = now
        self._due = None
        self._kill_at = None
        service["wants"] = ""
        service["runs"] += 1
        try:
            self._process = spawn(service["job"])
        except OSError as error:
            os.write(2, f"{self._target}: {error}\n".encode())
            self._ended(service, None, code=BAD_START)
        else:
            service["pid"] = self._process.pid
            self._tell(service, "started", pid=self._process.pid, code=None)

    def _reap(self, service: Service) -> None:
        assert self._process is not None
        pid = self._process.pid
        code = self._process.returncode
        self._process = None
        kill_group(pid)  # the man page: what is left of a job's process group dies with it
        self._ended(service, pid, code=code)

    def _ended(self, service: Service, pid: int | None, *, code: int) -> None:
        service["pid"] = None
        service["last_exit"] = code
        job = service["job"]
        throttle = read_script(self._root).get("throttle", service["job"]["throttle"])
        again = job["keep_alive"] or job["successful_exit"] is (code == 0)
        self._due = self._started + throttle if again else None
        self._tell(service, "exited", pid=pid, code=code)

    def _tell(self, service: Service, event: str, *, pid: int | None, code: int | None) -> None:
        label = service["job"]["label"]
        append(
            self._root / "history",
            {"label": label, "event": event, "pid": pid, "code": code, "at": time.time()},
        )


def spawn(job: Job) -> subprocess.Popen[bytes]:
    """OSError: launchd's exit 78.

    Nothing is expanded, and a bare name is sought on launchd's own PATH.
    """
    import subprocess

    program = job["program"]
    if "/" not in program:
        found = (f"{folder}/{program}" for folder in PATH.split(":"))
        program = next((path for path in found if os.access(path, os.X_OK)), f"/{program}")
    with contextlib.ExitStack() as files:
        out, err = (
            files.enter_context(Path("/", path or os.devnull).open("ab"))
            for path in (job["out"], job["err"])
        )
        return subprocess.Popen(
            job["arguments"], executable=program, cwd=Path("/", job["folder"]), env=job["environment"], umask=0o022,
            stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
        )  # fmt: skip
