"""The pocket model that ships is complete, small, and has the real model's file layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from ocrd import paths
from ocrd.checkpoint_format.architecture import read_architecture
from ocrd.engine.prompt import encode_prompt
from ocrd.engine.recognizer import DeepSeekOCR
from ocrd.files import hash_file
from ocrd.tasks import prompt_text
from tools.measure_pocket import grounded_scores, iou, text_error_rate
from tools.render_text import TRAINED_FONTS

pytestmark = pytest.mark.slow


POCKET = paths.POCKET_MODEL


def test_the_manifest_matches_the_files() -> None:
    files = json.loads((POCKET / "manifest.json").read_text(encoding="utf-8"))["files"]
    assert set(files) == {"config.json", "model.safetensors", "tokenizer.json"}
    for name, entry in files.items():
        assert (POCKET / name).stat().st_size == entry["size"]
        assert hash_file(POCKET / name) == entry["sha256"]


def test_it_is_small_enough_to_ship() -> None:
    assert sum(path.stat().st_size for path in POCKET.iterdir() if path.is_file()) <= 12_000_000


def test_its_configuration_follows_the_published_schema() -> None:
    golden = json.loads(
        (Path(__file__).parents[2] / "data/golden/config.json").read_text(encoding="utf-8")
    )
    ours = json.loads((POCKET / "config.json").read_text(encoding="utf-8"))
    extra = {"neck_channels", "window_size"}
    assert ours.keys() <= golden.keys()
    assert ours["language_config"].keys() <= golden["language_config"].keys()
    for part in ("sam_vit_b", "clip-l-14-224"):
        assert (
            ours["vision_config"]["width"][part].keys()
            <= golden["vision_config"]["width"][part].keys() | extra
        )
    assert read_architecture(POCKET).sam.image_size == 256


def test_its_tokenizer_encodes_and_decodes_every_character_of_its_alphabet() -> None:
    tokenizer = Tokenizer.from_file(str(POCKET / "tokenizer.json"))
    text = "Sphinx of black quartz,\njudge my vow! 0123456789 (%$@#&)"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text


def test_its_tokenizer_encodes_every_published_prompt() -> None:
    tokenizer = Tokenizer.from_file(str(POCKET / "tokenizer.json"))
    for task in ("text", "markdown", "figure", "locate:Total"):
        prompt = encode_prompt(prompt_text(task), tokenizer, bos=0)
        assert prompt.before == (0,)
        assert tokenizer.decode(list(prompt.after), skip_special_tokens=False) == prompt_text(
            task
        ).removeprefix("<image>")


def test_it_reads_new_pictures_with_at_most_three_percent_character_errors() -> None:
    engine = DeepSeekOCR(POCKET, device="cpu")
    # Another seed than those of training and of docs/pocket.md: new pictures, and the same ones on
    # every machine.
    assert text_error_rate(engine, TRAINED_FONTS, count=200, seed=3_000_000) <= 0.03


def test_its_boxes_are_where_the_lines_are() -> None:
    engine = DeepSeekOCR(POCKET, device="cpu")
    overlap, wrong = grounded_scores(engine, TRAINED_FONTS, count=100, seed=3_000_000)
    assert overlap >= 0.6 and wrong <= 0.04


def test_overlap_is_intersection_over_union() -> None:
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1.0
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == 50 / 150
    assert iou((0, 0, 10, 10), (10, 0, 20, 10)) == iou((0, 0, 5, 5), (6, 6, 9, 9)) == 0.0
