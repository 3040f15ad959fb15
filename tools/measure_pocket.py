"""How well the shipped pocket model reads, measured through the very engine that ships.

    python -m tools.measure_pocket [--count 200] [--seed N] [--model DIR]

Prints the character error rate on fresh pictures, for the fonts trained on and for fonts never seen.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from ocrd.demo import edit_distance
from ocrd.engine.recognizer import DeepSeekOCR
from ocrd.paths import POCKET_MODEL
from tools.render_text import TRAINED_FONTS, UNSEEN_FONTS, draw


def error_rate(engine: DeepSeekOCR, fonts: tuple[str, ...], count: int, seed: int) -> float:
    """Wrong characters as a share of those drawn, over ``count`` pictures."""
    rng = random.Random(seed)
    wrong = total = 0
    for _ in range(count):
        drawing = draw(rng, fonts)
        read = "\n".join(block.text for block in engine.recognize(drawing.picture))
        wrong += edit_distance(read, drawing.text)
        total += len(drawing.text)
    return wrong / total


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=200)
    options.add_argument("--seed", type=int, default=2_000_000)
    options.add_argument("--model", type=Path, default=POCKET_MODEL)
    given = options.parse_args()
    engine = DeepSeekOCR(given.model, device="cpu")
    for name, fonts in (("trained on", TRAINED_FONTS), ("never seen", UNSEEN_FONTS)):
        rate = error_rate(engine, fonts, given.count, given.seed)
        print(f"fonts {name}: {rate:.2%} character errors on {given.count} fresh pictures")


if __name__ == "__main__":
    main()
