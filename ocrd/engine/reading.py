"""Make a page's reading from its decoded attempts."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

from ocrd.engine.grounding.parse import parse_page, strip_tags
from ocrd.engine.scheduler import DecodedAttempt, DecodedPage
from ocrd.tasks import LOCATE_PREFIX, is_grounded
from ocrd.types import Block, PageReading

# A second attempt that ends well, but with fewer tokens than this share of the loop's good prefix,
# has missed the page.
MIN_SHARE_OF_LONGEST = 1 / 3


def make_reading(page: DecodedPage, task: str, *, tokenizer: Tokenizer) -> PageReading:
    """Turn the best attempt at ``page`` into text and blocks, according to ``task``."""
    if not page.attempts:
        return _blank_reading(page)
    best = best_attempt(page.attempts)
    output = tokenizer.decode(list(best.token_ids), skip_special_tokens=False)
    if is_grounded(task):
        located = task.startswith(LOCATE_PREFIX)
        parsed = parse_page(output, page.size, page=page.index, located=located)
        text = parsed.text
        markdown = parsed.markdown
        blocks = parsed.blocks
    else:
        text = strip_tags(output)
        markdown = text
        blocks = (Block(text=text, page=page.index),) if text else ()
    attempts = tuple(decoded.attempt for decoded in page.attempts)
    return PageReading(
        index=page.index,
        width=page.size[0],
        height=page.size[1],
        text=text,
        blocks=blocks,
        tokens=best.attempt.tokens,
        stop_reason=best.attempt.stop_reason,
        seconds=sum(attempt.seconds for attempt in attempts),
        mode=best.attempt.mode,
        markdown=markdown,
        attempts=attempts if len(attempts) > 1 else (),
    )


def best_attempt(attempts: Sequence[DecodedAttempt]) -> DecodedAttempt:
    """Choose the longest attempt that is not a loop, unless it has next to nothing.

    Without such an attempt, the longest of the loops wins.
    """
    longest = max(decoded.attempt.tokens for decoded in attempts)

    def rank(decoded: DecodedAttempt) -> tuple[bool, int]:
        attempt = decoded.attempt
        complete = attempt.stop_reason != "loop"
        return complete and attempt.tokens >= MIN_SHARE_OF_LONGEST * longest, attempt.tokens

    return max(attempts, key=rank)


def _blank_reading(page: DecodedPage) -> PageReading:
    width, height = page.size
    return PageReading(
        index=page.index,
        width=width,
        height=height,
        text="",
        blocks=(),
        tokens=0,
        stop_reason="blank",
        seconds=0.0,
        mode="none",
    )
