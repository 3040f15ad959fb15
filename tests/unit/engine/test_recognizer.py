"""A page becomes a reading: blank, read at the first attempt, or read again after a loop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from ocrd import paths
from ocrd.engine import recognizer
from ocrd.engine.decode import DecodeLimits, DecodeResult
from ocrd.engine.recognizer import DeepSeekOCR
from ocrd.errors import UsageError
from ocrd.types import PageReading

pytestmark = pytest.mark.slow


GREETING = paths.POCKET_MODEL / "demo" / "greeting.png"


@pytest.fixture(scope="module")
def engine() -> DeepSeekOCR:
    return DeepSeekOCR(paths.POCKET_MODEL, device="cpu")


@pytest.fixture
def greeting() -> Image.Image:
    with Image.open(GREETING) as image:
        return image.convert("RGB")


class ScriptedBatch:
    """Replaces `Batch`: gives the scripted (stop reason, text) of each attempt."""

    script: list[tuple[str, str]]

    def __init__(self, *_: object, **_options: object) -> None:
        self.ended: list[tuple[int, DecodeResult]] = []

    @property
    def full(self) -> bool:
        return bool(self.ended)

    def add(self, key: int, prompt: torch.Tensor, *, on_token: Callable[[int], None]) -> None:
        reason, text = ScriptedBatch.script.pop(0)
        self.ended.append((key, DecodeResult(tuple(ScriptedBatch.encode(text)), reason)))

    def step(self) -> list[tuple[int, DecodeResult]]:
        ended = self.ended
        self.ended = []
        return ended

    encode: Callable[[str], list[int]]


@pytest.fixture
def scripted(engine: DeepSeekOCR, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PageReading]:
    """Reads a page whose attempts have the given stop reasons and texts."""
    monkeypatch.setattr(recognizer, "Batch", ScriptedBatch)
    monkeypatch.setattr(
        ScriptedBatch, "encode", lambda text: engine.tokenizer.encode(text).ids, raising=False
    )

    def read(*script: tuple[str, str], mode: str = "gundam", task: str = "text") -> PageReading:
        ScriptedBatch.script = list(script)
        image = Image.new("RGB", (60, 40), "white")
        image.paste("black", (10, 10, 30, 30))
        monkeypatch.setattr(engine, "_embed_page", lambda page, prompt: torch.zeros(1, 1, 1))
        reading = engine.read(image, task, mode=mode)
        assert ScriptedBatch.script == []
        return reading

    return read


class RecordedProgress:
    def __init__(self) -> None:
        self.attempts: list[int] = []
        self.counts: defaultdict[int, list[int]] = defaultdict(list)

    def attempt(self, index: int) -> None:
        self.attempts.append(index)

    def tokens(self, index: int, count: int) -> None:
        self.counts[index].append(count)


def attempts_of(reading: PageReading) -> list[tuple[str, str]]:
    return [(attempt.mode, attempt.stop_reason) for attempt in reading.attempts]


def test_a_loop_is_read_again_in_another_mode(scripted: Callable[..., PageReading]) -> None:
    reading = scripted(("loop", "a long good prefix"), ("eos", "shorter text"))
    assert (reading.text, reading.mode, reading.stop_reason) == ("shorter text", "base", "eos")
    assert attempts_of(reading) == [("gundam", "loop"), ("base", "eos")]


def test_of_two_loops_the_longer_prefix_is_kept_and_both_are_recorded(
    scripted: Callable[..., PageReading],
) -> None:
    reading = scripted(("loop", "a long good prefix"), ("loop", "short"), mode="large")
    assert (reading.text, reading.mode, reading.stop_reason) == (
        "a long good prefix",
        "large",
        "loop",
    )
    assert attempts_of(reading) == [("large", "loop"), ("base", "loop")]
    assert [attempt.tokens for attempt in reading.attempts] == [18, 5]


def test_a_second_attempt_without_text_does_not_lose_the_text_of_the_first(
    scripted: Callable[..., PageReading],
) -> None:
    reading = scripted(("loop", "a long good prefix"), ("eos", ""))
    assert (reading.text, reading.stop_reason) == ("a long good prefix", "loop")


def test_a_page_without_a_loop_is_read_once(scripted: Callable[..., PageReading]) -> None:
    for reason in ("eos", "length", "deadline"):
        assert scripted((reason, "text")).attempts == ()


def test_a_model_of_one_size_has_no_other_mode_and_keeps_the_prefix(
    scripted: Callable[..., PageReading],
) -> None:
    reading = scripted(("loop", "prefix"), mode="auto")
    assert (reading.text, reading.stop_reason, reading.attempts) == ("prefix", "loop", ())


GROUNDED = (
    "<|ref|>title<|/ref|><|det|>[[0, 0, 999, 499]]<|/det|>\n# Big\n\n"
    "<|ref|>text<|/ref|><|det|>[[0, 500, 499, 999]]<|/det|>\nsmall"
)


def test_a_grounded_answer_becomes_blocks_with_boxes_text_and_markdown_without_tags(
    scripted: Callable[..., PageReading],
) -> None:
    reading = scripted(("eos", GROUNDED), task="markdown")
    assert [(b.label, b.text, b.bbox) for b in reading.blocks] == [
        ("title", "Big", (0, 0, 60, 20)), ("text", "small", (0, 20, 30, 40)),
    ]  # fmt: skip
    assert (reading.text, reading.markdown) == ("Big\n\nsmall", "# Big\n\nsmall")


def test_a_users_own_prompt_is_grounded_when_it_asks_for_boxes(
    scripted: Callable[..., PageReading],
) -> None:
    assert scripted(("eos", GROUNDED), task="prompt:<|grounding|>OCR this image.").blocks[0].bbox
    plain = scripted(("eos", "a [b] c"), task="prompt:What is this?")
    assert (plain.text, plain.markdown, plain.blocks[0].bbox) == ("a [b] c", "a [b] c", None)


def test_located_words_come_with_each_of_their_boxes(scripted: Callable[..., PageReading]) -> None:
    answer = "<|ref|>Total<|/ref|><|det|>[[0, 0, 99, 99], [500, 500, 999, 999]]<|/det|>"
    reading = scripted(("eos", answer), task="locate:Total")
    assert [(b.label, b.text) for b in reading.blocks] == [("located", "Total")] * 2
    assert reading.blocks[0].bbox == (0, 0, 6, 4)


def test_the_model_does_not_see_a_blank_page_unless_that_is_switched_off(
    engine: DeepSeekOCR, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[int] = []
    embed_page = engine._embed_page

    def counted(page: Any, prompt: Any) -> Any:
        embedded.append(page.index)
        return embed_page(page, prompt)

    monkeypatch.setattr(engine, "_embed_page", counted)
    blank = Image.new("RGB", (300, 200), "white")
    reading = engine.read(blank)
    assert (reading.text, reading.blocks, reading.stop_reason, reading.mode) == (
        "",
        (),
        "blank",
        "none",
    )
    assert embedded == []
    monkeypatch.setattr(engine, "skip_blank", False)
    assert engine.read(
        blank, limits=DecodeLimits(max_new_tokens=4)
    ).stop_reason != "blank" and embedded == [0]


def test_readings_come_in_order_with_blank_pages_between_them(
    engine: DeepSeekOCR, greeting: Image.Image
) -> None:
    blank = Image.new("RGB", (300, 200), "white")
    pages = list(enumerate((blank, greeting, blank, greeting, blank)))
    readings = list(engine.read_pages(pages, slots=2))
    alone = engine.read(greeting).text
    assert [(r.index, r.text) for r in readings] == list(enumerate(["", alone, "", alone, ""]))


def test_neither_blank_pages_nor_a_slow_one_load_the_whole_document(
    engine: DeepSeekOCR, greeting: Image.Image
) -> None:
    requested: list[int] = []
    blank = Image.new("RGB", (60, 40), "white")

    def pages(first: Image.Image) -> Any:
        for index in range(50):
            requested.append(index)
            yield index, first if index == 0 else blank

    for first in (blank, greeting):
        requested.clear()
        readings = engine.read_pages(pages(first), slots=3)
        assert next(readings).index == 0
        assert len(requested) <= 7
        assert [reading.index for reading in readings] == list(range(1, 50))


def test_pictures_of_every_mode_give_the_same_text(
    engine: DeepSeekOCR, greeting: Image.Image
) -> None:
    expected = engine.recognize(greeting)
    assert expected[0].text
    grey = np.asarray(greeting.convert("L"))
    exif = Image.Exif()
    exif[0x0112] = 8  # show it turned by a quarter
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


def test_attempts_and_tokens_are_reported_for_each_page(
    engine: DeepSeekOCR, greeting: Image.Image
) -> None:
    progress = RecordedProgress()
    readings = list(engine.read_pages([(3, greeting), (4, greeting)], slots=2, progress=progress))
    assert progress.attempts == [3, 4]
    for reading in readings:
        assert progress.counts[reading.index] == list(range(1, reading.tokens + 1))


def test_pictures_in_a_batch_get_the_texts_that_they_get_alone(engine: DeepSeekOCR) -> None:
    """The pocket model, float32, texts of different lengths, more pictures than slots."""
    pictures = []
    for number, words in enumerate(
        ("one", "longer words", "x", "Some 42\nlines", "twelve chars", "end")
    ):
        picture = Image.new("RGB", (256, 256), "white")
        ImageDraw.Draw(picture).text((20, 40 + 10 * number), words, fill="black", font_size=34)
        pictures.append(picture)
    for task in ("text", "markdown"):
        alone = [engine.read(picture, task) for picture in pictures]
        together = list(engine.read_pages(enumerate(pictures), task, slots=4))
        assert [r.text for r in together] == [r.text for r in alone]
        assert [r.tokens for r in together] == [r.tokens for r in alone]
        assert len({r.tokens for r in alone}) > 1
