"""How fast the model is verified.

In full beside other programs on the same file, and quick with what is remembered.

python -m bench.verify [FOLDER]        # FOLDER: a checkpoint; else one of full size is made in
build/full-size
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

from bench.full_size import build

ROUNDS = 3
# What reads the same file for the same hash; those that this machine has.
OTHERS = {
    "sha256sum": ["sha256sum"],
    "shasum": ["shasum", "-a", "256"],
    "openssl": ["openssl", "dgst", "-sha256"],
}
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


def timed(what: str, argv: list[str]) -> tuple[float, str]:
    """Seconds by the wall clock, start of the program and all, and what it said."""
    started = time.perf_counter()
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - started
    print(f"  {what:<16} {seconds:6.2f} s", flush=True)
    return seconds, said


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else build(Path("build/full-size"))
    weights = max(folder.glob("*.safetensors"), key=lambda path: path.stat().st_size)
    size = sum(path.stat().st_size for path in folder.iterdir())
    others = {name: argv for name, argv in OTHERS.items() if shutil.which(argv[0])}
    print(
        f"{weights}: {weights.stat().st_size / 1e9:.2f} GB; Python {platform.python_version()}, {platform.machine()}"
    )
    took: dict[str, list[float]] = {name: [] for name in (*others, "full verify", "quick verify")}
    peak = 0
    with tempfile.TemporaryDirectory() as state:
        ours = [sys.executable, "-c", VERIFY, str(folder), f"{state}/hashes.json"]
        subprocess.run(
            [*next(iter(others.values())), str(weights)], check=True, capture_output=True
        )  # into memory
        for _ in range(ROUNDS):  # by turns, so that a machine that slows down slows all
            for name, argv in others.items():
                took[name].append(timed(name, [*argv, str(weights)])[0])
            for kind in ("full", "quick"):
                seconds, said = timed(f"{kind} verify", [*ours, kind])
                took[f"{kind} verify"].append(seconds)
                peak = max(peak, int(said) // (1_000_000 if sys.platform == "darwin" else 1_000))
    best = {name: min(seconds) for name, seconds in took.items()}
    for name in others:
        share = best[name] / best["full verify"]
        print(
            f"full verify against {name}: {share:.0%} of its speed ({size / best[name] / 1e9:.2f} GB/s)"
        )
    print(
        f"full verify: {size / best['full verify'] / 1e9:.2f} GB/s, {peak} MB; quick: {best['quick verify']:.2f} s"
    )
    print(json.dumps({"bytes": size, "seconds": best, "peak_mb": peak}))


if __name__ == "__main__":
    main()
