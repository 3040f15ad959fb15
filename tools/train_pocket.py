"""Train the pocket model.

DeepSeek-OCR's architecture at a few million parameters, on text it draws itself.

Two stages, because from scratch on the text loss alone nothing is learnt (the loss stays at the
entropy of characters): first the eye alone, told which character's centre lies in each patch; then
everything together, with the eye's losses and that of the places kept at a weight that fades.

    python -m tools.train_pocket --steps 8000

Interrupted, it goes on from its last checkpoint with ``--resume``; from shipped weights with
``--start-from``.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from ocrd.checkpoint_format.architecture import parse_architecture
from ocrd.engine.nn.checkpoint import load_network
from ocrd.engine.nn.network import Network
from tools.muon import Muon
from tools.pocket_losses import TASKS, Batch, Losses, Probes, error_rate, make_batch
from tools.pocket_model import build_tokenizer, pocket_config, save
from tools.render_text import TRAINED_FONTS, UNSEEN_FONTS, draw

# Share of the running average that stays at each step.
AVERAGING = 0.998
HELD_OUT_SEED = 1_000_000


def initialise(network: Network) -> None:
    """Small normal weights everywhere that transformers left at zero or nearly so."""
    for name, parameter in network.named_parameters():
        if name.endswith(
            ("pos_embed", "position_embedding.weight", "class_embedding", "newline", "seperator")
        ):
            nn.init.normal_(parameter, std=0.02)
        elif parameter.dim() == 4:
            nn.init.kaiming_normal_(parameter, nonlinearity="linear")
        elif parameter.dim() >= 2 and "rel_pos" not in name:
            nn.init.normal_(parameter, std=0.02 if "embed" in name else parameter.shape[-1] ** -0.5)


def faster_precision() -> torch.dtype:
    """bfloat16 where this machine has units for it, else float32.

    Measured, as it differs a hundredfold.
    """
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.ones(768, 768, dtype=dtype)
        torch.mm(matrix, matrix)
        started = time.perf_counter()
        torch.mm(matrix, matrix)
        seconds[dtype] = time.perf_counter() - started
    return min(seconds, key=lambda dtype: seconds[dtype])


class Lessons(Dataset[Batch]):
    """The batch of each step, from a stream of its own: a resumed run draws the same pictures."""

    def __init__(self, seed: int, size: int, *, first_with_text: int) -> None:
        self.seed = seed
        self.size = size
        self.first_with_text = first_with_text
        self.tokenizer = build_tokenizer()

    def __getitem__(self, step: int) -> Batch:
        rng = random.Random(f"{self.seed}-{step}")
        lines = (3, 6) if step < self.first_with_text and rng.random() < 0.9 else (1, 3)
        task = rng.choice(TASKS)
        return make_batch(
            [draw(rng, lines=lines) for _ in range(self.size)], self.tokenizer, task=task
        )


def build_optimizers(
    network: Network, probes: Probes, *, rate: float, dtype: torch.dtype
) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices (it learns about twice as much from a picture), AdamW for the
    rest.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = list(probes.parameters())
    for name, parameter in network.named_parameters():
        hidden = (
            parameter.dim() in (2, 3)
            and ".layers." in name
            and "rel_pos" not in name
            and ".gate.weight" not in name
        )
        (matrices if hidden else others).append(parameter)
    return [
        Muon(matrices, lr=rate, dtype=dtype),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def rate_at(done: float) -> float:
    """The learning rate's share of its peak.

    A short rise, level, then a straight fall over the last 40%.
    """
    return min(1.0, done / 0.01) * min(1.0, max(0.02, (1 - done) / 0.4))


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, default=Path("ocrd/pocket"))
    options.add_argument(
        "--steps", type=int, default=8000, help="the learning rate reaches its end then"
    )
    options.add_argument(
        "--eye-steps", type=int, default=600, help="steps that teach the eye alone"
    )
    options.add_argument("--batch", type=int, default=48)
    options.add_argument("--rate", type=float, default=2e-3)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument(
        "--state", type=Path, default=Path("build/pocket-training.pt"), help="checkpoint of the run"
    )
    options.add_argument("--resume", action="store_true", help="go on from --state")
    options.add_argument(
        "--start-from", type=Path, help="begin with the weights of this model folder or checkpoint"
    )
    given = options.parse_args()
    torch.manual_seed(given.seed)
    run = Run(given)
    if given.resume:
        run.restore(given.state)
    run.train()


class _Onward(Sampler[int]):
    """Step after step without end."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.first)


