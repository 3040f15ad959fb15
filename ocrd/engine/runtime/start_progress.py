"""How a caller follows the engine's start."""

from __future__ import annotations

from typing import Protocol


class StartProgress(Protocol):
    """Receives the progress of loading and testing the model."""

    def loaded(self, share: float) -> None:
        """``share`` of the weights is loaded, 0 to 1."""
        ...

    def self_test_started(self, timeout_s: float) -> None:
        """The self-test begins. If it takes longer than ``timeout_s``, the device hangs.

        Also called before a page, when a device is tested again after a cool-down.
        """
        ...


class NoStartProgress:
    """Ignores the progress of the engine's start."""

    def loaded(self, share: float) -> None:
        """Do nothing."""

    def self_test_started(self, timeout_s: float) -> None:
        """Do nothing."""
