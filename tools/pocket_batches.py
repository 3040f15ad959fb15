"""Training batches for the pocket model: drawn pictures, and what the model is to answer."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.utils.data import Dataset

from ocrd.checkpoint_format.architecture import SAM_PATCH_SIZE
from ocrd.types import Box
from tools.pocket_model import EOS_ID, PATCHES, build_tokenizer
from tools.render_text import VIEW, Drawing, draw, fit_to_view, point_in_view

TASKS = ("text", "markdown")
# The label that cross-entropy ignores.
IGNORED = -100
# The largest coordinate that the model writes.
MAX_COORDINATE = 999
# Loss weight of the tokens around coordinates, which are always the same.
SYNTAX_WEIGHT = 0.2
# Loss weight of a coordinate's last digit. It is a quarter of a pixel of the view: mostly chance,
# and not worth learning much from.
LAST_DIGIT_WEIGHT = 0.1

# Row and column of a patch of the view.
Patch = tuple[int, int]


@dataclass(frozen=True)
class TrainingBatch:
    """Pictures of one task with their labels."""

    # [B, 256, 256, 3] bytes.
    pixels: Tensor
    # [B, 16, 16], the token id of the character that is centred in the patch, 0 for none.
    patch_labels: Tensor
    # [B, T], the answer and its end token, padded with `IGNORED`.
    ids: Tensor
    # [B, T, 2], row and column of the patch of each token (for a coordinate, its corner's), or
    # `IGNORED`.
    positions: Tensor
    # [B, T], the loss weight of each token.
    weights: Tensor
    task: str

    def views(self) -> Tensor:
        """[B, 3, 256, 256], normalised as the engine does it."""
        return self.pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


class DrawnBatches(Dataset[TrainingBatch]):
    """The batch of each step. Each has a seed of its own, so a resumed run draws the same ones."""

    def __init__(self, seed: int, batch_size: int, *, text_from_step: int) -> None:
        """Create the data set.

        Args:
            seed: Of all batches.
            batch_size: Pictures in a batch.
            text_from_step: Before this step most pictures have more lines, because only their
                characters are learned.
        """
        self.seed = seed
        self.batch_size = batch_size
        self.text_from_step = text_from_step
        self.tokenizer = build_tokenizer()

    def __getitem__(self, step: int) -> TrainingBatch:
        """Draw the batch of this step."""
        rng = random.Random(f"{self.seed}-{step}")
        lines = (3, 6) if step < self.text_from_step and rng.random() < 0.9 else (1, 3)
        task = rng.choice(TASKS)
        drawings = [draw(rng, lines=lines) for _ in range(self.batch_size)]
        return make_batch(drawings, self.tokenizer, task=task)


def make_batch(
    drawings: list[Drawing], tokenizer: Tokenizer, *, task: str = "text"
) -> TrainingBatch:
    """Label the drawings for a task.

    Args:
        drawings: What to read.
        tokenizer: The pocket model's.
        task: ``text``, or ``markdown`` with a box before each line.
    """
    answers = [_Answer(drawing, tokenizer, task=task) for drawing in drawings]
    patch_labels = torch.zeros(len(drawings), PATCHES, PATCHES, dtype=torch.long)
    for row, answer in enumerate(answers):
        for (patch_row, patch_column), token in answer.characters:
            patch_labels[row, patch_row, patch_column] = token
    pixels = np.stack([np.asarray(fit_to_view(drawing.picture)) for drawing in drawings])
    return TrainingBatch(
        pixels=torch.from_numpy(pixels),
        patch_labels=patch_labels,
        ids=_padded([answer.ids for answer in answers], IGNORED),
        positions=_padded([answer.positions for answer in answers], IGNORED),
        weights=_padded([answer.weights for answer in answers], 0.0),
        task=task,
    )


def _padded(
    rows: list[list[int]] | list[list[Patch]] | list[list[float]], padding: float
) -> Tensor:
    tensors = [torch.tensor(row) for row in rows]
    return nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=padding)


class _Answer:
    """The tokens that the model is to write for one drawing, each with its patch and weight."""

    def __init__(self, drawing: Drawing, tokenizer: Tokenizer, *, task: str) -> None:
        self.ids: list[int] = []
        self.positions: list[Patch] = []
        self.weights: list[float] = []
        # The characters in the picture and their token ids.
        self.characters: list[tuple[Patch, int]] = []
        self._tokenizer = tokenizer
        glyphs = iter(drawing.glyphs)
        lines = zip(drawing.text.split("\n"), drawing.boxes, strict=True)
        for number, (line, box) in enumerate(lines):
            if number > 0:
                self._add("\n" if task == "text" else "\n\n")
            if task == "markdown":
                self._add_box(box, drawing.picture.size)
            for character in line:
                if character == " ":
                    self._add(character)
                    continue
                glyph = next(glyphs)
                patch = _patch_at(glyph.x, glyph.y)
                self._add(character, patch)
                self.characters.append((patch, self.ids[-1]))
        self._append(EOS_ID, None, weight=1.0)

    def _add(self, text: str, patch: Patch | None = None, *, weight: float = 1.0) -> None:
        for token in self._tokenizer.encode(text, add_special_tokens=False).ids:
            self._append(token, patch, weight=weight)

    def _append(self, token: int, patch: Patch | None, *, weight: float) -> None:
        self.ids.append(token)
        self.positions.append(patch or (IGNORED, IGNORED))
        self.weights.append(weight)

    def _add_box(self, box: Box, size: tuple[int, int]) -> None:
        """In the published format: a label, and the box on a grid of 0 to 999 over the page."""
        corners = [_patch_at(*point_in_view(box[i], box[i + 1], size=size)) for i in (0, 2)]
        self._add("<|ref|>text<|/ref|><|det|>[[", weight=SYNTAX_WEIGHT)
        for number, value in enumerate(box):
            if number > 0:
                self._add(", ", weight=SYNTAX_WEIGHT)
            coordinate = round(value / size[number % 2] * MAX_COORDINATE)
            self._add(str(min(MAX_COORDINATE, max(0, coordinate))), corners[number // 2])
            self.weights[-1] = LAST_DIGIT_WEIGHT
        self._add("]]<|/det|>\n", weight=SYNTAX_WEIGHT)


def _patch_at(x: float, y: float) -> Patch:
    """The patch at a point of the view."""
    column, row = (min(VIEW - 1, max(0, int(value))) // SAM_PATCH_SIZE for value in (x, y))
    return row, column
