"""What this machine has and what would be tried, as one JSON line.

``python -m ocrd.engine.runtime.probe MODEL DEVICE DTYPE``.

A process of its own, because it loads torch and the one that asks must not.
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

# Parameters of the published model: what is planned for while there is no model.
PUBLISHED = 3_336_106_240


def main() -> None:
    folder, device, dtype = sys.argv[1:]
    machine = TorchDevices().machine()
    try:
        parameters = count_parameters(read_architecture(Path(folder)))
    except (OcrdError, OSError):
        parameters = PUBLISHED
    said: dict[str, object] = {"machine": asdict(machine), "parameters": parameters}
    try:
        said |= asdict(make_device_plan(device, dtype, parameters=parameters, machine=machine))
    except OcrdError as error:
        said |= {"error": str(error)}
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