class Run:
    """One training run: the network, its running average (which is what ships), and where it
    stands.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.tokenizer = build_tokenizer()
        arch = parse_architecture(pocket_config(self.tokenizer.get_vocab_size()))
        self.network = Network(arch)
        initialise(self.network)
        self.probes = Probes(
            arch.decoder.vocab_size, arch.sam.neck_channels, width=arch.decoder.hidden_size
        )
        if options.start_from and options.start_from.is_dir():
            self.network.load_state_dict(load_network(options.start_from).state_dict())
        elif options.start_from:
            state = torch.load(options.start_from, weights_only=True)
            self.network.load_state_dict(state["average"])
            self.probes.load_state_dict(state["probes"])
        self.average = copy.deepcopy(self.network).requires_grad_(False)  # noqa: FBT003
        self.losses = Losses(self.network, self.probes, tokenizer=self.tokenizer)
        self.averaged = Losses(self.average, self.probes, tokenizer=self.tokenizer)
        self.precision = faster_precision()
        self.optimizers = build_optimizers(
            self.network, self.probes, rate=options.rate, dtype=self.precision
        )
        self.step = 0
        self.spent = 0.0
        self.shown = [0.0, 0.0, 0.0, 0.0]

    def restore(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.probes.load_state_dict(state["probes"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step = state["step"]
        self.spent = state["spent"]

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
        save(self.average, self.tokenizer, out=self.options.out)

    def train(self) -> None:
        size = sum(p.numel() for p in self.network.parameters()) / 1e6
        print(f"{size:.2f} M parameters, matrices multiplied in {self.precision}", flush=True)
        lessons = Lessons(
            self.options.seed, self.options.batch, first_with_text=self.options.eye_steps
        )
        # Drawn in another process: drawing is serial Python, and would leave a core idle for a
        # third of the time.
        steps = DataLoader(
            lessons, sampler=_Onward(self.step), batch_size=None, num_workers=1, prefetch_factor=4
        )
        last = time.monotonic()
        for batch in steps:
            self.one_step(batch, self.step / self.options.steps)
            now = time.monotonic()
            self.spent = self.spent + now - last
            last = now
            if self.step % 50 == 0:
                self.report()
            if self.step % 500 == 0:
                self.keep()
            if self.step >= self.options.steps:
                break
        self.keep()
        for name, fonts in (
            ("fonts trained on", TRAINED_FONTS),
            ("fonts never seen", UNSEEN_FONTS),
        ):
            rate = error_rate(
                self.averaged, self.tokenizer, seed=HELD_OUT_SEED, fonts=fonts, count=200
            )
            print(f"character error rate, 200 fresh pictures, {name}: {rate:.2%}", flush=True)

    def losses_of(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, float]:
        """Of the eye, of the text, of the places.

        And the share of characters that the eye has right.
        """
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision is torch.bfloat16):
            projected, vision, right = self.losses.vision(batch)
            if self.step < self.options.eye_steps:
                return vision, torch.zeros(()), torch.zeros(()), right
            text, place = self.losses.text(projected, batch)
            return vision, text, place, right

    def one_step(self, batch: Batch, done: float) -> None:
        """Learn from one batch; ``done`` is the share of the run that lies behind."""
        options = self.options
        vision, text, place, right = self.losses_of(batch)
        aside = 1.0 if self.step < options.eye_steps else 0.3 * (1 - done) + 0.02
        loss = text + aside * (vision + place)
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
            for kept, fresh in zip(
                self.average.parameters(), self.network.parameters(), strict=True
            ):
                kept.lerp_(fresh, 1 - follow)
        values = (vision.item(), text.item(), place.item(), right)
        self.shown = [0.95 * old + 0.05 * new for old, new in zip(self.shown, values, strict=True)]

    def report(self) -> None:
        vision, text, place, right = self.shown
        line = f"step {self.step}  {self.spent / 60:.1f} min  vision {vision:.3f}"
        line += f"  patches right {right:.1%}  text {text:.3f}  place {place:.3f}"
        if self.step % 500 == 0:
            fresh = HELD_OUT_SEED + self.step
            line += f"  held-out error {error_rate(self.averaged, self.tokenizer, seed=fresh, fonts=TRAINED_FONTS, count=100):.2%}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
