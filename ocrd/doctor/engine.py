"""Checks of the libraries, of this machine's devices, and of the device plan."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ocrd.config import Config, model_dir
from ocrd.doctor.finding import Finding
from ocrd.errors import ExitCode
from ocrd.model.environment import environment_checks
from ocrd.units import format_size

# Importing PyTorch takes this long on a slow machine.
PROBE_TIMEOUT_S = 120.0


def check_libraries() -> Iterator[Finding]:
    """Check the versions of the libraries that the model needs."""
    for check in environment_checks(full=False):
        advice = "" if check.state == "ok" else f"expected {check.expected}; reinstall ocrd"
        yield Finding(check.name, check.state, check.found, advice, ExitCode.ENGINE)


def probe_torch(config: Config) -> dict[str, Any]:
    """Ask PyTorch about this machine, in another process because this one must not import it.

    Returns:
        The output of `ocrd.engine.runtime.probe`, or only ``error`` when there is none.
    """
    arguments = [str(model_dir(config.model)), config.engine.device, config.engine.dtype]
    argv = [sys.executable, "-P", "-m", "ocrd.engine.runtime.probe", *arguments]
    try:
        completed = subprocess.run(
            argv, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=True
        )
        answer: dict[str, Any] = json.loads(completed.stdout)
        return answer
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["no reason given"]
        return {"error": f"PyTorch cannot be imported: {lines[-1]}"}
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return {"error": f"PyTorch did not answer ({error})"}


def check_device_plan(answer: Mapping[str, Any]) -> Iterator[Finding]:
    """Report this machine's devices, and which of them the engine uses in which order.

    Args:
        answer: See `probe_torch`.
    """
    if machine := answer.get("machine"):
        devices = ["CPU"]
        if machine["cuda_bytes"]:
            devices.insert(0, "CUDA")
        if machine["mps"]:
            devices.insert(0, "MPS")
        memory = format_size(machine["memory_bytes"])
        yield Finding("devices", "ok", f"{', '.join(devices)}; {memory} of memory")
    if "error" in answer:
        advice = "fix engine.device, or reinstall ocrd"
        yield Finding("plan", "fail", answer["error"], advice, ExitCode.ENGINE)
        return
    candidates = answer["candidates"]
    plan = "; then ".join(f"{c['device']} in {c['dtype']} ({c['reason']})" for c in candidates)
    if candidates[0]["reason"] == "the last resort":
        advice = "the model does not fit into this machine's memory and will be very slow"
        yield Finding("plan", "warn", plan, advice)
    else:
        yield Finding("plan", "ok", plan)
