"""The pocket model's trainer.

The same lessons from the same seed, labels that say the truth, steps that teach.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch

from ocrd.engine.recognizer import DeepSeekOCR
from tools.muon import orthogonalised
from tools.pocket_losses import NOTHING, Batch, make_batch
from tools.pocket_model import EOS_ID, build_tokenizer
from tools.render_text import CHARACTERS, MOST_CHARACTERS, MOST_LINES, draw
from tools.train_pocket import Lessons, Run, rate_at


def test_the_same_seed_and_step_draw_the_same_lesson() -> None:
    one, again, next_step, other = (
        Lessons(seed, 3, first_with_text=0)[step] for seed, step in ((1, 7), (1, 7), (1, 8), (2, 7))
    )  # fmt: skip
    assert torch.equal(one.pixels, again.pixels) and torch.equal(one.ids, again.ids)
    assert not torch.equal(one.pixels, next_step.pixels) and not torch.equal(
        one.pixels, other.pixels
    )


def test_drawings_stay_within_what_the_pocket_model_promises_to_read() -> None:
    rng = random.Random(5)
    for _ in range(100):
        lines = draw(rng).text.split("\n")
        assert 1 <= len(lines) <= MOST_LINES
        assert all(
            1 <= len(line) <= MOST_CHARACTERS and set(line) <= set(CHARACTERS) for line in lines
        )


def test_each_character_is_said_to_stand_where_it_was_drawn() -> None:
    tokenizer = build_tokenizer()
    drawing = draw(random.Random(11), lines=(1, 1))
    batch = make_batch([drawing], tokenizer)
    assert (
        tokenizer.decode(batch.ids[0, :-1].tolist()) == drawing.text and batch.ids[0, -1] == EOS_ID
    )
    drawn = [(i, place) for i, place in enumerate(batch.places[0].tolist()) if place[0] != NOTHING]
    assert [drawing.text[i] for i, _ in drawn] == [c for c in drawing.text if c != " "]
    columns = [column for _, (_, column) in drawn]
    assert columns == sorted(columns)  # one line runs to the right
    for i, (row, column) in drawn:
        # Two narrow letters may share a patch; then the later one is named there.
        others = [batch.ids[0, j] for j, place in drawn if place == [row, column]]
        assert batch.patches[0, row, column] == others[-1] and batch.ids[0, i] in others


def test_muon_makes_matrices_nearly_orthogonal() -> None:
    torch.manual_seed(0)
    made = orthogonalised(torch.randn(2, 48, 96), torch.float32)
    values = torch.linalg.svdvals(made)
    assert float(values.min()) > 0.5 and float(values.max()) < 1.4


def test_the_learning_rate_rises_stays_and_falls() -> None:
    assert rate_at(0.0) == 0.0 and rate_at(0.3) == 1.0
    assert 1.0 > rate_at(0.8) > rate_at(0.95) > 0.0


def loss(run: Run, lesson: Batch) -> float:
    return sum(part.item() for part in run.losses_of(lesson)[:3])


def test_a_few_steps_teach_and_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    options = argparse.Namespace(
        seed=1,
        batch=4,
        rate=2e-3,
        eye_steps=0,
        start_from=None,
        out=tmp_path / "model",
        state=tmp_path / "state.pt",
    )
    torch.manual_seed(1)
    run = Run(options)
    lesson = Lessons(1, 4, first_with_text=0)[0]
    before = loss(run, lesson)
    for _ in range(6):
        run.one_step(lesson, 0.5)
    assert loss(run, lesson) < before - 1
    run.keep()
    other = Run(options)
    other.restore(tmp_path / "state.pt")
    assert other.step == 6
    assert all(
        torch.equal(a, b)
        for a, b in zip(run.network.parameters(), other.network.parameters(), strict=True)
    )
    assert (
        DeepSeekOCR(tmp_path / "model", device="cpu").network.arch.sam.image_size == 256
    )  # what it writes is a model
