"""One class for each way to fail, each tied to the exit code that a command ends with.

Every message is one sentence that a person can act on: what happened, to which file, what next.
"""

from __future__ import annotations

from typing import ClassVar

from ocrd.types import Fallback


class OcrdError(Exception):
    """The base of everything that ocrd raises on purpose."""

    exit_code: ClassVar[int] = 1


class UsageError(OcrdError):
    """The command was called in a way that cannot be right."""

    exit_code = 2


class SomeFilesFailed(OcrdError):
    """The work was done, but not every file could be read."""

    exit_code = 3


class ConfigError(OcrdError):
    """The configuration file is missing, unreadable, or says something that is not allowed."""

    exit_code = 4


class ModelError(OcrdError):
    """The model folder is absent, damaged, or another model's."""

    exit_code = 5


class ModelUnavailable(ModelError):
    """The model cannot be had just now.

    No network, a busy hub, a full disk. Trying again later may help.
    """

    def __init__(self, message: str, *, soon: bool = True, others: bool = False) -> None:
        """``soon``: it may pass by itself.

        Else somebody has to do something, so a command does not wait for it.

        ``others``: another process is at work on the same model, and will be done.
        """
        super().__init__(message)
        self.soon = soon
        self.others = others


class EngineError(OcrdError):
    """The engine failed while reading: no usable device, a worker that died, a deadline passed."""

    exit_code = 6


class FreshWorkerNeeded(EngineError):
    """This process cannot help any more.

    Its GPU or its memory is used up. The page can be read by a new one.
    """

    def __init__(self, message: str, fallbacks: tuple[Fallback, ...] = ()) -> None:
        super().__init__(message)
        # What was tried with this page before.
        self.fallbacks = fallbacks


class ServiceError(OcrdError):
    """The background service could not be reached, started or stopped."""

    exit_code = 7


class DocumentError(OcrdError):
    """One input file cannot be read.

    The rest goes on. Subclasses say why, and all are permanent.
    """

    exit_code = 3
    reason: ClassVar[str] = "unreadable"


class UnsupportedDocument(DocumentError):
    """Not a picture or PDF of a kind that ocrd reads."""

    reason = "unsupported"


class DamagedDocument(DocumentError):
    """The right kind of file, but broken or cut short."""

    reason = "damaged"


class EmptyDocument(DocumentError):
    """No bytes, or no pages."""

    reason = "empty"


class EncryptedDocument(DocumentError):
    """A PDF that asks for a password."""

    reason = "encrypted"


class OversizedDocument(DocumentError):
    """More bytes or pixels than the configured limits allow."""

    reason = "oversized"
