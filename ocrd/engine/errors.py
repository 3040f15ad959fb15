"""Failures that the engine detects itself."""

from __future__ import annotations

from ocrd.errors import EngineError


class NonFiniteLogits(EngineError):
    """The model's logits contain NaN or infinity. Greedy decoding would write garbage instead."""
