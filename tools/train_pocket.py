"""Train the pocket model: DeepSeek-OCR's architecture with a few million parameters.

    python -m tools.train_pocket --steps 8000

It learns from text that the script draws. There are two stages, because from the text loss alone
nothing is learned from scratch (the loss stays at the entropy of characters). First only the vision
encoders learn which character is centred in each patch. Then everything is trained together, while
the auxiliary losses keep a weight that decreases.

An interrupted run continues from its last checkpoint with ``--resume``. ``--start-from`` begins
with the weights of a finished model.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

from ocrd.checkpoint_format.architecture import parse_architecture
from ocrd.engine.nn.checkpoint import load_network
from ocrd.engine.nn.network import Network
from tools.pocket_batches import DrawnBatches, TrainingBatch
from tools.pocket_losses import AuxiliaryHeads, Losses, error_rate
from tools.pocket_model import build_tokenizer, pocket_config, save_model
from tools.pocket_optimizers import build_optimizers, faster_dtype, rate_factor
from tools.render_text import TRAINED_FONTS, UNSEEN_FONTS

# Share of the running average that remains at each step.
AVERAGE_DECAY = 0.998
# Share of the progress line's figures that remains at each step.
REPORT_DECAY = 0.95
# Seed of the pictures that no training step draws.
HELD_OUT_SEED = 1_000_000
STEPS_BETWEEN_REPORTS = 50
STEPS_BETWEEN_CHECKPOINTS = 500


def main() -> None:
    options = parse_options()
    torch.manual_seed(options.seed)
    run = TrainingRun(options)
    if options.resume:
        run.resume(options.state)
    run.train()


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("ocrd/pocket"), help="folder of the trained model")
    add("--steps", type=int, default=8000, help="at the last one the learning rate is lowest")
    add("--vision-steps", type=int, default=600, help="first steps, for the vision encoders only")
    add("--batch", type=int, default=48, help="pictures in a step")
    add("--rate", type=float, default=2e-3, help="highest learning rate")
    add("--seed", type=int, default=1)
    add(
        "--state",
        type=Path,
        default=Path("build/pocket-training.pt"),
        help="checkpoint of the run",
    )
    add("--resume", action="store_true", help="continue from --state")
    add("--start-from", type=Path, help="begin with the weights of this model folder or checkpoint")
    return parser.parse_args()


def initialise(network: Network) -> None:
    """Give small normal weights to what the modules' constructors leave at zero or nearly zero."""
    embeddings = (
        "pos_embed",
        "position_embedding.weight",
        "class_embedding",
        "newline",
        "seperator",
    )
    for name, parameter in network.named_parameters():
        if name.endswith(embeddings):
            nn.init.normal_(parameter, std=0.02)
        elif parameter.dim() == 4:
            nn.init.kaiming_normal_(parameter, nonlinearity="linear")
        elif parameter.dim() >= 2 and "rel_pos" not in name:
            nn.init.normal_(parameter, std=0.02 if "embed" in name else parameter.shape[-1] ** -0.5)


@dataclass(frozen=True)
class StepLosses:
    """The losses of one batch. Those of text and positions are 0 in the first stage."""

    vision: Tensor
    text: Tensor
    position: Tensor
    # Share of the characters whose patch is predicted correctly.
    correct: float


