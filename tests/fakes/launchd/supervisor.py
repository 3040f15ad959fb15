"""What launchd does: a process for each registered service that starts, stops and reaps it."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .answers import START_FAILED
from .processes import kill_group
from .state import Job, Service, append_line, locked_state, read_script

if TYPE_CHECKING:  # only the supervisor needs it at run time, and launchctl starts sooner without
    import subprocess

# Between two checks of the state.
TICK_S = 0.02


def fork_supervisor(root: Path, target: str) -> int:
    """Start a supervisor.

    Called with the lock held. The child waits for the lock, so it sees what its parent registers.

    Returns:
        Its process id.
    """
    child = os.fork()
    if child:
        while os.getpgid(child) != child:  # `remove` finds it by its group
            time.sleep(0.001)
        return child
    try:
        os.setsid()
        os.chdir("/")
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(os.open(root / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), 1)
        os.dup2(1, 2)
        os.closerange(3, 65536)  # also the lock's descriptor, which is the parent's
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        Supervisor(root, target).run()
    except BaseException:
        import traceback

        os.write(2, traceback.format_exc().encode())
    os._exit(0)


class Supervisor:
    """Starts, stops and reaps the process of one service."""

    def __init__(self, root: Path, target: str) -> None:
        self._root = root
        self._target = target
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        # When it is started again without being asked.
        self._restart_at: float | None = None
        # When SIGKILL follows the SIGTERM.
        self._kill_at: float | None = None

    def run(self) -> None:
        """Supervise until the service is booted out or the folder is removed."""
        try:
            while self._check():
                time.sleep(TICK_S)
        except FileNotFoundError:
            pass  # the folder was removed
        finally:
            if self._process is not None:
                kill_group(self._process.pid)

    def _check(self) -> bool:
        """Bring the process and the state together.

        Returns:
            Whether there is something left to supervise.
        """
        with locked_state(self._root) as state:
            service = state["services"].get(self._target)
            if service is None or service["supervisor"] != os.getpid():
                return False
            if self._process is not None and self._process.poll() is not None:
                self._reap(service)
            if service["draining"] and self._process is None:
                service["supervisor"] = None
                if service["polls_left"] <= 0:
                    del state["services"][self._target]
                return False
            self._start_or_stop(service, time.monotonic())
            service["scheduled"] = self._restart_at is not None
        return True

    def _start_or_stop(self, service: Service, now: float) -> None:
        if self._process is None:
            is_due = self._restart_at is not None and now >= self._restart_at
            if service["requested"] or is_due:
                self._start(service, now)
        elif not service["draining"] and service["requested"] != "restart":
            service["requested"] = ""  # it already runs
        elif self._kill_at is None:
            self._process.terminate()
            # The man page: an exit timeout of zero is infinite.
            self._kill_at = now + (service["job"]["exit_timeout"] or math.inf)
        elif now >= self._kill_at:
            self._process.kill()

    def _start(self, service: Service, now: float) -> None:
        self._started_at = now
        self._restart_at = None
        self._kill_at = None
        service["requested"] = ""
        service["runs"] += 1
        try:
            self._process = _spawn(service["job"])
        except OSError as error:
            os.write(2, f"{self._target}: {error}\n".encode())
            self._record_exit(service, None, code=START_FAILED)
        else:
            service["pid"] = self._process.pid
            self._record(service, "started", pid=self._process.pid, code=None)

    def _reap(self, service: Service) -> None:
        assert self._process is not None
        pid = self._process.pid
        code = self._process.returncode
        self._process = None
        kill_group(pid)  # the man page: the rest of a job's process group is killed with it
        self._record_exit(service, pid, code=code)

    def _record_exit(self, service: Service, pid: int | None, *, code: int) -> None:
        service["pid"] = None
        service["last_exit"] = code
        job = service["job"]
        throttle = read_script(self._root).get("throttle", job["throttle"])
        restarts = job["keep_alive"] or job["successful_exit"] is (code == 0)
        self._restart_at = self._started_at + throttle if restarts else None
        self._record(service, "exited", pid=pid, code=code)

    def _record(self, service: Service, event: str, *, pid: int | None, code: int | None) -> None:
        entry = {
            "label": service["job"]["label"],
            "event": event,
            "pid": pid,
            "code": code,
            "at": time.time(),
        }
        append_line(self._root / "history", entry)


def _spawn(job: Job) -> subprocess.Popen[bytes]:
    """Start the job's process.

    Nothing is expanded, and a program without a slash is searched for on launchd's own PATH.

    Raises:
        OSError: launchd reports exit code 78.
    """
    import subprocess

    from .jobs import PATH

    program = job["program"]
    if "/" not in program:
        candidates = (f"{folder}/{program}" for folder in PATH.split(":"))
        program = next((path for path in candidates if os.access(path, os.X_OK)), f"/{program}")
    with contextlib.ExitStack() as files:
        out, err = (
            files.enter_context(Path("/", path or os.devnull).open("ab"))
            for path in (job["out"], job["err"])
        )
        return subprocess.Popen(
            job["arguments"],
            executable=program,
            cwd=Path("/", job["folder"]),
            env=job["environment"],
            umask=0o022,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
