"""Start, stop and restart the installed service. Each function returns a sentence for the user."""

from __future__ import annotations

from ocrd import paths
from ocrd.errors import ServiceError
from ocrd.files import hash_file
from ocrd.service.daemon_probe import DaemonProbe, refuse_if_started_by_hand
from ocrd.service.detect import detect_service_manager
from ocrd.service.install_record import read_record
from ocrd.service.installation import record_loaded
from ocrd.service.service_manager import ServiceManager, refuse_inside_service


def start() -> str:
    """Start the service.

    Raises:
        ServiceError: The service is not installed or does not start.
    """
    manager = _installed_manager()
    daemon = DaemonProbe(paths.state_dir())
    refuse_if_started_by_hand(daemon, "stop it, then run: ocrd start")
    if daemon.is_running():
        return f"the service is already running (pid {daemon.pid()})"
    manager.start()
    record_loaded(daemon.state_dir, hash_file(manager.file))
    return f"started the service (pid {daemon.pid()})"


def stop() -> str:
    """Stop the service until the next login.

    Raises:
        ServiceError: The service does not stop, or a daemon runs that was started by hand.
    """
    refuse_inside_service("stop")
    stopped = detect_service_manager().stop()
    refuse_if_started_by_hand(DaemonProbe(paths.state_dir()), "stop it where it was started")
    if not stopped:
        return "the service was not running"
    return "stopped the service; it starts again at the next login, or with: ocrd start"


def restart() -> str:
    """Stop and start the service.

    Raises:
        ServiceError: The service is not installed or does not start.
    """
    refuse_inside_service("restart")
    manager = _installed_manager()
    daemon = DaemonProbe(paths.state_dir())
    refuse_if_started_by_hand(daemon, "stop it, then run: ocrd start")
    sha256 = hash_file(manager.file)
    manager.restart(file_changed=read_record(daemon.state_dir).loaded != sha256)
    record_loaded(daemon.state_dir, sha256)
    return f"restarted the service (pid {daemon.pid()})"


def _installed_manager() -> ServiceManager:
    manager = detect_service_manager()
    if not manager.file.is_file():
        raise ServiceError(
            f"the service is not installed ({manager.file} does not exist); run: ocrd install"
        )
    return manager
