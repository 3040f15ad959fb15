"""Pages that are decoded together get the tokens that they get alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ocrd.engine.decode import Batch, DecodeLimits, DecodeResult, decode
from ocrd.engine.errors import NonFiniteLogits
from ocrd.engine.nn.checkpoint import load_network
from ocrd.engine.nn.kv_cache import KVCache
from ocrd.engine.nn.network import Network
from ocrd.engine.special_tokens import SpecialTokens

pytestmark = pytest.mark.slow


GOLDEN = Path(__file__).parents[2] / "data/golden"
LENGTHS = (12, 40, 7, 25, 3)
PLAIN = DecodeLimits(max_new_tokens=40, ngram_size=0, stop_repetition=False)


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(GOLDEN, files=[GOLDEN / "model.safetensors"])


@pytest.fixture(scope="module")
def prompts(network: Network) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    with torch.inference_mode():
        return [
            network.language_model.embed_tokens(
                torch.randint(5, 500, (1, length), generator=generator)
            )
            for length in LENGTHS
        ]


def together(
    network: Network,
    prompts: list[torch.Tensor],
    *,
    slots: int,
    limits: DecodeLimits,
    **options: Any,
) -> list[DecodeResult]:
    batch = Batch(network, limits, slots=slots, **options)
    done: dict[int, DecodeResult] = {}
    coming = iter(enumerate(prompts))
    waiting = next(coming, None)
    while waiting or len(batch):
        while waiting and not batch.full:
            batch.add(*waiting)
            waiting = next(coming, None)
        done.update(batch.step())
    return [done[key] for key in range(len(prompts))]


@pytest.mark.parametrize("slots", [1, 2, 5, 8])
def test_pages_together_get_the_tokens_that_they_get_alone(
    network: Network, prompts: list[torch.Tensor], slots: int
) -> None:
    alone = [decode(network, prompt, limits=PLAIN, ban_eos=True) for prompt in prompts]
    assert together(network, prompts, slots=slots, limits=PLAIN, ban_eos=True) == alone
    assert len({done.token_ids for done in alone}) == len(LENGTHS)  # five different texts


def test_a_page_that_ends_early_makes_room_and_disturbs_no_other(
    network: Network, prompts: list[torch.Tensor]
) -> None:
    """The end token is made likely, so that the pages end at different times."""
    eos = network.arch.decoder.eos_token_id
    texts = [decode(network, prompt, limits=PLAIN, ban_eos=True).token_ids for prompt in prompts]
    # A token that occurs in many of the texts, at a different place in each, now ends them.
    ends = {
        token: {text.index(token) for text in texts if token in text}
        for text in texts
        for token in text
    }
    last = max(ends, key=lambda token: len(ends[token]))
    head = network.lm_head.weight.clone()
    network.lm_head.weight.data[[eos, last]] = head[[last, eos]]
    try:
        alone = [decode(network, prompt, limits=PLAIN) for prompt in prompts]
        assert len({len(done.token_ids) for done in alone}) > 2
        assert {done.stop_reason for done in alone} == {"eos", "length"}
        for slots in (2, 3):
            assert together(network, prompts, slots=slots, limits=PLAIN) == alone
    finally:
        network.lm_head.weight.data.copy_(head)


def test_each_page_has_its_own_guard(network: Network, prompts: list[torch.Tensor]) -> None:
    limits = DecodeLimits(max_new_tokens=60, ngram_size=3, ngram_window=50, stop_repetition=False)
    alone = [decode(network, prompt, limits=limits, ban_eos=True) for prompt in prompts]
    assert together(network, prompts, slots=4, limits=limits, ban_eos=True) == alone


def test_a_full_batch_reports_it_and_logits_that_are_not_finite_are_an_error(
    network: Network, prompts: list[torch.Tensor]
) -> None:
    batch = Batch(network, PLAIN, slots=2)
    batch.add(0, prompts[0])
    assert not batch.full
    batch.add(1, prompts[1])
    assert batch.full and len(batch) == 2
    with pytest.raises(NonFiniteLogits):
        Batch(network, PLAIN).add(0, prompts[0] * float("nan"))


class Script:
    """Replaces the network's logits: the tokens of each page, in the order of the pages."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, texts: list[Iterator[int]], *, vocabulary: int
    ) -> None:
        self.texts = texts
        self.vocabulary = vocabulary
        self.slots: list[Iterator[int]] = []
        monkeypatch.setattr(Network, "next_logits", self.logits)

    def logits(self, embedded: torch.Tensor, *, cache: KVCache) -> torch.Tensor:
        if embedded.shape[1] > 1:
            self.slots.append(self.texts[len(self.slots)])
            rows = [self.slots[-1]]
        else:
            rows = self.slots
        logits = torch.zeros(len(rows), self.vocabulary)
        for row, text in enumerate(rows):
            logits[row, next(text)] = 1.0
        return logits


