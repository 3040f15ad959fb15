"""One class for each way to fail, and the exit code that a command ends with.

Every message is one sentence that the user can act on: what happened, to which file, what to do
next.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import ClassVar

from ocrd.types import Fallback


class ExitCode(IntEnum):
    """The exit codes of every command. 78 is launchd's own and never used."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    SOME_FILES_FAILED = 3
    CONFIGURATION = 4
    MODEL = 5
    ENGINE = 6
    SERVICE = 7


class RefusalReason(StrEnum):
    """Why a file is not read, for good. The journal and the hooks use these words."""

    UNREADABLE = "unreadable"
    UNSUPPORTED = "unsupported"
    DAMAGED = "damaged"
    EMPTY = "empty"
    ENCRYPTED = "encrypted"
    OVERSIZED = "oversized"
    # Its inbox is no longer configured.
    NO_INBOX = "no-inbox"
    # It was submitted, and its disk has been away for a day.
    UNREACHABLE = "unreachable"
    # It ended every worker that tried to read it.
    CRASH = "crash"
    # The engine failed with this page on every device, or does not know the task.
    ENGINE = "engine"
    USAGE = "usage"


class OcrdError(Exception):
    """The base of everything that ocrd raises on purpose."""

    exit_code: ClassVar[ExitCode] = ExitCode.UNEXPECTED


class UsageError(OcrdError):
    """The command was called in a way that cannot be right."""

    exit_code = ExitCode.USAGE


class SomeFilesFailed(OcrdError):
    """The work was done, but not every file could be read."""

    exit_code = ExitCode.SOME_FILES_FAILED


class ConfigError(OcrdError):
    """The configuration file is missing, unreadable, or has a value that is not allowed."""

    exit_code = ExitCode.CONFIGURATION


class ModelError(OcrdError):
    """The model folder is absent, damaged, or another model's."""

    exit_code = ExitCode.MODEL


class ModelUnavailable(ModelError):
    """The model cannot be fetched now: no network, a busy hub, a full disk. A retry may help."""

    def __init__(self, message: str, *, needs_user: bool = False, locked: bool = False) -> None:
        """Describe what happened.

        Args:
            message: What happened and what to do.
            needs_user: It does not pass until the user does something, so a command does not wait.
            locked: Another process works on the same model and will finish.
        """
        super().__init__(message)
        self.needs_user = needs_user
        self.locked = locked


class EngineError(OcrdError):
    """The engine failed: no usable device, a worker that died, a deadline that passed."""

    exit_code = ExitCode.ENGINE


class FreshWorkerNeeded(EngineError):
    """This process cannot continue: its GPU or its memory is used up. A new one can read the page.

    Args:
        message: What happened.
        fallbacks: What was tried with this page before.
    """

    def __init__(self, message: str, fallbacks: tuple[Fallback, ...] = ()) -> None:
        super().__init__(message)
        self.fallbacks = fallbacks


class BackendCrashed(EngineError):
    """The backend died, or was killed because it hung, during a request. The job can run again."""


class BackendExhausted(EngineError):
    """The worker's GPU or memory is used up; a new worker can read the job.

    Args:
        message: What happened.
        fallbacks: What the worker tried before it gave up.
    """

    def __init__(self, message: str, fallbacks: tuple[Fallback, ...] = ()) -> None:
        super().__init__(message)
        self.fallbacks = fallbacks


class BatchFailed(EngineError):
    """Documents that were requested together must be requested one by one; the backend is fine."""


class ReadRefused(OcrdError):
    """The backend does not read this document, for a reason that lasts.

    Args:
        reason: The kind of refusal.
        message: What is wrong with which file, and what to do.
    """

    exit_code = ExitCode.SOME_FILES_FAILED

    def __init__(self, reason: RefusalReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ReadDeferred(OcrdError):
    """The file cannot be read now; a retry may help."""

    exit_code = ExitCode.SOME_FILES_FAILED


class ServiceError(OcrdError):
    """The background service could not be reached, started or stopped."""

    exit_code = ExitCode.SERVICE


class JournalError(ServiceError):
    """The journal cannot be read or written: locked, a full disk, no permission, or damaged."""


class OutdatedJournalError(JournalError):
    """The journal is of an older ocrd whose daemon still runs: it must end before the migration."""


class DocumentError(OcrdError):
    """One input file cannot be read; the others are. Subclasses give the reason, and all last."""

    exit_code = ExitCode.SOME_FILES_FAILED
    reason: ClassVar[RefusalReason] = RefusalReason.UNREADABLE


class UnsupportedDocument(DocumentError):
    """Not a picture or PDF of a kind that ocrd reads."""

    reason = RefusalReason.UNSUPPORTED


class DamagedDocument(DocumentError):
    """The right kind of file, but broken or cut short."""

    reason = RefusalReason.DAMAGED


class EmptyDocument(DocumentError):
    """No bytes, or no pages."""

    reason = RefusalReason.EMPTY


class EncryptedDocument(DocumentError):
    """A PDF that asks for a password."""

    reason = RefusalReason.ENCRYPTED


class OversizedDocument(DocumentError):
    """More bytes or pixels than the configured limits allow."""

    reason = RefusalReason.OVERSIZED
