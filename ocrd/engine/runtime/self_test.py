"""A picture that ships with ocrd is read before any page is.

A model that cannot read it reads nothing right.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from pathlib import Path

from PIL import Image

from ocrd.engine.decode import DecodeLimits
from ocrd.engine.recognizer import DeepSeekOCR
from ocrd.errors import EngineError

# Tokens: the picture's words need fewer, and a model that runs on is not asked for more.
LONGEST = 48
# Devices and dtypes round differently, so a letter may differ; garbage on MPS shares next to
# nothing.
LIKE_ENOUGH = 0.8


def run_self_test(engine: DeepSeekOCR, picture: Path, *, known: str | None) -> str:
    """Read ``picture``; ``known`` is what this very model reads in it, None when nobody knows.

    Raises EngineError when the scores are not finite (the engine's own check) or the words are not
    the known ones.
    """
    with Image.open(picture) as image:
        text = engine.read(image, limits=DecodeLimits(max_new_tokens=LONGEST)).text
    if (
        known is not None
        and SequenceMatcher(None, text, known, autojunk=False).ratio() < LIKE_ENOUGH
    ):
        raise EngineError(
            f"the canary picture was read as {text[:80]!r} instead of {known!r} on {engine.device} in {engine.dtype}, "
            "so nothing else would be read right; try another engine.device or engine.dtype"
        )
    return text
