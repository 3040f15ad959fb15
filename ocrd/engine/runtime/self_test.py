"""The self-test: read a picture that ships with ocrd before any page is read.

A model that cannot read it on a device would read no page correctly there.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from PIL import Image

from ocrd.engine.decode import DecodeLimits
from ocrd.engine.recognizer import DeepSeekOCR
from ocrd.engine.runtime.start_progress import NoStartProgress, StartProgress
from ocrd.engine.runtime.time_limits import page_timeout_s
from ocrd.errors import EngineError

# The picture's words need fewer tokens. A model that does not stop need not write more.
MAX_TOKENS = 48
# Devices and dtypes round differently, so a letter may differ. Garbage on MPS has next to nothing
# in common with the text.
MIN_SIMILARITY = 0.8


@dataclass(frozen=True)
class SelfTest:
    """The picture to read and the text that is expected.

    Attributes:
        picture: An RGB picture that fits in one view.
        expected_text: What this very model reads in it; None if that is not known. Then the
            self-test only checks that the logits are finite.
    """

    picture: Path
    expected_text: str | None

    def run(
        self,
        recognizer: DeepSeekOCR,
        progress: StartProgress = NoStartProgress(),  # noqa: B008 - without state
    ) -> str:
        """Read the picture.

        Returns:
            The text that was read.

        Raises:
            EngineError: The logits are not finite, or the text is not the expected one.
        """
        progress.self_test_started(page_timeout_s(views=1, tokens=MAX_TOKENS))
        limits = DecodeLimits(max_new_tokens=MAX_TOKENS)
        with Image.open(self.picture) as image:
            text = recognizer.read(image, limits=limits).text
        if self.expected_text is not None:
            self._compare(text, self.expected_text, recognizer=recognizer)
        return text

    @staticmethod
    def _compare(text: str, expected: str, *, recognizer: DeepSeekOCR) -> None:
        similarity = SequenceMatcher(None, text, expected, autojunk=False).ratio()
        if similarity < MIN_SIMILARITY:
            raise EngineError(
                f"the self-test read {text[:80]!r} instead of {expected!r} on {recognizer.device} "
                f"in {recognizer.dtype}, so no page would be read correctly; try another "
                "engine.device or engine.dtype"
            )
