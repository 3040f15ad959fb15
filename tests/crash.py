"""Heal, and die at the n-th thing that is done to the disk.

Run as ``python -m tests.crash ROOT REPO REVISION``.

Reads numbers from standard input and answers each with ``died`` or ``done``: every try is a fork of
this process, which imports everything once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import structlog

from ocrd.checkpoint_format import tokenizer  # noqa: F401 - imported here once, not in every fork
from ocrd.model import hub  # noqa: F401
from ocrd.model.expected import ExpectedModel
from ocrd.model.fetch_plan import HealRequest
from ocrd.model.hashes import HashCache
from ocrd.model.heal import Healer
from ocrd.model.progress import ProgressMeter
from ocrd.model.storage import ModelStorage

CHANGES = (
    "os.rename",
    "os.link",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "shutil.rmtree",
    "os.truncate",
)
DIED = 99


def heal(root: Path, repo: str, *, revision: str, fatal: int) -> None:
    """Exit without a word, as kill -9 does, before the ``fatal``-th change of the file system."""
    changes = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal changes
        opens = (
            event == "open"
            and str(root) in str(arguments[0])
            and set(str(arguments[1])) & set("wax+")
        )
        if event in CHANGES or opens:
            changes += 1
            if changes == fatal:
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


def main() -> None:
    import huggingface_hub.hf_api  # noqa: F401

    structlog.configure(
        logger_factory=structlog.ReturnLoggerFactory()
    )  # standard output is for the answers
    root = Path(sys.argv[1])
    repo = sys.argv[2]
    revision = sys.argv[3]
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            heal(root, repo, revision=revision, fatal=int(line))
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print({0: "done", DIED: "died"}.get(code, f"failed with {code}"), flush=True)


if __name__ == "__main__":
    main()
