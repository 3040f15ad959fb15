"""``ocrd retry``, ``pause`` and ``resume``: what a person says to the queue."""

from __future__ import annotations


def retry() -> None:
    """Try every failed file again, and at once those that wait for another try."""
    from ocrd import paths
    from ocrd.daemon.doorbell import ring
    from ocrd.journal import Journal

    state = paths.private_folder(paths.state_dir())
    journal = Journal(state)
    try:
        again = journal.retry()
    finally:
        journal.close()
    print(f"{again} failed file(s) are queued again{'' if ring(state) else '; no daemon runs: ocrd start'}")


def pause() -> None:
    """Read nothing until `ocrd resume`, beyond the page in hand; what is dropped or submitted waits."""
    _say(True)
    print("paused; go on with: ocrd resume")


def resume() -> None:
    """Go on after `ocrd pause`."""
    _say(False)
    print("going on")


def _say(paused: bool) -> None:
    from ocrd import paths
    from ocrd.daemon.doorbell import ring
    from ocrd.journal import Journal

    state = paths.private_folder(paths.state_dir())
    journal = Journal(state)
    try:
        journal.set_fact("pause", paused)
    finally:
        journal.close()
    ring(state)
