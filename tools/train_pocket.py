"""Train the pocket model: DeepSeek-OCR's architecture at a few million parameters, on text it draws itself.

Two stages, because from scratch on the text loss alone nothing is learnt (the loss stays at the
entropy of characters): first the eye alone, told which character's centre lies in each patch and
which characters lie in each cell; then everything together, those two losses kept at low weight.

    python -m tools.train_pocket --minutes 180

Interrupted, it goes on from its last checkpoint with ``--resume``; from shipped weights with ``--start-from``.
"""

from __future__ import annotations

import argparse
import copy
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

from ocrd.demo import edit_distance
from ocrd.engine.architecture import parse_architecture
from ocrd.engine.checkpoint import load_network, to_published
from ocrd.engine.network import Network
from ocrd.sidecar import hash_file
from tools.muon import Muon
from tools.render_text import CHARACTERS, TRAINED_FONTS, UNSEEN_FONTS, VIEW, Drawing, draw, into_view

BOS, EOS, IMAGE = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<image>"
SPECIALS = (BOS, EOS, IMAGE, "<|grounding|>", "<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>")
PROMPT = "\nFree OCR. "
AVERAGING = 0.998
HELD_OUT_SEED = 1_000_000
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
            embed(torch.zeros(count, 1, dtype=torch.long)),
            image,
            network.view_seperator.expand(count, 1, -1),
            embed(self.prompt).expand(count, -1, -1),
            embed(ids[:, :-1].clamp(min=0)),
        ]
        hidden = network.language_model(inputs_embeds=torch.cat(parts, dim=1), use_cache=False).last_hidden_state
        logits: Tensor = network.lm_head(hidden[:, -ids.shape[1] :])
        return logits


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
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = list(probes.parameters())
    for name, parameter in network.named_parameters():
        hidden = (
            parameter.dim() in (2, 3) and ".layers." in name and "rel_pos" not in name and ".gate.weight" not in name
        )
        (matrices if hidden else others).append(parameter)
    return [
        Muon(matrices, lr=rate),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def rate_at(done: float) -> float:
    """The learning rate's share of its peak: a short rise, level, then a straight fall over the last 40%."""
    return min(1.0, done / 0.01) * min(1.0, max(0.02, (1 - done) / 0.4))


@torch.no_grad()
def read(losses: Losses, views: Tensor, longest: int = 48) -> Tensor:
    """Greedy reading of a batch, without a cache: [B, 3, 256, 256] -> token ids [B, <= longest]."""
    losses.network.eval()
    projected = losses.network.see(views).projected
    ids = torch.zeros(views.shape[0], 0, dtype=torch.long)
    for _ in range(longest):
        # `logits` predicts as many tokens as it is given ids; the last one is the unknown next.
        padded = torch.cat([ids, ids.new_zeros(len(ids), 1)], dim=1)
        ids = torch.cat([ids, losses.logits(projected, padded)[:, -1].argmax(-1, keepdim=True)], dim=1)
        if bool((ids == 1).any(dim=1).all()):
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
            got = tokenizer.decode(ids[: ids.index(1)] if 1 in ids else ids)
            wrong += edit_distance(got, drawing.text)
            total += len(drawing.text)
    return wrong / total


def save(network: Network, tokenizer: Tokenizer, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    config = json.dumps(pocket_config(tokenizer.get_vocab_size()), indent=1)
    (out / "config.json").write_text(config + "\n", encoding="utf-8")
    tokenizer.save(str(out / "tokenizer.json"))
    weights = out / "model.safetensors"
    save_file(to_published(network, torch.bfloat16), weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors writes 0600, which a shared installation could not read
    files = {name: out / name for name in ("config.json", "model.safetensors", "tokenizer.json")}
    manifest = {
        "repo": "ocrd/pocket",
        "revision": None,
        "files": {name: {"size": path.stat().st_size, "sha256": hash_file(path)} for name, path in files.items()},
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=Path("ocrd/pocket"))
    options.add_argument("--minutes", type=float, default=90.0, help="the learning rate reaches its end then")
    options.add_argument("--vision-share", type=float, default=0.2, help="share of the time for the eye alone")
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--rate", type=float, default=2e-3)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--state", type=Path, default=Path("build/pocket-training.pt"), help="checkpoint of the run")
    options.add_argument("--resume", action="store_true", help="go on from --state")
    options.add_argument("--start-from", type=Path, help="begin with the weights of this model folder")
    given = options.parse_args()
    torch.manual_seed(given.seed)
    run = Run(given)
    if given.resume:
        run.restore(given.state)
    run.train()


class Run:
    """One training run: the network, its running average (which is what ships), and where it stands."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.tokenizer = build_tokenizer()
        arch = parse_architecture(pocket_config(self.tokenizer.get_vocab_size()))
        self.network = Network(arch)
        initialise(self.network)
        if options.start_from:
            self.network.load_state_dict(load_network(options.start_from).state_dict())
        self.probes = Probes(arch.decoder.vocabulary, arch.sam.neck, arch.decoder.width)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.losses = Losses(self.network, self.probes, self.tokenizer)
        self.averaged = Losses(self.average, self.probes, self.tokenizer)
        self.optimizers = build_optimizers(self.network, self.probes, options.rate)
        self.step, self.spent = 0, 0.0
        self.shown = [0.0, 0.0, 0.0]

    def restore(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.probes.load_state_dict(state["probes"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.spent = state["step"], state["spent"]

    def keep(self) -> None:
        """Write the state of the run and the model as it is."""
        self.options.state.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "network": self.network.state_dict(),
            "probes": self.probes.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "spent": self.spent,
        }
        torch.save(state, self.options.state)
        save(self.average, self.tokenizer, self.options.out)

    def train(self) -> None:
        started, budget = time.monotonic() - self.spent, self.options.minutes * 60
        print(f"{sum(p.numel() for p in self.network.parameters()) / 1e6:.2f} M parameters", flush=True)
        while self.spent < budget:
            self.one_step(self.spent / budget)
            self.spent = time.monotonic() - started
            if self.step % 50 == 0:
                self.report()
            if self.step % 500 == 0:
                self.keep()
        self.keep()
        for name, fonts in (("fonts trained on", TRAINED_FONTS), ("fonts never seen", UNSEEN_FONTS)):
            rate = error_rate(self.averaged, self.tokenizer, HELD_OUT_SEED, fonts, 200)
            print(f"character error rate, 200 fresh pictures, {name}: {rate:.2%}", flush=True)

    def one_step(self, done: float) -> None:
        """Learn from one batch; ``done`` is the share of the run that lies behind."""
        options = self.options
        eye_only = done < options.vision_share
        # A stream of its own for each step, so that a resumed run draws fresh pictures.
        rng = random.Random(f"{options.seed}-{self.step}")
        dense = eye_only and rng.random() < 0.9
        drawings = [draw(rng, lines=(3, 6) if dense else (1, 3)) for _ in range(options.batch)]
        batch = make_batch(drawings, self.tokenizer)
        projected, vision, right = self.losses.vision(batch)
        text = torch.zeros(()) if eye_only else self.losses.text(projected, batch.ids)
        loss = vision if eye_only else text + 0.2 * vision
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = options.rate * rate_at(done)
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_([*self.network.parameters(), *self.probes.parameters()], 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        with torch.no_grad():
            # Short at first, so that the average never remembers the random start.
            follow = min(AVERAGING, self.step / (self.step + 10))
            for kept, fresh in zip(self.average.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(fresh, 1 - follow)
        values = (vision.item(), text.item(), right)
        self.shown = [0.95 * old + 0.05 * new for old, new in zip(self.shown, values, strict=True)]

    def report(self) -> None:
        vision, text, right = self.shown
        line = f"step {self.step}  {self.spent / 60:.1f} min  vision {vision:.3f}"
        line += f"  patches right {right:.1%}  text {text:.3f}"
        if self.step % 500 == 0:
            fresh = HELD_OUT_SEED + self.step
            line += f"  held-out error {error_rate(self.averaged, self.tokenizer, fresh, TRAINED_FONTS, 100):.2%}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
