"""Measure how well the pocket model reads, through the engine.

    python -m tools.measure_pocket [--count 200] [--seed N] [--model DIR]

Prints the character error rate and the overlap of the boxes on new pictures, for the training fonts
and for other fonts.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

from ocrd.demo import edit_distance
from ocrd.engine.recognizer import DeepSeekOCR
from ocrd.paths import POCKET_MODEL
from ocrd.rgb import to_rgb
from ocrd.types import Block, Box
from tools.render_text import TRAINED_FONTS, UNSEEN_FONTS, Drawing, draw

BATCH_PAGES = 8


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200, help="pictures for each set of fonts")
    parser.add_argument("--seed", type=int, default=2_000_000)
    parser.add_argument("--model", type=Path, default=POCKET_MODEL)
    options = parser.parse_args()
    engine = DeepSeekOCR(options.model, device="cpu")
    for name, fonts in (("training fonts", TRAINED_FONTS), ("other fonts", UNSEEN_FONTS)):
        rate = text_error_rate(engine, fonts, count=options.count, seed=options.seed)
        overlap, grounded_rate = grounded_scores(
            engine, fonts, count=options.count, seed=options.seed
        )
        print(f"{name}: {rate:.2%} character errors on {options.count} new pictures;")
        print(
            f"    grounded task: {overlap:.1%} mean overlap (IoU) of the boxes, "
            f"{grounded_rate:.2%} character errors",
            flush=True,
        )


def text_error_rate(engine: DeepSeekOCR, fonts: tuple[str, ...], *, count: int, seed: int) -> float:
    """The text task's character error rate: edits as a share of the characters drawn."""
    errors = 0
    total = 0
    for drawing, blocks in _read(engine, fonts, count=count, seed=seed, task="text"):
        text = "\n".join(block.text for block in blocks)
        errors += edit_distance(text, drawing.text)
        total += len(drawing.text)
    return errors / total


def grounded_scores(
    engine: DeepSeekOCR, fonts: tuple[str, ...], *, count: int, seed: int
) -> tuple[float, float]:
    """The grounded task's scores: Markdown with a box for each line.

    Returns:
        Mean overlap of the boxes (intersection over union), and character error rate. Each drawn
        box is compared with the one at the same position in the answer. A missing or an extra line
        counts as an overlap of 0.
    """
    overlap = 0.0
    lines = 0
    errors = 0
    total = 0
    for drawing, blocks in _read(engine, fonts, count=count, seed=seed, task="markdown"):
        for block, box in zip(blocks, drawing.boxes, strict=False):
            overlap += iou(block.bbox, box) if block.bbox else 0.0
        lines += max(len(blocks), len(drawing.boxes))
        errors += edit_distance("\n".join(block.text for block in blocks), drawing.text)
        total += len(drawing.text)
    return overlap / lines, errors / total


def _read(
    engine: DeepSeekOCR, fonts: tuple[str, ...], *, count: int, seed: int, task: str
) -> Iterator[tuple[Drawing, tuple[Block, ...]]]:
    """Draw pictures and read them in batches, which gives each the text that it gets alone."""
    rng = random.Random(seed)
    drawings = [draw(rng, fonts) for _ in range(count)]
    pages = enumerate(to_rgb(drawing.picture) for drawing in drawings)
    for drawing, reading in zip(
        drawings, engine.read_pages(pages, task, slots=BATCH_PAGES), strict=True
    ):
        yield drawing, reading.blocks


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0, width) * max(0, height)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / max(1, areas - shared)


if __name__ == "__main__":
    main()
