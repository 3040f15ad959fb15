"""Print what this machine has and which devices would be tried, as one line of JSON.

    python -m ocrd.engine.runtime.probe MODEL DEVICE DTYPE

A process of its own, because it imports torch and the process that needs the answer must not.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from ocrd.checkpoint_format.architecture import read_architecture
from ocrd.checkpoint_format.published_tensors import count_parameters
from ocrd.engine.runtime.device_plan import make_device_plan
from ocrd.engine.runtime.devices import TorchDevices
from ocrd.errors import OcrdError

# Parameters of the published model, for the plan while there is no model.
PUBLISHED_PARAMETERS = 3_336_106_240


def main() -> None:
    """Print ``machine``, ``parameters``, and ``candidates`` and ``rejected``, or ``error``."""
    model_dir, device, dtype = sys.argv[1:]
    machine = TorchDevices().machine()
    try:
        parameters = count_parameters(read_architecture(Path(model_dir)))
    except (OcrdError, OSError):
        parameters = PUBLISHED_PARAMETERS
    answer: dict[str, object] = {"machine": asdict(machine), "parameters": parameters}
    try:
        plan = make_device_plan(device, dtype, parameters=parameters, machine=machine)
        answer |= asdict(plan)
    except OcrdError as error:
        answer["error"] = str(error)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
