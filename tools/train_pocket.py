"""Train the pocket model: DeepSeek-OCR's architecture at a few million parameters, on text it draws itself.

Two stages, because from scratch on the text loss alone nothing is learnt (the loss stays at the
entropy of characters): first the eye alone, told which character's centre lies in each patch and
which characters lie in each cell; then everything together, those two losses kept at low weight.

    python -m tools.train_pocket --out ocrd/pocket --minutes 90

Interrupted, it goes on from its last checkpoint with ``--resume``.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models
from torch import Tensor, nn

from ocrd.engine.architecture import parse_architecture
from ocrd.engine.checkpoint import to_published
from ocrd.engine.network import Network
from tools.muon import Muon
from tools.render_text import CHARACTERS, TRAINED_FONTS, UNSEEN_FONTS, VIEW, Drawing, draw, into_view

BOS, EOS, IMAGE = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<image>"
SPECIALS = (BOS, EOS, IMAGE, "<|grounding|>", "<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>")
PROMPT = "\nFree OCR. "
PATCHES, CELLS = VIEW // 16, VIEW // 64

TEXT_CONFIG = {
    "architectures": ["DeepseekV2ForCausalLM"], "bos_token_id": 0, "eos_token_id": 1, "first_k_dense_replace": 1,
    "hidden_size": 192, "intermediate_size": 512, "kv_lora_rank": None, "lm_head": True,
    "max_position_embeddings": 1024, "moe_intermediate_size": 192, "n_group": 1, "n_routed_experts": 4,
    "n_shared_experts": 1, "num_attention_heads": 3, "num_experts_per_tok": 2, "num_hidden_layers": 4,
    "num_key_value_heads": 3, "q_lora_rank": None, "qk_nope_head_dim": 0, "qk_rope_head_dim": 0,
    "rm_head": False, "topk_group": 1, "topk_method": "greedy", "torch_dtype": "bfloat16", "use_mla": False,
    "v_head_dim": 0,
}  # fmt: skip


def pocket_config(vocabulary: int) -> dict[str, object]:
    """The published configuration schema with the pocket's sizes."""
    return {
        "_name_or_path": "ocrd/pocket",
        "architectures": ["DeepseekOCRForCausalLM"],
        "model_type": "deepseek_vl_v2",
        "candidate_resolutions": [[VIEW, VIEW]],
        "global_view_pos": "head",
        "tile_tag": "2D",
        "torch_dtype": "bfloat16",
        "language_config": TEXT_CONFIG | {"vocab_size": vocabulary},
        "projector_config": {
            "input_dim": 384, "model_type": "mlp_projector", "n_embed": 192, "projector_type": "linear",
        },
        "vision_config": {
            "image_size": VIEW,
            "mlp_ratio": 3.7362,
            "model_name": "deeplip_b_l",
            "model_type": "vision",
            "width": {
                "clip-l-14-224": {"heads": 3, "image_size": 14 * CELLS, "layers": 3, "patch_size": 14, "width": 192},
                "sam_vit_b": {
                    "downsample_channels": [192, 192], "global_attn_indexes": [2], "heads": 3, "layers": 3,
                    "width": 96, "neck_channels": 128, "window_size": 8,
                },
            },
        },
    }  # fmt: skip


