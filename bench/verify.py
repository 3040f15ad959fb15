"""Measure how fast the model is verified.

    python -m bench.verify [FOLDER]

The full verification is compared with other programs that hash the same file; the quick one uses
the hashes that are remembered. FOLDER is a checkpoint; without it one of full size is made in
``build/full-size``.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.full_size import build_checkpoint

ROUNDS = 3
# Programs that compute the same hash. Those that this machine has are measured.
OTHERS = {
    "sha256sum": ["sha256sum"],
    "shasum": ["shasum", "-a", "256"],
    "openssl": ["openssl", "dgst", "-sha256"],
}
# Prints the peak of its memory as getrusage reports it.
VERIFY = """
import resource, sys
from pathlib import Path
from ocrd.model.hashes import HashCache
from ocrd.model.verify import verify
cache = HashCache(Path(sys.argv[2]))
report = verify(Path(sys.argv[1]), cache, full=sys.argv[3] == "full")
cache.save()
assert report.ok, report.failures
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    given = sys.argv[1:]
    folder = Path(given[0]) if given else build_checkpoint(Path("build/full-size"))
    weights = max(folder.glob("*.safetensors"), key=lambda path: path.stat().st_size)
    total_bytes = sum(path.stat().st_size for path in folder.iterdir())
    others = {name: [*argv, str(weights)] for name, argv in OTHERS.items() if shutil.which(argv[0])}
    print(
        f"{weights}: {weights.stat().st_size / 1e9:.2f} GB; "
        f"Python {platform.python_version()}, {platform.machine()}"
    )
    best_s, peak_mb = measure(folder, others)
    for name in others:
        share = best_s[name] / best_s["full verify"]
        speed = total_bytes / best_s[name] / 1e9
        print(f"full verify compared with {name}: {share:.0%} of its speed ({speed:.2f} GB/s)")
    print(
        f"full verify: {total_bytes / best_s['full verify'] / 1e9:.2f} GB/s, {peak_mb} MB; "
        f"quick: {best_s['quick verify']:.2f} s"
    )
    print(json.dumps({"bytes": total_bytes, "seconds": best_s, "peak_mb": peak_mb}))


def measure(folder: Path, others: dict[str, list[str]]) -> tuple[dict[str, float], int]:
    """Time verification and the other programs alternately.

    Alternately, so that a machine that slows down slows all of them.

    Returns:
        The fewest seconds by name, and the peak memory of verification in MB.
    """
    seconds: dict[str, list[float]] = {
        name: [] for name in (*others, "full verify", "quick verify")
    }
    peak_mb = 0
    with tempfile.TemporaryDirectory() as state:
        verify = [sys.executable, "-c", VERIFY, str(folder), f"{state}/hashes.json"]
        for argv in list(others.values())[:1]:  # so that the file is in the page cache
            subprocess.run(argv, check=True, capture_output=True)
        for _ in range(ROUNDS):
            for name, argv in others.items():
                seconds[name].append(time_program(name, argv)[0])
            for kind in ("full", "quick"):
                name = f"{kind} verify"
                elapsed_s, output = time_program(name, [*verify, kind])
                seconds[name].append(elapsed_s)
                per_mb = 1_000_000 if sys.platform == "darwin" else 1_000
                peak_mb = max(peak_mb, int(output) // per_mb)
    return {name: min(times_s) for name, times_s in seconds.items()}, peak_mb


def time_program(name: str, argv: list[str]) -> tuple[float, str]:
    """Seconds from start to exit, and the output."""
    started = time.perf_counter()
    output = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - started
    print(f"  {name:<16} {seconds:6.2f} s", flush=True)
    return seconds, output


if __name__ == "__main__":
    main()
