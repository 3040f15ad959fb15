"""Build the source distribution and the wheel, and check that both install and run elsewhere.

    python -m tools.check_dist [--out dist]

1. The source distribution holds exactly the files that git tracks.
2. The wheel that is built from the unpacked source distribution is byte for byte the wheel that is
   built from the checkout, so nothing outside the source distribution goes into it.
3. The wheel's metadata is complete.
4. The wheel, then the source distribution, is installed with the pinned versions into a new virtual
   environment outside the checkout. There, with an empty home, `ocrd` prints its version and its
   help, writes a configuration for the pocket model, reads a demonstration picture, and the daemon
   reads one from its inbox.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterable, Mapping
from email.message import Message
from email.parser import Parser
from pathlib import Path

import tomli_w

ROOT = Path(__file__).parents[1]
COMMAND_TIMEOUT_S = 120
INSTALL_TIMEOUT_S = 1800
FILE_OF_TARGET = {"sdist": "*.tar.gz", "wheel": "*.whl"}
PICTURE = "greeting.png"
# Nothing of the caller's Python, configuration or home reaches the commands that are checked.
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TMPDIR", "OMP_NUM_THREADS")
REQUIRED_METADATA = (
    "Name",
    "Version",
    "Summary",
    "Author",
    "License-Expression",
    "License-File",
    "Keywords",
    "Classifier",
    "Requires-Python",
    "Requires-Dist",
    "Description-Content-Type",
)


class DistributionError(Exception):
    """The distributions are not fit for release; the message says why."""


def build(source: Path, out: Path, *, targets: Iterable[str] = ("sdist", "wheel")) -> list[Path]:
    """Build the distributions of the project in `source` into the folder `out`.

    Args:
        source: A checkout or an unpacked source distribution.
        out: The folder for the distributions, empty or absent.
        targets: What to build, in this order.

    Returns:
        The path of each distribution, in the order of `targets`.
    """
    paths: list[Path] = []
    for target in targets:
        command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
        run(command, cwd=source, timeout_s=COMMAND_TIMEOUT_S)
        paths.extend(out.glob(FILE_OF_TARGET[target]))
    return paths


def archived_files(sdist: Path) -> set[str]:
    """Names of all files in a source distribution, relative to its top folder."""
    with tarfile.open(sdist) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def file_list_problems(archived: set[str], tracked: set[str]) -> list[str]:
    """How a source distribution's files differ from the files that git tracks."""
    problems = [f"the source distribution lacks {name}" for name in sorted(tracked - archived)]
    extra = archived - tracked - {"PKG-INFO"}
    return problems + [
        f"the source distribution holds {name}, which git does not track: commit it or remove it"
        for name in sorted(extra)
    ]


