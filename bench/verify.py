"""How fast the model is verified: in full beside `sha256sum` on the same file, and quick with what is remembered.

python -m bench.verify [FOLDER]        # FOLDER: a checkpoint; else one of full size is made in build/full-size
"""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.full_size import WEIGHTS, build
from ocrd.model.hashes import HashMemory
from ocrd.model.verify import verify

ROUNDS = 3


def timed(what: str, argv: list[str]) -> float:
    """Seconds of user and system time would hide waiting for the disk; the wall clock does not."""
    started = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    print(f"  {what:<34} {seconds:6.2f} s", flush=True)
    return seconds


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else build(Path("build/full-size"))
    weights = next((p for p in folder.glob("*.safetensors")), folder / WEIGHTS)
    size = weights.stat().st_size
    print(f"{weights}: {size / 1e9:.2f} GB; Python {platform.python_version()}, {platform.machine()}")
    with tempfile.TemporaryDirectory() as state:
        memory = Path(state) / "hashes.json"
        script = (
            "import sys; from pathlib import Path; from ocrd.model.hashes import HashMemory; "
            "from ocrd.model.verify import verify; memory = HashMemory(Path(sys.argv[2])); "
            "report = verify(Path(sys.argv[1]), memory, full=sys.argv[3] == 'full'); memory.save(); "
            "sys.exit(not report.ok)"
        )
        ours = [sys.executable, "-c", script, str(folder), str(memory)]
        subprocess.run(["sha256sum", str(weights)], check=True, stdout=subprocess.DEVNULL)  # into the page cache
        theirs_took, full_took, quick_took = [], [], []
        for _ in range(ROUNDS):  # by turns, so that a machine that slows down slows both
            theirs_took.append(timed("sha256sum", ["sha256sum", str(weights)]))
            full_took.append(timed("full verify, start of Python and all", [*ours, "full"]))
        for _ in range(ROUNDS):
            quick_took.append(timed("quick verify, start of Python and all", [*ours, "quick"]))
        started = time.perf_counter()
        assert verify(folder, HashMemory(memory)).ok
        inside = time.perf_counter() - started
    theirs, full, quick = min(theirs_took), min(full_took), min(quick_took)
    result = {
        "bytes": size,
        "sha256sum_gb_s": size / theirs / 1e9,
        "full_gb_s": size / full / 1e9,
        "share": theirs / full,
        "quick_s": quick,
        "quick_in_process_s": inside,
        "peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3),
    }
    print(f"full verify: {size / full / 1e9:.2f} GB/s; sha256sum: {size / theirs / 1e9:.2f} GB/s; {theirs / full:.0%}")
    print(f"quick verify: {quick:.2f} s, {inside:.2f} s of it not Python's start; at most {result['peak_mb']:.0f} MB")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
