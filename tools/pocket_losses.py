"""What the pocket model learns from: four losses, three of them from auxiliary heads.

Two heads predict which character is centred in each patch: from SAM's neck, and from the projected
image tokens. One predicts in which patch the next character is. The fourth loss is that of the text
itself, from which nothing is learned without the others (`docs/pocket.md`). The heads are discarded
after training.
"""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from ocrd.demo import edit_distance
from ocrd.engine.nn.network import Network
from ocrd.engine.prompt import encode_prompt
from ocrd.tasks import prompt_text
from tools.pocket_batches import IGNORED, TASKS, TrainingBatch, make_batch
from tools.pocket_model import BOS_ID, EOS_ID, PATCHES, TOKENS
from tools.render_text import draw

# Loss weight of patches without a character, which are nearly all.
EMPTY_WEIGHT = 0.05
# Patches of one image token, on a side.
PATCHES_IN_TOKEN = PATCHES // TOKENS
# Most tokens of an answer: three lines of twelve characters, their ends, and some for errors.
MAX_ANSWER_TOKENS = 48
# Pictures that are read together.
READ_BATCH = 50


class AuxiliaryHeads(nn.Module):
    """Linear layers on what the network computes before the text."""

    def __init__(self, vocab_size: int, neck_channels: int, *, hidden_size: int) -> None:
        super().__init__()
        # SAM's neck -> the character that is centred in this patch.
        self.patch = nn.Linear(neck_channels, vocab_size)
        # A projected image token -> the character that is centred in each of its patches.
        self.token = nn.Linear(hidden_size, PATCHES_IN_TOKEN**2 * vocab_size)
        # The decoder's hidden state before its last layer -> row and column of the next
        # character's patch.
        self.position = nn.Linear(hidden_size, 2 * PATCHES)


class Losses:
    """The forward pass in training, and its losses."""

    def __init__(self, network: Network, heads: AuxiliaryHeads, *, tokenizer: Tokenizer) -> None:
        self.network = network
        self.heads = heads
        self.prompts = {
            task: torch.tensor(encode_prompt(prompt_text(task), tokenizer, bos=BOS_ID).after)
            for task in TASKS
        }
        # Kept by hooks during the forward pass.
        self.neck: Tensor = torch.empty(0)
        self.before_last_layer: Tensor = torch.empty(0)
        network.sam_model.neck.register_forward_hook(self._keep_neck)
        network.language_model.layers[-2].register_forward_hook(self._keep_before_last_layer)

    def _keep_neck(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self.neck = output

    def _keep_before_last_layer(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self.before_last_layer = output

    def vision(self, batch: TrainingBatch) -> tuple[Tensor, Tensor, float]:
        """Encode the pictures and predict the character in each patch.

        Returns:
            Projected image tokens [B, 16, D], the sum of both losses, and the share of the
            characters that are predicted correctly.
        """
        projected = self.network.encode_views(batch.views())
        from_neck = self.heads.patch(self.neck.permute(0, 2, 3, 1)).float()
        side = PATCHES_IN_TOKEN
        from_tokens = self.heads.token(projected).float()
        from_tokens = from_tokens.view(-1, TOKENS, TOKENS, side, side, from_neck.shape[-1])
        from_tokens = from_tokens.transpose(2, 3)  # the patches in rows, as in the labels
        weights = torch.ones(from_neck.shape[-1])
        weights[0] = EMPTY_WEIGHT
        labels = batch.patch_labels.flatten()
        neck_loss = F.cross_entropy(from_neck.flatten(0, 2), labels, weight=weights)
        token_loss = F.cross_entropy(from_tokens.flatten(0, 4), labels, weight=weights)
        has_character = batch.patch_labels > 0
        correct = (from_neck.argmax(-1) == batch.patch_labels)[has_character].float().mean().item()
        return projected, neck_loss + token_loss, correct

    def text(self, projected: Tensor, batch: TrainingBatch) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the answer, and of the patches of its characters."""
        logits = self.logits(projected, batch.ids, task=batch.task).float()
        by_token = F.cross_entropy(
            logits.flatten(0, 1), batch.ids.flatten(), ignore_index=IGNORED, reduction="none"
        )
        text_loss = (by_token * batch.weights.flatten()).sum() / batch.weights.sum()
        hidden = self.before_last_layer[:, -batch.ids.shape[1] :]
        positions = self.heads.position(hidden).float().unflatten(-1, (2, PATCHES))
        position_loss = F.cross_entropy(
            positions.flatten(0, 2), batch.positions.flatten(), ignore_index=IGNORED
        )
        return text_loss, position_loss

    def logits(self, projected: Tensor, ids: Tensor, *, task: str = "text") -> Tensor:
        """Score each token of an answer, given the picture and the tokens before it.

        Args:
            projected: Image tokens [B, 16, D].
            ids: The answer [B, T].
            task: Whose prompt is used.

        Returns:
            [B, T, V].
        """
        network = self.network
        count = ids.shape[0]
        embed = network.language_model.embed_tokens
        rows = projected.view(count, TOKENS, TOKENS, -1)
        newline = network.image_newline.expand(count, TOKENS, 1, -1)
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
def read_greedily(losses: Losses, views: Tensor, *, max_tokens: int = MAX_ANSWER_TOKENS) -> Tensor:
    """Read views [B, 3, 256, 256] without a cache; return token ids [B, <= max_tokens]."""
    losses.network.eval()
    projected = losses.network.encode_views(views)
    ids = torch.zeros(views.shape[0], 0, dtype=torch.long)
    for _ in range(max_tokens):
        # `logits` scores as many tokens as it is given; the last one is the unknown next one.
        padded = torch.cat([ids, ids.new_zeros(len(ids), 1)], dim=1)
        following = losses.logits(projected, padded)[:, -1].argmax(-1, keepdim=True)
        ids = torch.cat([ids, following], dim=1)
        if bool((ids == EOS_ID).any(dim=1).all()):
            break
    losses.network.train()
    return ids


def error_rate(
    losses: Losses, tokenizer: Tokenizer, *, seed: int, fonts: tuple[str, ...], count: int
) -> float:
    """Character error rate on new pictures: edits as a share of the characters drawn.

    Args:
        losses: The network to test.
        tokenizer: The pocket model's.
        seed: Of the pictures.
        fonts: In which the text is drawn.
        count: How many pictures.
    """
    rng = random.Random(seed)
    errors = 0
    total = 0
    for _ in range(0, count, READ_BATCH):
        drawings = [draw(rng, fonts) for _ in range(min(READ_BATCH, count))]
        batch = make_batch(drawings, tokenizer)
        answers = read_greedily(losses, batch.views()).tolist()
        for drawing, ids in zip(drawings, answers, strict=True):
            text = tokenizer.decode(ids[: ids.index(EOS_ID)] if EOS_ID in ids else ids)
            errors += edit_distance(text, drawing.text)
            total += len(drawing.text)
    return errors / total
