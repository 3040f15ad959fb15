"""What the daemon publishes for other processes: a few typed values in the journal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ocrd.journal.database import Database
from ocrd.serialization import Codec
from ocrd.status import DaemonStatus, EngineStatus

_DAEMON: Codec[DaemonStatus] = Codec(DaemonStatus)
_ENGINE: Codec[EngineStatus] = Codec(EngineStatus, tag="state")
T = TypeVar("T")


class StatusBoard:
    """Published status; a value that another version wrote counts as absent.

    Every method may raise JournalError.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def publish_daemon(self, status: DaemonStatus | None) -> None:
        """The running daemon; None when it ends."""
        self._write("daemon", None if status is None else _DAEMON.encode(status))

    def daemon(self) -> DaemonStatus | None:
        """The daemon that runs or was killed; None when it ended as asked."""
        return self._decode("daemon", _DAEMON)

    def publish_engine(self, status: EngineStatus) -> None:
        """The state of the engine."""
        self._write("engine", _ENGINE.encode(status))

    def engine(self) -> EngineStatus | None:
        """The last published state of the engine."""
        return self._decode("engine", _ENGINE)

    def publish_folder_errors(self, errors: Mapping[Path, str | None]) -> None:
        """Why the daemon cannot use each of its folders; None for those that it can use."""
        self._write("folders", json.dumps({str(path): error for path, error in errors.items()}))

    def folder_errors(self) -> dict[str, str | None]:
        """By folder, why the daemon could not use it when it started."""
        errors = self._json("folders")
        return errors if isinstance(errors, dict) else {}

    def request_pause(self, *, pause: bool) -> None:
        """The user's request: pause, or resume."""
        self._write("pause_requested", json.dumps(pause))

    def pause_requested(self) -> bool:
        """Whether the user asked for a pause."""
        return self._json("pause_requested") is True

    def publish_pause(self, reason: str | None) -> None:
        """Why the daemon reads nothing at present; None when it reads."""
        self._write("pause_reason", json.dumps(reason))

    def pause_reason(self) -> str | None:
        """Why the daemon reads nothing at present."""
        reason = self._json("pause_reason")
        return reason if isinstance(reason, str) else None

    def _write(self, name: str, text: str | None) -> None:
        self._database.run(
            "INSERT INTO status VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            name,
            "null" if text is None else text,
        )

    def _read(self, name: str) -> str | None:
        rows = self._database.run("SELECT value FROM status WHERE name = ?", name)
        return rows[0]["value"] if rows and rows[0]["value"] != "null" else None

    def _json(self, name: str) -> Any:
        text = self._read(name)
        return None if text is None else json.loads(text)

    def _decode(self, name: str, codec: Codec[T]) -> T | None:
        text = self._read(name)
        try:
            return None if text is None else codec.decode(text)
        except ValueError:
            return None