class _Endless(Sampler[int]):
    """One step number after the other."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.first)


class TrainingRun:
    """One run: the network, its running average (which is what ships), and the optimizers."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.tokenizer = build_tokenizer()
        arch = parse_architecture(pocket_config(self.tokenizer.get_vocab_size()))
        self.network = Network(arch)
        initialise(self.network)
        self.heads = AuxiliaryHeads(
            arch.decoder.vocab_size,
            arch.sam.neck_channels,
            hidden_size=arch.decoder.hidden_size,
        )
        if options.start_from and options.start_from.is_dir():
            self.network.load_state_dict(load_network(options.start_from).state_dict())
        elif options.start_from:
            state = torch.load(options.start_from, weights_only=True)
            self.network.load_state_dict(state["average"])
            self.heads.load_state_dict(state["heads"])
        self.average = copy.deepcopy(self.network).requires_grad_(requires_grad=False)
        self.losses = Losses(self.network, self.heads, tokenizer=self.tokenizer)
        self.average_losses = Losses(self.average, self.heads, tokenizer=self.tokenizer)
        self.dtype = faster_dtype()
        self.optimizers = build_optimizers(
            self.network, self.heads, rate=options.rate, dtype=self.dtype
        )
        self.step = 0
        self.seconds = 0.0
        # Running averages of vision, text and position loss and of the share that is correct.
        self.shown = [0.0, 0.0, 0.0, 0.0]

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint that `save` wrote."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.heads.load_state_dict(state["heads"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step = state["step"]
        self.seconds = state["seconds"]

    def save(self) -> None:
        """Write a checkpoint of the run, and the model as it is."""
        self.options.state.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "network": self.network.state_dict(),
            "heads": self.heads.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, self.options.state)
        save_model(self.average, self.tokenizer, out=self.options.out)

    def train(self) -> None:
        """Run all remaining steps, save the model and print how well it reads."""
        options = self.options
        size = sum(p.numel() for p in self.network.parameters()) / 1e6
        print(f"{size:.2f} M parameters, matrices multiplied in {self.dtype}", flush=True)
        batches = DrawnBatches(options.seed, options.batch, text_from_step=options.vision_steps)
        # Drawn in another process: drawing is serial Python, and would leave a core idle for a
        # third of the time.
        loader = DataLoader(
            batches, sampler=_Endless(self.step), batch_size=None, num_workers=1, prefetch_factor=4
        )
        last = time.monotonic()
        for batch in loader:
            self.train_step(batch, self.step / options.steps)
            now = time.monotonic()
            self.seconds += now - last
            last = now
            if self.step % STEPS_BETWEEN_REPORTS == 0:
                self.report()
            if self.step % STEPS_BETWEEN_CHECKPOINTS == 0:
                self.save()
            if self.step >= options.steps:
                break
        self.save()
        for name, fonts in (("training fonts", TRAINED_FONTS), ("other fonts", UNSEEN_FONTS)):
            rate = self.held_out_error_rate(HELD_OUT_SEED, fonts=fonts, count=200)
            print(f"character error rate, 200 new pictures, {name}: {rate:.2%}", flush=True)

    def train_step(self, batch: TrainingBatch, done: float) -> None:
        """Learn from one batch; ``done`` is the share of the run that is done."""
        options = self.options
        losses = self.compute_losses(batch)
        is_vision_stage = self.step < options.vision_steps
        auxiliary_weight = 1.0 if is_vision_stage else 0.3 * (1 - done) + 0.02
        loss = losses.text + auxiliary_weight * (losses.vision + losses.position)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = options.rate * rate_factor(done)
            optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_([*self.network.parameters(), *self.heads.parameters()], 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self._update_average()
        values = (
            losses.vision.item(),
            losses.text.item(),
            losses.position.item(),
            losses.correct,
        )
        self.shown = [
            REPORT_DECAY * old + (1 - REPORT_DECAY) * new
            for old, new in zip(self.shown, values, strict=True)
        ]

    def compute_losses(self, batch: TrainingBatch) -> StepLosses:
        """Run the network on a batch."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype is torch.bfloat16):
            projected, vision, correct = self.losses.vision(batch)
            if self.step < self.options.vision_steps:
                return StepLosses(vision, torch.zeros(()), torch.zeros(()), correct)
            text, position = self.losses.text(projected, batch)
            return StepLosses(vision, text, position, correct)

    @torch.no_grad()
    def _update_average(self) -> None:
        # The average is short at first, so that it forgets the random start.
        decay = min(AVERAGE_DECAY, self.step / (self.step + 10))
        pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
        for averaged, current in pairs:
            averaged.lerp_(current, 1 - decay)

    def held_out_error_rate(self, seed: int, *, fonts: tuple[str, ...], count: int) -> float:
        """Character error rate of the running average on pictures that training never draws."""
        return error_rate(self.average_losses, self.tokenizer, seed=seed, fonts=fonts, count=count)

    def report(self) -> None:
        """Print a line with the losses and, now and then, the error rate."""
        vision, text, position, correct = self.shown
        line = (
            f"step {self.step}  {self.seconds / 60:.1f} min  vision {vision:.3f}"
            f"  patches correct {correct:.1%}  text {text:.3f}  position {position:.3f}"
        )
        if self.step % STEPS_BETWEEN_CHECKPOINTS == 0:
            seed = HELD_OUT_SEED + self.step
            rate = self.held_out_error_rate(seed, fonts=TRAINED_FONTS, count=100)
            line += f"  held-out error {rate:.2%}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
