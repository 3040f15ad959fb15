"""``ocrd`` with `tests.fake_worker` as its worker, and short time limits for hangs."""

from __future__ import annotations

from functools import partial, partialmethod

from ocrd.backends import conversation, local
from ocrd.daemon.loop import Daemon

if __name__ == "__main__":
    from ocrd.__main__ import main

    make_backend = partial(local.make_local_backend, module="tests.fake_worker")
    # The daemon and the other commands take it from these names.
    setattr(Daemon, "__init__", partialmethod(Daemon.__init__, make_backend=make_backend))  # noqa: B010
    setattr(local, "make_local_backend", make_backend)  # noqa: B010
    setattr(local, "GRACE_S", 1.0)  # noqa: B010
    conversation.GRACE_S = 1.0
    main()
