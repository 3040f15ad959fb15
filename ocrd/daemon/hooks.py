"""A user's own command after a file was read or failed: an argument list, never a shell's line."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ocrd.journal import Job

# Bytes of what it says that are kept for the log.
KEPT = 2000
# Seconds between two looks at a running hook: has it ended, are we to stop?
GLANCE = 0.1
# Seconds that it has to end when it is told to.
LAST_WORDS = 1.0


@dataclass(frozen=True)
class Outcome:
    # None when it did not end by itself.
    code: int | None
    said: str
    # Why it was ended, or could not be started.
    why: str = ""

    @property
    def good(self) -> bool:
        return self.code == 0


def environment(job: Job) -> dict[str, str]:
    """What a hook is told beside the file's path, its last argument."""
    told = {
        "OCRD_EVENT": job.state,
        "OCRD_FILE": str(job.path),
        "OCRD_JOB": job.id,
        "OCRD_REASON": job.reason or "",
        "OCRD_MESSAGE": job.message or "",
    }
    there = [path for path in job.sidecars if os.path.exists(path)]  # noqa: PTH110 - Path.exists may raise
    return told | {f"OCRD_{path.suffix[1:].upper()}": str(path) for path in there}


def run_hook(
    command: Sequence[str],
    told: Mapping[str, str],
    *,
    file: Path,
    seconds: float,
    stopping: Callable[[], bool],
) -> Outcome:
    """Run ``command`` with ``file`` as its last argument, until it ends, ``seconds`` are over,
    or we are to stop.

    It is the head of a process group, which is ended as a whole. What it leaves in the background
    when it ends by itself goes on. Never raises.
    """
    try:
        # Hooks run in the user's home: the daemon's own folder means nothing to them.
        process = subprocess.Popen(
            [*command, str(file)],
            env={**os.environ, **told},
            cwd=Path.home(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError, RuntimeError) as error:  # a program that is not there; no home
        return Outcome(
            None, "", f"it cannot be started ({getattr(error, 'strerror', None) or error})"
        )
    assert process.stdout is not None
    with process.stdout as pipe:
        os.set_blocking(pipe.fileno(), False)
        said, why = _listen(
            process, pipe.fileno(), deadline=time.monotonic() + seconds, stopping=stopping
        )
        if why:
            _end(process)
        else:
            said += _rest(pipe.fileno())
    code = None if why else process.returncode
    return Outcome(
        code,
        said[:KEPT].decode("utf-8", "backslashreplace").strip(),
        why and why.format(seconds=seconds),
    )


def _listen(
    process: subprocess.Popen[bytes], pipe: int, *, deadline: float, stopping: Callable[[], bool]
) -> tuple[bytes, str]:
    """What it said until it ended, and why it has to be ended."""
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while process.poll() is None:
            if stopping():
                return said, "ocrd is being stopped"
            if time.monotonic() > deadline:
                return said, "it took longer than {seconds:g} s"
            if not selector.get_map():
                time.sleep(GLANCE)
            elif selector.select(GLANCE):
                new = os.read(pipe, 65536)
                if not new:
                    selector.unregister(pipe)  # it closed its output, and works on
                said = (said + new)[
                    :KEPT
                ]  # the rest is read and forgotten: a full pipe would hold it up
    return said, ""


def _rest(pipe: int) -> bytes:
    """What still lies in the pipe.

    Its end may never come, as what it left in the background holds it open.
    """
    said = b""
    with contextlib.suppress(BlockingIOError):
        while len(said) < KEPT and (new := os.read(pipe, 65536)):
            said += new
    return said


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=LAST_WORDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # those of its group that did not listen, too
    process.wait()
