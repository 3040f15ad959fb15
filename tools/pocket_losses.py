"""What the pocket model is taught by: batches of drawings, and four losses.

Two are for the eye and one is for finding the way: throw-away heads are told which character's
centre lies where (for SAM's patches and for the projected cells) and where the next character to be
written stands. The fourth is the text itself, which alone teaches nothing (`docs/pocket.md`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from ocrd.demo import edit_distance
from ocrd.engine.nn.network import Network
from ocrd.engine.prompt import encode_prompt
from ocrd.tasks import prompt_text
from ocrd.types import Box
from tools.pocket_model import BOS_ID, CELLS, EOS_ID, PATCHES
from tools.render_text import VIEW, Drawing, draw, into_view

# Of patches without a character, which are nearly all.
EMPTY_WEIGHT = 0.05
PATCHES_IN_CELL = (PATCHES // CELLS) ** 2
# What stands around the coordinates is always the same.
SYNTAX_WEIGHT = 0.2
TASKS = ("text", "markdown")
# The largest coordinate that the model writes.
GRID = 999
# What cross-entropy ignores.
NOTHING = -100
# Tokens of the longest text: three lines of twelve characters, their ends, and some room to be
# wrong in.
LONGEST = 48
# A coordinate's last digit is a quarter of a pixel of the view: mostly chance, and not worth
# learning much from.
LAST_DIGIT_WEIGHT = 0.1


class Probes(nn.Module):
    """Throw-away heads on what the network computes on its way to the text."""

    def __init__(self, vocabulary: int, neck: int, *, width: int) -> None:
        super().__init__()
        # SAM's neck -> the character centred in this patch.
        self.patch = nn.Linear(neck, vocabulary)
        # A projected token -> the character centred in each of its patches.
        self.cell = nn.Linear(width, PATCHES_IN_CELL * vocabulary)
        # The decoder's hidden state before its last layer -> row and column of the next character's
        # patch.
        self.place = nn.Linear(width, 2 * PATCHES)


@dataclass(frozen=True)
class Batch:
    # [B, 256, 256, 3] bytes.
    pixels: Tensor
    # [B, 16, 16], token id of the character centred there, 0 for none.
    patches: Tensor
    # [B, T] text then end, padded with `NOTHING`.
    ids: Tensor
    # [B, T, 2] row and column of each token's patch (of a coordinate its corner's), or `NOTHING`.
    places: Tensor
    # [B, T] what each token counts for.
    weights: Tensor
    task: str

    def views(self) -> Tensor:
        """[B, 3, 256, 256], normalised as the engine does it."""
        return self.pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def make_batch(drawings: list[Drawing], tokenizer: Tokenizer, *, task: str = "text") -> Batch:
    """What is to be written of each drawing.

    Its ``text``, or its ``markdown`` with a box before each line.
    """
    ids = []
    places = []
    weights = []
    patches = torch.zeros(len(drawings), PATCHES, PATCHES, dtype=torch.long)
    for row, drawing in enumerate(drawings):
        lesson = _Lesson(tokenizer)
        glyphs = iter(drawing.glyphs)
        for number, (line, box) in enumerate(
            zip(drawing.text.split("\n"), drawing.boxes, strict=True)
        ):
            if number > 0:
                lesson.add("\n" if task == "text" else "\n\n")
            if task == "markdown":
                lesson.add_box(box, drawing.picture.size)
            for character in line:
                glyph = None if character == " " else next(glyphs)
                place = None if glyph is None else _patch(glyph.x, glyph.y)
                if place is not None:
                    patches[row, place[0], place[1]] = lesson.id_of(character)
                lesson.add(character, place)
        ids.append(torch.tensor([*lesson.ids, EOS_ID]))
        places.append(torch.tensor([*lesson.places, (NOTHING, NOTHING)]))
        weights.append(torch.tensor([*lesson.weights, 1.0]))
    pixels = np.stack([np.asarray(into_view(d.picture)) for d in drawings])
    return Batch(
        pixels=torch.from_numpy(pixels),
        patches=patches,
        ids=nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=NOTHING),
        places=nn.utils.rnn.pad_sequence(places, batch_first=True, padding_value=NOTHING),
        weights=nn.utils.rnn.pad_sequence(weights, batch_first=True),
        task=task,
    )


class _Lesson:
    """The tokens to be written, each with its place in the picture and its weight."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.ids: list[int] = []
        self.places: list[tuple[int, int]] = []
        self.weights: list[float] = []

    def id_of(self, character: str) -> int:
        return int(self._tokenizer.encode(character, add_special_tokens=False).ids[0])

    def add(self, text: str, place: tuple[int, int] | None = None, *, weight: float = 1.0) -> None:
        tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
        self.ids += tokens
        self.places += [place or (NOTHING, NOTHING)] * len(tokens)
        self.weights += [weight] * len(tokens)

    def add_box(self, box: Box, size: tuple[int, int]) -> None:
        """As published: a label, and the box on a grid of 0 to 999 over the page."""
        corners = [_patch(*_in_view(box[i], box[i + 1], size=size)) for i in (0, 2)]
        self.add("<|ref|>text<|/ref|><|det|>[[", weight=SYNTAX_WEIGHT)
        for number, value in enumerate(box):
            if number > 0:
                self.add(", ", weight=SYNTAX_WEIGHT)
            self.add(
                str(min(GRID, max(0, round(value / size[number % 2] * GRID)))), corners[number // 2]
            )
            self.weights[-1] = LAST_DIGIT_WEIGHT
        self.add("]]<|/det|>\n", weight=SYNTAX_WEIGHT)


def _in_view(x: float, y: float, *, size: tuple[int, int]) -> tuple[float, float]:
    """A point of a picture of ``size`` in the square view that it is padded to."""
    shrink = VIEW / max(size)
    return x * shrink + (VIEW - size[0] * shrink) / 2, y * shrink + (VIEW - size[1] * shrink) / 2


def _patch(x: float, y: float) -> tuple[int, int]:
    """(row, column) of the patch that holds this point of the view."""
    column, row = (min(VIEW - 1, max(0, int(v))) // 16 for v in (x, y))
    return row, column


class Losses:
    """The forward pass in training, and its losses."""

    def __init__(self, network: Network, probes: Probes, *, tokenizer: Tokenizer) -> None:
        self.network = network
        self.probes = probes
        self.prompts = {
            task: torch.tensor(encode_prompt(prompt_text(task), tokenizer, bos=BOS_ID).after)
            for task in TASKS
        }
        self.neck: Tensor = torch.empty(0)
        self.underway: Tensor = torch.empty(0)
        network.sam_model.neck.register_forward_hook(self._keep_neck)
        network.language_model.layers[-2].register_forward_hook(self._keep_underway)

    def _keep_neck(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self.neck = output

    def _keep_underway(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self.underway = output

    def vision(self, batch: Batch) -> tuple[Tensor, Tensor, float]:
        """(projected tokens [B, 16, D], patch + cell loss, share of characters right)."""
        projected = self.network.encode_views(batch.views())
        by_patch = self.probes.patch(self.neck.permute(0, 2, 3, 1)).float()
        inside = PATCHES // CELLS
        by_cell = self.probes.cell(projected).float()
        by_cell = by_cell.view(-1, CELLS, CELLS, inside, inside, by_patch.shape[-1]).transpose(2, 3)
        weights = torch.ones(by_patch.shape[-1])
        weights[0] = EMPTY_WEIGHT
        wanted = batch.patches.flatten()
        patch = F.cross_entropy(by_patch.flatten(0, 2), wanted, weight=weights)
        cell = F.cross_entropy(by_cell.flatten(0, 4), wanted, weight=weights)
        filled = batch.patches > 0
        right = (by_patch.argmax(-1) == batch.patches)[filled].float().mean().item()
        return projected, patch + cell, right

    def text(self, projected: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """(cross-entropy of the text and its end given picture and prompt, and of the places on
        the way there).
        """
        logits = self.logits(projected, batch.ids, task=batch.task).float()
        by_token = F.cross_entropy(
            logits.flatten(0, 1), batch.ids.flatten(), ignore_index=NOTHING, reduction="none"
        )
        text = (by_token * batch.weights.flatten()).sum() / batch.weights.sum()
        places = (
            self.probes.place(self.underway[:, -batch.ids.shape[1] :])
            .float()
            .unflatten(-1, (2, PATCHES))
        )
        place = F.cross_entropy(places.flatten(0, 2), batch.places.flatten(), ignore_index=NOTHING)
        return text, place

    def logits(self, projected: Tensor, ids: Tensor, *, task: str = "text") -> Tensor:
        """[B, T, V] scores of each of ``ids`` [B, T], from what stands before it."""
        network = self.network
        count = ids.shape[0]
        embed = network.language_model.embed_tokens
        side = CELLS
        rows = projected.view(count, side, side, -1)
        newline = network.image_newline.expand(count, side, 1, -1)
        image = torch.cat([rows, newline], dim=2).flatten(1, 2)
        parts = [
            embed(torch.full((count, 1), BOS_ID)),
            image,
            network.view_seperator.expand(count, 1, -1),
            embed(self.prompts[task]).expand(count, -1, -1),
            embed(ids[:, :-1].clamp(min=0)),
        ]
        hidden = network.language_model(
            inputs_embeds=torch.cat(parts, dim=1), use_cache=False
        ).last_hidden_state
        logits: Tensor = network.lm_head(hidden[:, -ids.shape[1] :])
        return logits


@torch.no_grad()
def read(losses: Losses, views: Tensor, *, longest: int = LONGEST) -> Tensor:
    """Greedy reading of a batch, without a cache: [B, 3, 256, 256] -> token ids [B, <= longest]."""
    losses.network.eval()
    projected = losses.network.encode_views(views)
    ids = torch.zeros(views.shape[0], 0, dtype=torch.long)
    for _ in range(longest):
        # `logits` predicts as many tokens as it is given ids; the last one is the unknown next.
        padded = torch.cat([ids, ids.new_zeros(len(ids), 1)], dim=1)
        ids = torch.cat(
            [ids, losses.logits(projected, padded)[:, -1].argmax(-1, keepdim=True)], dim=1
        )
        if bool((ids == EOS_ID).any(dim=1).all()):
            break
    losses.network.train()
    return ids


def error_rate(
    losses: Losses, tokenizer: Tokenizer, *, seed: int, fonts: tuple[str, ...], count: int
) -> float:
    """Character error rate over ``count`` fresh pictures that ``seed`` draws."""
    rng = random.Random(seed)
    wrong = total = 0
    for _ in range(0, count, 50):
        drawings = [draw(rng, fonts) for _ in range(min(50, count))]
        batch = make_batch(drawings, tokenizer)
        for drawing, ids in zip(drawings, read(losses, batch.views()).tolist(), strict=True):
            got = tokenizer.decode(ids[: ids.index(EOS_ID)] if EOS_ID in ids else ids)
            wrong += edit_distance(got, drawing.text)
            total += len(drawing.text)
    return wrong / total
