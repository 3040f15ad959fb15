"""What the pocket model is taught by: batches of drawings, and four losses.

Two are for the eye and one is for finding the way: throw-away heads are told which character's centre lies
where (for SAM's patches and for the projected cells) and where the next character to be written stands.
The fourth is the text itself, which alone teaches nothing (`docs/pocket.md`).
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
from ocrd.engine.network import Network
from ocrd.engine.prompt import encode_prompt, prompt_text
from tools.pocket_model import BOS_ID, CELLS, EOS_ID, PATCHES
from tools.render_text import VIEW, Drawing, draw, into_view

EMPTY_WEIGHT = 0.05
"""Of patches without a character, which are nearly all."""
PATCHES_IN_CELL = (PATCHES // CELLS) ** 2
NOTHING = -100
"""What cross-entropy ignores."""
LONGEST = 48
"""Tokens of the longest text: three lines of twelve characters, their ends, and some room to be wrong in."""


class Probes(nn.Module):
    """Throw-away heads on what the network computes on its way to the text."""

    def __init__(self, vocabulary: int, neck: int, width: int) -> None:
        super().__init__()
        self.patch = nn.Linear(neck, vocabulary)
        """SAM's neck -> the character centred in this patch."""
        self.cell = nn.Linear(width, PATCHES_IN_CELL * vocabulary)
        """A projected token -> the character centred in each of its patches."""
        self.place = nn.Linear(width, 2 * PATCHES)
        """The decoder's hidden state before its last layer -> row and column of the next character's patch."""


@dataclass(frozen=True)
class Batch:
    pixels: Tensor
    """[B, 256, 256, 3] bytes."""
    patches: Tensor
    """[B, 16, 16], token id of the character centred there, 0 for none."""
    ids: Tensor
    """[B, T] text then end, padded with `NOTHING`."""
    places: Tensor
    """[B, T, 2] row and column of each token's patch; `NOTHING` for what is not drawn."""

    def views(self) -> Tensor:
        """[B, 3, 256, 256], normalised as the engine does it."""
        return self.pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def make_batch(drawings: list[Drawing], tokenizer: Tokenizer) -> Batch:
    ids, places = [], []
    patches = torch.zeros(len(drawings), PATCHES, PATCHES, dtype=torch.long)
    for row, drawing in enumerate(drawings):
        tokens = [*tokenizer.encode(drawing.text, add_special_tokens=False).ids, EOS_ID]
        glyphs = iter(drawing.glyphs)
        where = torch.full((len(tokens), 2), NOTHING)
        for index, character in enumerate(drawing.text):
            if character in " \n":
                continue
            glyph = next(glyphs)
            x, y = (min(VIEW - 1, max(0, int(v))) // 16 for v in (glyph.x, glyph.y))
            patches[row, y, x] = tokens[index]
            where[index] = torch.tensor((y, x))
        ids.append(torch.tensor(tokens))
        places.append(where)
    pixels = np.stack([np.asarray(into_view(d.picture)) for d in drawings])
    return Batch(
        pixels=torch.from_numpy(pixels),
        patches=patches,
        ids=nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=NOTHING),
        places=nn.utils.rnn.pad_sequence(places, batch_first=True, padding_value=NOTHING),
    )


class Losses:
    """The forward pass in training, and its losses."""

    def __init__(self, network: Network, probes: Probes, tokenizer: Tokenizer) -> None:
        self.network, self.probes = network, probes
        self.prompt = torch.tensor(encode_prompt(prompt_text("text"), tokenizer, BOS_ID).after)
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
        projected = self.network.see(batch.views()).projected
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
        """(cross-entropy of the text and its end given picture and prompt, and of the places on the way there)."""
        logits = self.logits(projected, batch.ids).float()
        text = F.cross_entropy(logits.flatten(0, 1), batch.ids.flatten(), ignore_index=NOTHING)
        places = self.probes.place(self.underway[:, -batch.ids.shape[1] :]).float().unflatten(-1, (2, PATCHES))
        place = F.cross_entropy(places.flatten(0, 2), batch.places.flatten(), ignore_index=NOTHING)
        return text, place

    def logits(self, projected: Tensor, ids: Tensor) -> Tensor:
        """[B, T, V] scores of each of ``ids`` [B, T], from what stands before it."""
        network, count = self.network, ids.shape[0]
        embed = network.language_model.embed_tokens
        side = CELLS
        rows = projected.view(count, side, side, -1)
        newline = network.image_newline.expand(count, side, 1, -1)
        image = torch.cat([rows, newline], dim=2).flatten(1, 2)
        parts = [
            embed(torch.full((count, 1), BOS_ID)),
            image,
            network.view_seperator.expand(count, 1, -1),
            embed(self.prompt).expand(count, -1, -1),
            embed(ids[:, :-1].clamp(min=0)),
        ]
        hidden = network.language_model(inputs_embeds=torch.cat(parts, dim=1), use_cache=False).last_hidden_state
        logits: Tensor = network.lm_head(hidden[:, -ids.shape[1] :])
        return logits


@torch.no_grad()
def read(losses: Losses, views: Tensor, longest: int = LONGEST) -> Tensor:
    """Greedy reading of a batch, without a cache: [B, 3, 256, 256] -> token ids [B, <= longest]."""
    losses.network.eval()
    projected = losses.network.see(views).projected
    ids = torch.zeros(views.shape[0], 0, dtype=torch.long)
    for _ in range(longest):
        # `logits` predicts as many tokens as it is given ids; the last one is the unknown next.
        padded = torch.cat([ids, ids.new_zeros(len(ids), 1)], dim=1)
        ids = torch.cat([ids, losses.logits(projected, padded)[:, -1].argmax(-1, keepdim=True)], dim=1)
        if bool((ids == EOS_ID).any(dim=1).all()):
            break
    losses.network.train()
    return ids


def error_rate(losses: Losses, tokenizer: Tokenizer, seed: int, fonts: tuple[str, ...], count: int) -> float:
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
