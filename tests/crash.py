"""Heal, and die at the n-th change of the disk.

Run as ``python -m tests.crash ROOT REPO REVISION``. It reads numbers from standard input, and
answers each with ``died`` or ``done``. Every try is a fork of this process, which imports
everything once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import structlog

from ocrd.checkpoint_format import tokenizer  # noqa: F401 - imported once, not in every fork
from ocrd.model import hub  # noqa: F401
from ocrd.model.expected import ExpectedModel
from ocrd.model.fetch_plan import HealRequest
from ocrd.model.hashes import HashCache
from ocrd.model.heal import Healer
from ocrd.model.progress import ProgressMeter
from ocrd.model.storage import ModelStorage

CHANGES = frozenset(
    {
        "os.rename",
        "os.link",
        "os.remove",
        "os.mkdir",
        "os.rmdir",
        "shutil.rmtree",
        "os.truncate",
    }
)
DIED = 99


def heal(root: Path, repo: str, *, revision: str, fatal_change: int) -> None:
    """Heal, but exit before the ``fatal_change``-th change, without cleaning up (as by kill -9)."""
    changes = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal changes
        if event in CHANGES or _opens_for_writing(event, arguments, root=root):
            changes += 1
            if changes == fatal_change:
                os._exit(DIED)

    storage = ModelStorage(root / "models", repo, revision, root / "hf/hub", root / "hf/modules")
    healer = Healer(
        HealRequest(storage),
        ExpectedModel(repo, revision),
        HashCache(root / "hashes.json"),
        ProgressMeter(),
    )
    sys.addaudithook(count)
    healer.heal()


def _opens_for_writing(event: str, arguments: tuple[object, ...], *, root: Path) -> bool:
    if event != "open" or str(root) not in str(arguments[0]):
        return False
    return bool(set(str(arguments[1])) & set("wax+"))


def main() -> None:
    import huggingface_hub.hf_api  # noqa: F401

    # Standard output is for the answers.
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    root = Path(sys.argv[1])
    repo = sys.argv[2]
    revision = sys.argv[3]
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            heal(root, repo, revision=revision, fatal_change=int(line))
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print({0: "done", DIED: "died"}.get(code, f"failed with {code}"), flush=True)


if __name__ == "__main__":
    main()
