"""Start, stop and restart what was installed; each gives back a sentence about what came of it."""

from __future__ import annotations

from ocrd import paths
from ocrd.errors import ServiceError
from ocrd.files import hash_file
from ocrd.service.detect import manager_here
from ocrd.service.install_record import read_record
from ocrd.service.installation import note_loaded, refuse_by_hand
from ocrd.service.manager import Daemon, Manager, refuse_inside


def start() -> str:
    """Raises ServiceError when it is not installed or does not come up."""
    manager, daemon = _installed()
    refuse_by_hand(daemon)
    if daemon.running():
        return f"the service runs already (pid {daemon.fact().get('pid')})"
    manager.start()
    note_loaded(daemon.folder, hash_file(manager.file))
    return f"started the service (pid {daemon.fact().get('pid')})"


def stop() -> str:
    """Raises ServiceError when it does not end."""
    refuse_inside("stop")
    manager = manager_here()
    stopped = manager.stop()
    fact = Daemon(paths.state_dir()).fact()
    if fact and fact.get("by") is None:
        raise ServiceError(
            f"an ocrd that was started by hand runs (pid {fact.get('pid')}); end it where it runs"
        )
    if not stopped:
        return "the service did not run"
    return "stopped the service; it starts again at the next login, or with: ocrd start"


def restart() -> str:
    """Raises ServiceError when it is not installed or does not come up."""
    refuse_inside("restart")
    manager, daemon = _installed()
    refuse_by_hand(daemon)
    now = hash_file(manager.file)
    manager.restart(changed=read_record(daemon.folder).loaded != now)
    note_loaded(daemon.folder, now)
    return f"restarted the service (pid {daemon.fact().get('pid')})"


def _installed() -> tuple[Manager, Daemon]:
    manager = manager_here()
    if not manager.file.is_file():
        raise ServiceError(
            f"the service is not installed ({manager.file} is not there); run: ocrd install"
        )
    return manager, Daemon(paths.state_dir())
