"""A page from its pixels to its reading: blank, read, found to be a loop and looked at again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from ocrd import paths
from ocrd.engine import recognizer
from ocrd.engine.decode import Decoded, DecodeLimits
from ocrd.engine.recognizer import DeepSeekOCR
from ocrd.errors import UsageError
from ocrd.types import PageReading

GREETING = paths.POCKET_MODEL / "demo" / "greeting.png"


@pytest.fixture(scope="module")
def engine() -> DeepSeekOCR:
    return DeepSeekOCR(paths.POCKET_MODEL, device="cpu")


@pytest.fixture
def greeting() -> Image.Image:
    with Image.open(GREETING) as image:
        return image.convert("RGB")


class Scripted:
    """In the place of `Batch`.

    What becomes of each attempt, in the order in which pages are looked at.
    """

    script: list[tuple[str, str]]

    def __init__(self, *_: object, **_options: object) -> None:
        self.ended: list[tuple[int, Decoded]] = []

    @property
    def full(self) -> bool:
        return bool(self.ended)

    def add(self, key: int, prompt: torch.Tensor, *, on_token: Callable[[int], None]) -> None:
        reason, text = Scripted.script.pop(0)
        self.ended.append((key, Decoded(tuple(Scripted.encode(text)), reason)))

    def step(self) -> list[tuple[int, Decoded]]:
        ended = self.ended
        self.ended = []
        return ended

    encode: Callable[[str], list[int]]


@pytest.fixture
def scripted(engine: DeepSeekOCR, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PageReading]:
    """Reads a page with made-up attempts; what it was looked at in stands in `modes`."""
    monkeypatch.setattr(recognizer, "Batch", Scripted)
    monkeypatch.setattr(
        Scripted, "encode", lambda text: engine.tokenizer.encode(text).ids, raising=False
    )

    def read(*script: tuple[str, str], mode: str = "gundam", task: str = "text") -> PageReading:
        Scripted.script = list(script)
        image = Image.new("RGB", (60, 40), "white")
        image.paste("black", (10, 10, 30, 30))
        monkeypatch.setattr(engine, "_look", lambda page, prompt: torch.zeros(1, 1, 1))
        reading = engine.read(image, task, mode=mode)
        assert Scripted.script == []
        return reading

    return read


def tried(reading: PageReading) -> list[tuple[str, str]]:
    return [(attempt.mode, attempt.stop_reason) for attempt in reading.attempts]


def test_a_loop_is_looked_at_again_in_another_mode(scripted: Callable[..., PageReading]) -> None:
    reading = scripted(("loop", "a long good prefix"), ("eos", "shorter text"))
    assert (reading.text, reading.mode, reading.stop_reason) == ("shorter text", "base", "eos")
    assert tried(reading) == [("gundam", "loop"), ("base", "eos")]


def test_of_two_loops_the_longer_prefix_is_kept_and_both_are_told(
    scripted: Callable[..., PageReading],
) -> None:
    reading = scripted(("loop", "a long good prefix"), ("loop", "short"), mode="large")
    assert (reading.text, reading.mode, reading.stop_reason) == (
        "a long good prefix",
        "large",
        "loop",
    )
    assert tried(reading) == [("large", "loop"), ("base", "loop")]
    assert [attempt.tokens for attempt in reading.attempts] == [18, 5]


def test_a_second_look_that_sees_nothing_does_not_cost_the_first_ones_text(
    scripted: Callable[..., PageReading],
) -> None:
    reading = scripted(("loop", "a long good prefix"), ("eos", ""))
    assert (reading.text, reading.stop_reason) == ("a long good prefix", "loop")


def test_a_page_that_is_no_loop_is_looked_at_once(scripted: Callable[..., PageReading]) -> None:
    for reason in ("eos", "length", "deadline"):
        assert scripted((reason, "text")).attempts == ()


def test_a_model_of_one_size_has_no_other_mode_and_keeps_the_prefix(
    scripted: Callable[..., PageReading],
) -> None:
    reading = scripted(("loop", "prefix"), mode="auto")
    assert (reading.text, reading.stop_reason, reading.attempts) == ("prefix", "loop", ())


def test_every_mode_has_another_one() -> None:
    from ocrd.engine.preprocess import MODES

    assert recognizer.OTHER_MODE.keys() == MODES.keys()
    assert all(other in MODES and other != mode for mode, other in recognizer.OTHER_MODE.items())


GROUNDED = "<|ref|>title<|/ref|><|det|>[[0, 0, 999, 499]]<|/det|>\n# Big\n\n<|ref|>text<|/ref|><|det|>[[0, 500, 499, 999]]<|/det|>\nsmall"


def test_a_grounded_answer_is_blocks_with_places_clean_text_and_clean_markdown(
    scripted: Callable[..., PageReading],
) -> None:
    reading = scripted(("eos", GROUNDED), task="markdown")
    assert [(b.label, b.text, b.bbox) for b in reading.blocks] == [
        ("title", "Big", (0, 0, 60, 20)), ("text", "small", (0, 20, 30, 40)),
    ]  # fmt: skip
    assert (reading.text, reading.markdown) == ("Big\n\nsmall", "# Big\n\nsmall")


def test_a_prompt_of_ones_own_is_grounded_when_it_says_so(
    scripted: Callable[..., PageReading],
) -> None:
    assert scripted(("eos", GROUNDED), task="prompt:<|grounding|>OCR this image.").blocks[0].bbox
    plain = scripted(("eos", "a [b] c"), task="prompt:What is this?")
    assert (plain.text, plain.markdown, plain.blocks[0].bbox) == ("a [b] c", "a [b] c", None)


def test_located_words_come_with_each_of_their_places(scripted: Callable[..., PageReading]) -> None:
    answer = "<|ref|>Total<|/ref|><|det|>[[0, 0, 99, 99], [500, 500, 999, 999]]<|/det|>"
    reading = scripted(("eos", answer), task="locate:Total")
    assert [(b.label, b.text) for b in reading.blocks] == [("located", "Total")] * 2
    assert reading.blocks[0].bbox == (0, 0, 6, 4)


def test_a_blank_page_is_not_shown_to_the_model_unless_that_is_switched_off(
    engine: DeepSeekOCR, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    look = engine._look

    def counted(page: Any, prompt: Any) -> Any:
        looked.append(page.index)
        return look(page, prompt)

    monkeypatch.setattr(engine, "_look", counted)
    blank = Image.new("RGB", (300, 200), "white")
    reading = engine.read(blank)
    assert (reading.text, reading.blocks, reading.stop_reason, reading.mode) == (
        "",
        (),
        "blank",
        "none",
    )
    assert looked == []
    monkeypatch.setattr(engine, "skip_blank", False)
    assert engine.read(
        blank, limits=DecodeLimits(max_new_tokens=4)
    ).stop_reason != "blank" and looked == [0]


def test_pages_and_blank_pages_between_them_come_in_order(
    engine: DeepSeekOCR, greeting: Image.Image
) -> None:
    blank = Image.new("RGB", (300, 200), "white")
    pages = list(enumerate((blank, greeting, blank, greeting, blank)))
    none: Any = lambda *_: None  # noqa: E731
    readings = list(
        engine.read_many(
            pages, "text", limits=DecodeLimits(), on_token=none, on_attempt=none, slots=2
        )
    )
    alone = engine.read(greeting).text
    assert [(r.index, r.text) for r in readings] == list(enumerate(["", alone, "", alone, ""]))


def test_a_run_of_empty_pages_or_a_slow_one_does_not_draw_in_the_whole_document(
    engine: DeepSeekOCR, greeting: Image.Image
) -> None:
    asked: list[int] = []
    blank = Image.new("RGB", (60, 40), "white")

    def pages(first: Image.Image) -> Any:
        for index in range(50):
            asked.append(index)
            yield index, first if index == 0 else blank

    none: Any = lambda *_: None  # noqa: E731
    for first in (blank, greeting):
        asked.clear()
        readings = engine.read_many(
            pages(first), "text", limits=DecodeLimits(), on_token=none, on_attempt=none, slots=3
        )
        assert next(readings).index == 0
        assert len(asked) <= 7
        assert [reading.index for reading in readings] == list(range(1, 50))


def test_any_kind_of_picture_is_read_as_it_is_meant(
    engine: DeepSeekOCR, greeting: Image.Image
) -> None:
    expected = engine.recognize(greeting)
    assert expected[0].text
    grey = np.asarray(greeting.convert("L"))
    exif = Image.Exif()
    exif[0x0112] = 8  # to be turned by a quarter
    turned = greeting.rotate(-90, expand=True)
    turned.getexif()[0x0112] = 8
    ink = Image.fromarray(255 - grey)
    transparent = Image.merge("RGBA", (*[Image.new("L", greeting.size, 0)] * 3, ink))
    kinds = {
        "palette": greeting.quantize(16),
        "grey": greeting.convert("L"),
        "16 bits": Image.fromarray(grey.astype(np.uint16) * 257),
        "CMYK": greeting.convert("CMYK"),
        "EXIF": turned,
        "transparency": transparent,
    }
    for kind, picture in kinds.items():
        assert [block.text for block in engine.recognize(picture)] == [
            block.text for block in expected
        ], kind


def test_an_unknown_mode_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(UsageError, match="huge"):
        DeepSeekOCR("/nowhere", mode="huge")


def test_tokens_and_attempts_are_told_page_by_page(
    engine: DeepSeekOCR, greeting: Image.Image
) -> None:
    told: list[tuple[int, int]] = []
    looked: list[int] = []
    pages = [(3, greeting), (4, greeting)]
    readings = list(
        engine.read_many(
            pages,
            "text",
            limits=DecodeLimits(),
            on_token=lambda i, n: told.append((i, n)),
            on_attempt=looked.append,
            slots=2,
        )
    )
    assert looked == [3, 4]
    for reading in readings:
        assert [n for i, n in told if i == reading.index] == list(range(1, reading.tokens + 1))


def test_drawn_pictures_together_get_the_texts_that_they_get_alone(engine: DeepSeekOCR) -> None:
    """The pocket model, float32, texts of different lengths, more pictures than slots."""
    pictures = []
    for number, words in enumerate(
        ("one", "longer words", "x", "Some 42\nlines", "twelve chars", "end")
    ):
        picture = Image.new("RGB", (256, 256), "white")
        ImageDraw.Draw(picture).text((20, 40 + 10 * number), words, fill="black", font_size=34)
        pictures.append(picture)
    none: Any = lambda *_: None  # noqa: E731
    for task in ("text", "markdown"):
        alone = [engine.read(picture, task) for picture in pictures]
        together = list(
            engine.read_many(
                list(enumerate(pictures)),
                task,
                limits=DecodeLimits(),
                on_token=none,
                on_attempt=none,
                slots=4,
            )
        )
        assert [r.text for r in together] == [r.text for r in alone]
        assert [r.tokens for r in together] == [r.tokens for r in alone]
        assert len({r.tokens for r in alone}) > 1
