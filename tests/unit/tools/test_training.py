"""Training the pocket model: the same batches from a seed, true labels, and steps that teach."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import pytest
import torch

from ocrd.engine.recognizer import DeepSeekOCR
from tools.muon import orthogonalise
from tools.pocket_batches import IGNORED, DrawnBatches, TrainingBatch, make_batch
from tools.pocket_model import EOS_ID, build_tokenizer
from tools.pocket_optimizers import rate_factor
from tools.render_text import CHARACTERS, MAX_CHARACTERS, MAX_LINES, draw
from tools.train_pocket import TrainingRun

pytestmark = pytest.mark.slow


def test_the_same_seed_and_step_draw_the_same_batch() -> None:
    first, same, next_step, other_seed = (
        DrawnBatches(seed, 3, text_from_step=0)[step]
        for seed, step in ((1, 7), (1, 7), (1, 8), (2, 7))
    )
    assert torch.equal(first.pixels, same.pixels) and torch.equal(first.ids, same.ids)
    assert not torch.equal(first.pixels, next_step.pixels)
    assert not torch.equal(first.pixels, other_seed.pixels)


def test_drawings_stay_within_what_the_pocket_model_promises_to_read() -> None:
    rng = random.Random(5)
    for _ in range(100):
        lines = draw(rng).text.split("\n")
        assert 1 <= len(lines) <= MAX_LINES
        for line in lines:
            assert 1 <= len(line) <= MAX_CHARACTERS and set(line) <= set(CHARACTERS)


def test_each_character_is_labelled_where_it_was_drawn() -> None:
    tokenizer = build_tokenizer()
    drawing = draw(random.Random(11), lines=(1, 1))
    batch = make_batch([drawing], tokenizer)
    assert tokenizer.decode(batch.ids[0, :-1].tolist()) == drawing.text
    assert batch.ids[0, -1] == EOS_ID
    drawn = [
        (i, patch) for i, patch in enumerate(batch.positions[0].tolist()) if patch[0] != IGNORED
    ]
    assert [drawing.text[i] for i, _ in drawn] == [c for c in drawing.text if c != " "]
    columns = [column for _, (_, column) in drawn]
    assert columns == sorted(columns)  # one line runs to the right
    for i, (row, column) in drawn:
        # Two narrow letters may share a patch; then its label is the later one.
        sharing = [batch.ids[0, j] for j, patch in drawn if patch == [row, column]]
        assert batch.patch_labels[0, row, column] == sharing[-1] and batch.ids[0, i] in sharing


def test_muon_makes_matrices_nearly_orthogonal() -> None:
    torch.manual_seed(0)
    matrices = orthogonalise(torch.randn(2, 48, 96), torch.float32)
    values = torch.linalg.svdvals(matrices)
    assert float(values.min()) > 0.5 and float(values.max()) < 1.4


def test_the_learning_rate_rises_stays_and_falls() -> None:
    assert rate_factor(0.0) == 0.0 and rate_factor(0.3) == 1.0
    assert 1.0 > rate_factor(0.8) > rate_factor(0.95) > 0.0


def total_loss(run: TrainingRun, batch: TrainingBatch) -> float:
    losses = run.compute_losses(batch)
    return losses.vision.item() + losses.text.item() + losses.position.item()


def test_a_few_steps_teach_and_an_interrupted_run_continues_where_it_was(tmp_path: Path) -> None:
    options = argparse.Namespace(
        seed=1,
        batch=4,
        rate=2e-3,
        vision_steps=0,
        start_from=None,
        out=tmp_path / "model",
        state=tmp_path / "state.pt",
    )
    torch.manual_seed(1)
    run = TrainingRun(options)
    batch = DrawnBatches(1, 4, text_from_step=0)[0]
    before = total_loss(run, batch)
    for _ in range(6):
        run.train_step(batch, 0.5)
    assert total_loss(run, batch) < before - 1
    run.save()
    resumed = TrainingRun(options)
    resumed.resume(tmp_path / "state.pt")
    assert resumed.step == 6
    parameters = zip(run.network.parameters(), resumed.network.parameters(), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in parameters)
    saved = DeepSeekOCR(tmp_path / "model", device="cpu")
    assert saved.network.arch.sam.image_size == 256