def wheel_metadata(wheel: Path) -> Message:
    """The METADATA file of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def metadata_problems(metadata: Message) -> list[str]:
    """Which fields a release needs and this metadata does not have."""
    missing = [field for field in REQUIRED_METADATA if not metadata.get_all(field)]
    problems = [f"the metadata has no {field}" for field in missing]
    if not str(metadata.get_payload()).strip():
        problems.append("the metadata has no description")
    return problems


def run(
    command: list[str],
    *,
    cwd: Path,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a command and return what it prints; raises DistributionError where it fails."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            timeout=timeout_s,
            capture_output=True,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DistributionError(f"{' '.join(command)} took longer than {timeout_s:g} s") from error
    if done.returncode != 0:
        raise DistributionError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


class Environment:
    """A new virtual environment with an empty home, outside the checkout."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.bin = folder / "venv" / "bin"
        create = [sys.executable, "-m", "venv", str(self.bin.parent)]
        run(create, cwd=folder, timeout_s=COMMAND_TIMEOUT_S)

    def install(self, *arguments: str) -> None:
        """Run `pip install` with the caller's settings of pip."""
        command = [str(self.bin / "python"), "-m", "pip", "install", "--quiet", *arguments]
        run(command, cwd=self.home, timeout_s=INSTALL_TIMEOUT_S)

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of this environment in the empty home."""
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        command = [str(self.bin / program), *arguments]
        return run(
            command,
            cwd=self.home,
            timeout_s=COMMAND_TIMEOUT_S,
            environment={**kept, "HOME": str(self.home), "HF_HUB_OFFLINE": "1"},
        )


def check_installed(environment: Environment, version: str) -> None:
    """Use what is installed in `environment` as somebody would on the first day."""
    package = Path(environment.run("python", "-c", "import ocrd; print(ocrd.__path__[0])"))
    if not package.is_relative_to(environment.bin.parent.resolve()):
        raise DistributionError(
            f"the command uses ocrd from {package}, not from the new environment"
        )
    printed = environment.run("ocrd", "--version")
    if version not in printed:
        raise DistributionError(f"ocrd --version prints {printed!r}, not {version}")
    if "recognize" not in environment.run("ocrd", "--help"):
        raise DistributionError("ocrd --help does not name the command recognize")
    demo = package / "pocket" / "demo"
    expected = json.loads((demo / "drawn.json").read_text(encoding="utf-8"))[PICTURE]
    environment.run("ocrd", "init", "--pocket")
    _read_on_the_cpu(environment.home / ".config" / "ocrd" / "config.toml")
    printed = environment.run("ocrd", "recognize", str(demo / PICTURE))
    if printed != expected:
        raise DistributionError(f"ocrd recognize prints {printed!r}, not {expected!r}")
    inbox = environment.home / "OCR" / "inbox"
    shutil.copy(demo / PICTURE, inbox / PICTURE)
    environment.run("ocrd", "run", "--once")
    text = (inbox / f"{PICTURE}.txt").read_text(encoding="utf-8").strip()
    if text != expected:
        raise DistributionError(f"the daemon wrote {text!r}, not {expected!r}")
    shutil.rmtree(environment.home)
    environment.home.mkdir()


def _read_on_the_cpu(config: Path) -> None:
    """Set the device: what is checked here is the installation, not the GPU of this machine."""
    settings = tomllib.loads(config.read_text(encoding="utf-8"))
    settings.setdefault("engine", {})["device"] = "cpu"
    config.write_text(tomli_w.dumps(settings), encoding="utf-8")


def check_rebuilt(sdist: Path, wheel: Path, *, folder: Path) -> None:
    """Build a wheel from the unpacked source distribution and compare it with `wheel`."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    (rebuilt,) = build(source, folder / "rebuilt", targets=["wheel"])
    if rebuilt.read_bytes() == wheel.read_bytes():
        return
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(rebuilt) as other:
        differing = set(one.namelist()) ^ set(other.namelist())
    raise DistributionError(
        "the source distribution builds another wheel than the checkout; "
        f"only one of both holds: {', '.join(sorted(differing)) or 'no file (contents differ)'}"
    )


def tracked_files() -> set[str]:
    return set(run(["git", "ls-files"], cwd=ROOT, timeout_s=COMMAND_TIMEOUT_S).splitlines())


def pinned_torch() -> str:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith("torch=="))


def check_distributions(out: Path) -> None:
    """Build both distributions into `out` and check them; raises DistributionError."""
    shutil.rmtree(out, ignore_errors=True)
    started_s = time.monotonic()

    def report(text: str) -> None:
        print(f"[{time.monotonic() - started_s:5.1f} s] {text}", flush=True)

    sdist, wheel = build(ROOT, out)
    report(f"built {sdist.name} ({sdist.stat().st_size / 1e6:.1f} MB)")
    report(f"built {wheel.name} ({wheel.stat().st_size / 1e6:.1f} MB)")
    metadata = wheel_metadata(wheel)
    problems = file_list_problems(archived_files(sdist), tracked_files())
    problems += metadata_problems(metadata)
    if problems:
        raise DistributionError("\n".join(problems))
    report("the file list and the metadata are complete")
    with tempfile.TemporaryDirectory(prefix="ocrd-dist-") as name:
        folder = Path(name).resolve()
        (folder / "source").mkdir()
        check_rebuilt(sdist, wheel, folder=folder / "source")
        report("the source distribution builds the same wheel")
        environment = Environment(folder)
        # torch first and alone, as in `make setup`.
        environment.install(pinned_torch())
        constraints = str(ROOT / "constraints.txt")
        environment.install("--constraint", constraints, str(wheel))
        environment.run("python", "-m", "pip", "check")
        report("the wheel is installed in a new environment")
        check_installed(environment, metadata["Version"])
        report("the wheel runs: version, help, init, recognize, run --once")
        environment.run("python", "-m", "pip", "uninstall", "--quiet", "--yes", metadata["Name"])
        environment.install("--constraint", constraints, str(sdist))
        check_installed(environment, metadata["Version"])
        report("the source distribution installs and runs as well")


def main() -> int:
    """Build and check; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="the folder to write to")
    arguments = parser.parse_args()
    try:
        check_distributions(arguments.out.resolve())
    except DistributionError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
