"""``ocrd`` as ever, only that its worker is `tests.fake_worker` and that it does not wait long
for a hang.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from ocrd.config import Config
from ocrd.daemon import loop
from ocrd.journal import Journal
from ocrd.worker import process as parent
from ocrd.worker.messages import Message, Setup


class WithFakeWorker(loop.Daemon):
    def __init__(self, config: Config, journal: Journal, *, once: bool = False) -> None:
        super().__init__(config, journal, once=once, worker_module="tests.fake_worker")


class FakeWorker(parent.Worker):
    def __init__(
        self,
        setup: Setup,
        load_deadline: float,
        *,
        on_preparing: Callable[[Message], None] = lambda _message: None,
    ) -> None:
        super().__init__(
            setup, load_deadline, on_preparing=on_preparing, module="tests.fake_worker"
        )


if __name__ == "__main__":
    from ocrd.__main__ import main

    loop.Daemon = WithFakeWorker  # type: ignore[assignment,misc]  # the command takes it from there
    parent.GRACE = 1.0
    if "run" not in sys.argv:
        parent.Worker = FakeWorker  # type: ignore[assignment,misc]  # other commands take it from there
    main()
