"""Runs a user's command after a file was read or failed: an argument list, never a shell line."""

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

# Bytes of a hook's output that are kept for the log.
MAX_OUTPUT_BYTES = 2000
# Seconds between two checks of a running hook: has it ended, must it end?
POLL_INTERVAL_S = 0.1
# Seconds that a hook has to end after SIGTERM.
TERMINATE_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class HookResult:
    """How a hook ended.

    Attributes:
        exit_code: None when it did not end by itself.
        output: The beginning of what it printed.
        error: Why it could not be started, or was ended; empty otherwise.
    """

    exit_code: int | None
    output: str
    error: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.exit_code == 0


def hook_variables(job: Job) -> dict[str, str]:
    """The environment variables that a hook gets besides the file's path, its last argument."""
    variables = {
        "OCRD_EVENT": job.state.value,
        "OCRD_FILE": str(job.path),
        "OCRD_JOB": job.id,
        "OCRD_REASON": job.reason.value if job.reason else "",
        "OCRD_MESSAGE": job.message or "",
    }
    for path in job.sidecars:
        if os.path.exists(path):  # noqa: PTH110 - Path.exists may raise
            variables[f"OCRD_{path.suffix[1:].upper()}"] = str(path)
    return variables


def run_hook(
    command: Sequence[str],
    file: Path,
    *,
    variables: Mapping[str, str],
    timeout_s: float,
    stopping: Callable[[], bool],
) -> HookResult:
    """Run ``command`` with ``file`` as its last argument; never raises.

    The hook leads a process group of its own, which is ended as a whole. Processes that it leaves
    in the background when it ends by itself continue.

    Args:
        command: The program and its arguments.
        file: The file that was read or failed.
        variables: Added to the environment.
        timeout_s: Seconds after which it is ended.
        stopping: Whether the daemon is ending, which ends the hook, too.
    """
    try:
        # In the user's home: the daemon's own folder means nothing to a hook.
        process = subprocess.Popen(
            [*command, str(file)],
            env={**os.environ, **variables},
            cwd=Path.home(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError, RuntimeError) as error:  # a missing program; no home
        reason = getattr(error, "strerror", None) or error
        return HookResult(None, "", f"it cannot be started ({reason})")
    deadline = time.monotonic() + timeout_s

    def end_reason() -> str:
        if stopping():
            return "ocrd is being stopped"
        if time.monotonic() > deadline:
            return f"it took longer than {timeout_s:g} s"
        return ""

    return _supervise(process, end_reason)


def _supervise(process: subprocess.Popen[bytes], end_reason: Callable[[], str]) -> HookResult:
    """Read the output until the process ends, or end it for a reason."""
    assert process.stdout is not None
    with process.stdout as pipe:
        os.set_blocking(pipe.fileno(), False)
        output, error = _read_until_end(process, pipe.fileno(), end_reason=end_reason)
        if error:
            _end_group(process)
        else:
            output += _read_available(pipe.fileno())
    text = output[:MAX_OUTPUT_BYTES].decode("utf-8", "backslashreplace").strip()
    return HookResult(None if error else process.returncode, text, error)


def _read_until_end(
    process: subprocess.Popen[bytes], pipe: int, *, end_reason: Callable[[], str]
) -> tuple[bytes, str]:
    """The first output, and why the process must be ended; empty when it ended by itself."""
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while process.poll() is None:
            error = end_reason()
            if error:
                return output, error
            if not selector.get_map():
                time.sleep(POLL_INTERVAL_S)
            elif selector.select(POLL_INTERVAL_S):
                new = os.read(pipe, 65536)
                if not new:
                    selector.unregister(pipe)  # it closed its output and continues
                # The rest is read and dropped: a full pipe would block the hook.
                output = (output + new)[:MAX_OUTPUT_BYTES]
    return output, ""


def _read_available(pipe: int) -> bytes:
    """What is in the pipe now; its end may never come, as background processes hold it open."""
    output = b""
    with contextlib.suppress(BlockingIOError):
        while len(output) < MAX_OUTPUT_BYTES:
            new = os.read(pipe, 65536)
            if not new:
                break
            output += new
    return output


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=TERMINATE_TIMEOUT_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # those of its group that ignored SIGTERM, too
    process.wait()
