"""How well the shipped pocket model reads, measured through the very engine that ships.

    python -m tools.measure_pocket [--count 200] [--seed N] [--model DIR]

Prints the character error rate and the boxes' overlap on fresh pictures, for the fonts trained on
and for fonts never seen.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from ocrd.demo import edit_distance
from ocrd.engine.recognizer import DeepSeekOCR
from ocrd.paths import POCKET_MODEL
from ocrd.types import Box
from tools.render_text import TRAINED_FONTS, UNSEEN_FONTS, draw


def error_rate(engine: DeepSeekOCR, fonts: tuple[str, ...], *, count: int, seed: int) -> float:
    """Wrong characters as a share of those drawn, over ``count`` pictures."""
    rng = random.Random(seed)
    wrong = total = 0
    for _ in range(count):
        drawing = draw(rng, fonts)
        read = "\n".join(block.text for block in engine.recognize(drawing.picture))
        wrong += edit_distance(read, drawing.text)
        total += len(drawing.text)
    return wrong / total


def placed(
    engine: DeepSeekOCR, fonts: tuple[str, ...], *, count: int, seed: int
) -> tuple[float, float]:
    """(mean overlap of the boxes, wrong characters as a share) when asked for Markdown with a
    box for each line.

    The overlap of a drawn line is that of its box with the one read in its turn, intersection over
    union; a line too few or too many counts as 0.
    """
    rng = random.Random(seed)
    overlap = lines = 0.0
    wrong = total = 0
    for _ in range(count):
        drawing = draw(rng, fonts)
        blocks = engine.recognize(drawing.picture, "markdown")
        overlap += sum(
            iou(b.bbox, box) for b, box in zip(blocks, drawing.boxes, strict=False) if b.bbox
        )
        lines += max(len(blocks), len(drawing.boxes))
        wrong += edit_distance("\n".join(block.text for block in blocks), drawing.text)
        total += len(drawing.text)
    return overlap / lines, wrong / total


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0, width) * max(0, height)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / max(1, areas - shared)


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--count", type=int, default=200)
    options.add_argument("--seed", type=int, default=2_000_000)
    options.add_argument("--model", type=Path, default=POCKET_MODEL)
    given = options.parse_args()
    engine = DeepSeekOCR(given.model, device="cpu")
    for name, fonts in (("trained on", TRAINED_FONTS), ("never seen", UNSEEN_FONTS)):
        rate = error_rate(engine, fonts, count=given.count, seed=given.seed)
        overlap, grounded = placed(engine, fonts, count=given.count, seed=given.seed)
        print(f"fonts {name}: {rate:.2%} character errors on {given.count} fresh pictures;")
        print(
            f"    asked for boxes: {overlap:.1%} mean overlap (IoU), {grounded:.2%} character errors",
            flush=True,
        )


if __name__ == "__main__":
    main()