def build_tokenizer() -> Tokenizer:
    """One token a character (a BPE with no merges), and the published special tokens."""
    vocabulary = {token: index for index, token in enumerate((*SPECIALS, *CHARACTERS))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


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
    ids = [[*tokenizer.encode(d.text, add_special_tokens=False).ids, 1] for d in drawings]
    patches = torch.zeros(len(drawings), PATCHES, PATCHES, dtype=torch.long)
    cells = torch.zeros(len(drawings), CELLS * CELLS, tokenizer.get_vocab_size())
    for row, drawing in enumerate(drawings):
        for glyph in drawing.glyphs:
            token = tokenizer.token_to_id(glyph.character)
            x, y = (min(VIEW - 1, max(0, int(v))) for v in (glyph.x, glyph.y))
            patches[row, y // 16, x // 16] = token
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
        self.prompt = torch.tensor(tokenizer.encode(PROMPT, add_special_tokens=False).ids)
        self.neck: Tensor = torch.empty(0)
        network.sam_model.neck.register_forward_hook(self._keep_neck)

    def _keep_neck(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self.neck = output

    def vision(self, batch: Batch) -> tuple[Tensor, Tensor, float]:
        """(projected tokens [B, 16, D], patch + cell loss, share of characters right)."""
        projected = self.network.see(batch.views).projected
        scores = self.probes.patch(self.neck.permute(0, 2, 3, 1))
        weights = torch.ones(scores.shape[-1])
        weights[0] = 0.05
        patch = F.cross_entropy(scores.flatten(0, 2), batch.patches.flatten(), weight=weights)
        cell = F.binary_cross_entropy_with_logits(self.probes.cell(projected), batch.cells) * 10
        filled = batch.patches > 0
        right = (scores.argmax(-1) == batch.patches)[filled].float().mean().item()
        return projected, patch + cell, right

    def text(self, projected: Tensor, ids: Tensor) -> Tensor:
        """Cross-entropy of the text and its end, given the picture and the prompt."""
        network, count = self.network, ids.shape[0]
        embed = network.language_model.embed_tokens
        side = CELLS
        rows = projected.view(count, side, side, -1)
        newline = network.image_newline.expand(count, side, 1, -1)
        image = torch.cat([rows, newline], dim=2).flatten(1, 2)
        parts = [
            embed(torch.zeros(count, 1, dtype=torch.long)),
            image,
            network.view_seperator.expand(count, 1, -1),
            embed(self.prompt).expand(count, -1, -1),
            embed(ids[:, :-1].clamp(min=0)),
        ]
        hidden = network.language_model(inputs_embeds=torch.cat(parts, dim=1), use_cache=False).last_hidden_state
        logits = network.lm_head(hidden[:, -ids.shape[1] :])
        return F.cross_entropy(logits.flatten(0, 1), ids.flatten(), ignore_index=-100)


def initialise(network: Network) -> None:
    """Small normal weights everywhere that transformers left at zero or nearly so."""
    for name, parameter in network.named_parameters():
        if name.endswith(("pos_embed", "position_embedding.weight", "class_embedding", "newline", "seperator")):
            nn.init.normal_(parameter, std=0.02)
        elif parameter.dim() == 4:
            nn.init.kaiming_normal_(parameter, nonlinearity="linear")
        elif parameter.dim() >= 2 and "rel_pos" not in name:
            nn.init.normal_(parameter, std=0.02 if "embed" in name else parameter.shape[-1] ** -0.5)


def build_optimizers(network: Network, probes: Probes, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices (it learns about twice as much from a picture), AdamW for the rest."""
    matrices, others = [], list(probes.parameters())
    for name, parameter in network.named_parameters():
        hidden = parameter.dim() in (2, 3) and ".layers." in name and "rel_pos" not in name and ".gate.weight" not in name
        (matrices if hidden else others).append(parameter)
    return [
        Muon(matrices, lr=rate),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def rate_at(done: float) -> float:
    """The learning rate's share of its peak: a short rise, level, then a straight fall over the last 40%."""
    return min(1.0, done / 0.01) * min(1.0, max(0.02, (1 - done) / 0.4))


@torch.no_grad()
def read(network: Network, losses: Losses, views: Tensor, longest: int = 48) -> Tensor:
    """Greedy reading of a batch without a cache: [B, 3, 256, 256] -> token ids [B, longest]."""
    network.eval()
    projected = network.see(views).projected
    ids = torch.full((views.shape[0], 1), -100)
    network_logits = []
    for _ in range(longest):
        logits = _next_logits(network, losses, projected, ids)
        ids = torch.cat([ids[:, :-1], logits.argmax(-1)[:, None], torch.full((views.shape[0], 1), -100)], dim=1)
        network_logits.append(ids[:, -2])
        if bool((ids == 1).any(dim=1).all()):
            break
    network.train()
    return ids[:, :-1]


def _next_logits(network: Network, losses: Losses, projected: Tensor, ids: Tensor) -> Tensor:
    captured: list[Tensor] = []
    handle = network.lm_head.register_forward_hook(lambda _m, _i, out: captured.append(out))
    losses.text(projected, ids.clamp(min=0))
    handle.remove()
    return captured[0][:, -1]


def edit_distance(a: str, b: str) -> int:
    """Levenshtein's distance in characters."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def error_rate(network: Network, losses: Losses, tokenizer: Tokenizer, seed: int, fonts: tuple[str, ...], count: int) -> float:
    """Character error rate over ``count`` fresh pictures that ``seed`` draws."""
    rng = random.Random(seed)
    wrong = total = 0
    for _ in range(0, count, 50):
        drawings = [draw(rng, fonts) for _ in range(min(50, count))]
        batch = make_batch(drawings, tokenizer)
        for drawing, ids in zip(drawings, read(network, losses, batch.views).tolist(), strict=True):
            got = tokenizer.decode(ids[: ids.index(1)] if 1 in ids else ids)
            wrong += edit_distance(got, drawing.text)
            total += len(drawing.text)
    return wrong / total


def save(network: Network, tokenizer: Tokenizer, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    config = json.dumps(pocket_config(tokenizer.get_vocab_size()), indent=1)
    (out / "config.json").write_text(config + "\n", encoding="utf-8")
    tokenizer.save(str(out / "tokenizer.json"))
    save_file(to_published(network, torch.bfloat16), out / "model.safetensors", metadata={"format": "pt"})


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=Path("ocrd/pocket"))
    options.add_argument("--minutes", type=float, default=90.0, help="the learning rate reaches its end then")
    options.add_argument("--vision-share", type=float, default=0.3, help="share of the time for the eye alone")
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--rate", type=float, default=2e-3)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--resume", type=Path, help="go on from this checkpoint of an interrupted run")
    options.add_argument("--state", type=Path, default=Path("build/pocket-training.pt"))
    train(options.parse_args())


def train(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    tokenizer = build_tokenizer()
    arch = parse_architecture(pocket_config(tokenizer.get_vocab_size()))
    network = Network(arch)
    probes = Probes(arch.decoder.vocabulary, arch.sam.neck, arch.decoder.width)
    initialise(network)
    optimizers = build_optimizers(network, probes, options.rate)
    average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998))
    step, spent = 0, 0.0
    if options.resume:
        state = torch.load(options.resume, weights_only=True)
        network.load_state_dict(state["network"])
        probes.load_state_dict(state["probes"])
        average.load_state_dict(state["average"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, spent = state["step"], state["spent"]
    losses = Losses(network, probes, tokenizer)
    averaged = Losses(average.module, probes, tokenizer)
    size = sum(p.numel() for p in network.parameters())
    print(f"{size / 1e6:.2f} M parameters, vocabulary {arch.decoder.vocabulary}", flush=True)
    started, budget = time.monotonic() - spent, options.minutes * 60
    shown_vision = shown_text = shown_right = 0.0
    while (spent := time.monotonic() - started) < budget:
        done = spent / budget
        eye_only = done < options.vision_share
        # A stream of its own for each step, so a resumed run draws fresh pictures.
        rng = random.Random(f"{options.seed}-{step}")
        dense = eye_only and rng.random() < 0.9
        drawings = [draw(rng, lines=(3, 6) if dense else (1, 3)) for _ in range(options.batch)]
        batch = make_batch(drawings, tokenizer)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = options.rate * rate_at(done)
        projected, vision, right = losses.vision(batch)
        loss = vision
        text = torch.zeros(())
        if not eye_only:
            text = losses.text(projected, batch.ids)
            loss = text + 0.2 * vision
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([*network.parameters(), *probes.parameters()], 1.0)
        for optimizer in optimizers:
            optimizer.step()
        average.update_parameters(network)
        step += 1
        shown_vision, shown_text, shown_right = (
            0.95 * a + 0.05 * b for a, b in zip((shown_vision, shown_text, shown_right), (vision.item(), text.item(), right), strict=True)
        )
        if step % 50 == 0:
            speed = step * options.batch / (time.monotonic() - started)
            print(f"step {step}  {spent / 60:.1f} min  {speed:.0f} pictures/s  vision {shown_vision:.3f}  patches right {shown_right:.1%}  text {shown_text:.3f}", flush=True)
        if step % 500 == 0:
            if not eye_only:
                print(f"step {step}  held-out error {error_rate(average.module, averaged, tokenizer, 10_000 + step, TRAINED_FONTS, 100):.2%}", flush=True)
            options.state.parent.mkdir(parents=True, exist_ok=True)
            torch.save({"network": network.state_dict(), "probes": probes.state_dict(), "average": average.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "step": step, "spent": time.monotonic() - started}, options.state)
            save(average.module, tokenizer, options.out)
    save(average.module, tokenizer, options.out)
    for name, fonts in (("fonts trained on", TRAINED_FONTS), ("fonts never seen", UNSEEN_FONTS)):
        print(f"character error rate, 200 fresh pictures, {name}: {error_rate(average.module, averaged, tokenizer, 77, fonts, 200):.2%}", flush=True)


if __name__ == "__main__":
    main()
