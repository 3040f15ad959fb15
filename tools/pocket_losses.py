"""What the pocket model is taught by: batches of drawings, two losses for the eye and one for the text."""

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
LONGEST = 48
"""Tokens of the longest text: three lines of twelve characters, their ends, and some room to be wrong in."""


class Probes(nn.Module):
    """Throw-away heads: the character in each patch of SAM's neck, the characters in each projected cell."""

    def __init__(self, vocabulary: int, neck: int, width: int) -> None:
        super().__init__()
        self.patch = nn.Linear(neck, vocabulary)
        self.cell = nn.Linear(width, vocabulary)


@dataclass(frozen=True)
class Batch:
    views: Tensor
    """[B, 3, 256, 256], normalised."""
    patches: Tensor
    """[B, 16, 16], token id of the character centred there, 0 for none."""
    cells: Tensor
    """[B, 16, V], which tokens lie in each 64 x 64 cell."""
    ids: Tensor
    """[B, T] text then end, padded with -100."""


def make_batch(drawings: list[Drawing], tokenizer: Tokenizer) -> Batch:
    ids = [[*tokenizer.encode(d.text, add_special_tokens=False).ids, EOS_ID] for d in drawings]
    patches = torch.zeros(len(drawings), PATCHES, PATCHES, dtype=torch.long)
    cells = torch.zeros(len(drawings), CELLS * CELLS, tokenizer.get_vocab_size())
    for row, drawing in enumerate(drawings):
        for glyph in drawing.glyphs:
            token = tokenizer.token_to_id(glyph.character)
            x, y = (min(VIEW - 1, max(0, int(v))) for v in (glyph.x, glyph.y))
            patches[row, y // 16, x // 16] = token or 0
            cells[row, y // 64 * CELLS + x // 64, token] = 1
    pixels = np.stack([np.asarray(into_view(d.picture)) for d in drawings])
    return Batch(
        views=torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0).contiguous(),
        patches=patches,
        cells=cells,
        ids=nn.utils.rnn.pad_sequence([torch.tensor(i) for i in ids], batch_first=True, padding_value=-100),
    )


class Losses:
    """The forward pass in training, and the three losses."""

    def __init__(self, network: Network, probes: Probes, tokenizer: Tokenizer) -> None:
        self.network, self.probes = network, probes
        self.prompt = torch.tensor(encode_prompt(prompt_text("text"), tokenizer, BOS_ID).after)
        self.neck: Tensor = torch.empty(0)
        network.sam_model.neck.register_forward_hook(self._keep_neck)

    def _keep_neck(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self.neck = output

    def vision(self, batch: Batch) -> tuple[Tensor, Tensor, float]:
        """(projected tokens [B, 16, D], patch + cell loss, share of characters right)."""
        projected = self.network.see(batch.views).projected
        scores = self.probes.patch(self.neck.permute(0, 2, 3, 1))
        weights = torch.ones(scores.shape[-1])
        weights[0] = EMPTY_WEIGHT
        patch = F.cross_entropy(scores.flatten(0, 2), batch.patches.flatten(), weight=weights)
        cell = F.binary_cross_entropy_with_logits(self.probes.cell(projected), batch.cells) * 10
        filled = batch.patches > 0
        right = (scores.argmax(-1) == batch.patches)[filled].float().mean().item()
        return projected, patch + cell, right

    def text(self, projected: Tensor, ids: Tensor) -> Tensor:
        """Cross-entropy of the text and its end, given the picture and the prompt."""
        return F.cross_entropy(self.logits(projected, ids).flatten(0, 1), ids.flatten(), ignore_index=-100)

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
        for drawing, ids in zip(drawings, read(losses, batch.views).tolist(), strict=True):
            got = tokenizer.decode(ids[: ids.index(EOS_ID)] if EOS_ID in ids else ids)
            wrong += edit_distance(got, drawing.text)
            total += len(drawing.text)
    return wrong / total
