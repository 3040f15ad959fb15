"""The views agree with those of the published code: 55 cases of sizes and modes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocrd.engine.preprocess import prepare
from ocrd.engine.resolution import MODES

CASES = json.loads(
    (Path(__file__).parents[2] / "data/golden/preprocess.json").read_text(encoding="utf-8")
)["cases"]


@cache
def pattern(width: int, height: int) -> Image.Image:
    """The picture that the golden data was computed from."""
    x, y = np.meshgrid(np.arange(width, dtype=np.int64), np.arange(height, dtype=np.int64))
    channels = [(x * 7 + y * 13) // 16 % 256, (x * 3 + y * 5) // 9 % 256, ((x * x) // 97 + y) % 256]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['width']}x{c['height']}-{c['mode']}")
def test_views_agree_with_the_published_code(case: dict[str, Any]) -> None:
    views = prepare(pattern(case["width"], case["height"]), MODES[case["mode"]])
    assert list(views.grid) == case["tiles"]
    assert views.image_tokens == case["image_tokens"]
    pictures = [(views.global_view[0], case["global_view"])]
    assert (0 if views.tiles is None else len(views.tiles)) == len(case["local_views"])
    if views.tiles is not None:
        pictures += list(zip(views.tiles, case["local_views"], strict=True))
    for ours, golden in pictures:
        assert ours.shape == (3, golden["size"], golden["size"])
        for channel, y, x, value in golden["samples"]:
            assert float(ours[channel, y, x]) == pytest.approx(value, abs=0.02)


def test_all_golden_cases_are_here() -> None:
    assert len(CASES) == 55