REF = 3
REF_END = 4
DET = 5
DET_END = 6
LINE = 7


def blocks(loop_at: int, words: int = 6) -> Iterator[int]:
    """Grounded blocks: different ones, then one that repeats with other coordinates each time."""
    number = 0
    while True:
        what = min(number, loop_at)
        yield from (REF, 10, REF_END, DET)
        yield from (20 + (number * step) % 97 for step in (3, 7, 11, 13))
        yield from (DET_END, LINE)
        yield from (200 + (what * 31 + word * 17) % 150 for word in range(words))
        number += 1


@pytest.mark.parametrize("words", [2, 6, 20, 60])
def test_a_loop_whose_coordinates_change_is_stopped_and_its_first_copy_kept(
    network: Network, prompts: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch, words: int
) -> None:
    Script(monkeypatch, [blocks(5, words)], vocabulary=network.arch.decoder.vocab_size)
    counts: list[int] = []
    batch = Batch(
        network, DecodeLimits(max_new_tokens=4000), special_tokens=SpecialTokens(DET, DET_END, REF)
    )
    batch.add(0, prompts[0], on_token=counts.append)
    while not (ended := batch.step()):
        pass
    unit = 10 + words
    kept = 6 * unit  # five blocks, and the first copy of the one that repeats
    assert ended[0][1].stop_reason == "loop"
    assert len(ended[0][1].token_ids) == kept
    assert counts[-1] <= kept + 200, f"stopped {counts[-1] - kept} tokens after the first copy"


def test_blocks_that_differ_are_not_a_loop_and_the_detection_can_be_turned_off(
    network: Network, prompts: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    for loop_at, limits, reason in (
        (10_000, DecodeLimits(max_new_tokens=3000), "length"),
        (2, DecodeLimits(max_new_tokens=600, stop_repetition=False), "length"),
        (2, DecodeLimits(max_new_tokens=600), "loop"),
    ):
        Script(monkeypatch, [blocks(loop_at)], vocabulary=network.arch.decoder.vocab_size)
        batch = Batch(network, limits, special_tokens=SpecialTokens(DET, DET_END, REF))
        batch.add(0, prompts[0])
        while not (ended := batch.step()):
            pass
        assert ended[0][1].stop_reason == reason


def test_a_deadline_counts_a_pages_own_time_and_not_that_of_its_neighbours(
    network: Network, prompts: list[torch.Tensor]
) -> None:
    """The clock advances by a second each time it is read.

    A prompt and a step take one second, and two pages share a step.
    """
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    limits = DecodeLimits(max_new_tokens=50, ngram_size=0, stop_repetition=False, deadline_s=10.0)
    alone = decode(network, prompts[0], limits=limits, clock=clock, ban_eos=True)
    assert (alone.stop_reason, len(alone.token_ids)) == ("deadline", 11)
    together_with_another = together(
        network, prompts[:2], slots=2, limits=limits, clock=clock, ban_eos=True
    )
    assert [done.stop_reason for done in together_with_another] == ["deadline"] * 2
    assert [len(done.token_ids) for done in together_with_another] == [20, 20]
