"""The runner with the pocket model on a machine with made-up devices.

Modes, strays, cool-downs, what ends a page.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from PIL import Image

from ocrd.engine import recognizer
from ocrd.engine.decode import DecodeLimits, decode
from ocrd.engine.errors import NonFiniteLogits
from ocrd.engine.nn.checkpoint import load_network
from ocrd.engine.runtime import failover as runner_module
from ocrd.engine.runtime.device_plan import Machine
from ocrd.engine.runtime.devices import TorchDevices, move, refuse_strays
from ocrd.engine.runtime.failover import Policy, Runner
from ocrd.errors import DamagedDocument, EngineError, FreshWorkerNeeded, UsageError
from ocrd.paths import POCKET_MODEL
from ocrd.types import PageReading
from ocrd.worker.memory import Memory, MemoryLimits, recycle_reason
from ocrd.worker.startup import CANARY, known_text

OOM = "MPS backend out of memory"


class Fake:
    """MPS that leads to the CPU, and raises what ``script`` says next; a clock of its own."""

    def __init__(self, *script: Exception | None) -> None:
        self.script = iter(script)
        self.now = 0.0
        self.freed = 0
        self.ran: list[str] = []

    def machine(self) -> Machine:
        return Machine(32 * 1024**3, mps=True)

    def place(self, device: str) -> torch.device:
        return torch.device("cpu")

    def free_cache(self, device: str) -> None:
        self.freed += 1

    def used(self, device: str) -> int:
        return 0

    def running(self, device: str) -> AbstractContextManager[None]:
        return self._running(device)

    @contextmanager
    def _running(self, device: str) -> Iterator[None]:
        self.ran.append(device)
        if device == "mps" and (error := next(self.script, None)):
            raise error
        yield


def started(fake: Fake, policy: Policy | None = None, **options: Any) -> Runner:
    options = {"device": "auto", "dtype": "auto", "mode": "auto"} | options
    runner = Runner(
        POCKET_MODEL, options["device"], dtype=options["dtype"], mode=options["mode"], devices=fake, canary=CANARY, known=known_text(POCKET_MODEL),
        policy=policy or Policy(), batch=options.get("batch"), clock=lambda: fake.now,
    )  # fmt: skip
    runner.start()
    return runner


def read(runner: Runner, limits: DecodeLimits = DecodeLimits(), **options: Any) -> Any:  # noqa: B008 - frozen
    with Image.open(CANARY) as image:
        return runner.read(image.convert("RGB"), "text", index=0, limits=limits, **options)


def test_too_little_memory_ends_in_a_smaller_mode() -> None:
    """The pocket model knows one size.

    What counts is that the smaller mode is what is read with.
    """
    fake = Fake(None, RuntimeError(OOM), RuntimeError(OOM), None)
    runner = started(fake)
    runner._loaded.mode = "gundam"
    reading = read(runner, limits=DecodeLimits(max_new_tokens=8))
    assert reading.mode == "base" and [f.then for f in reading.fallbacks] == [
        "free-cache",
        "smaller-mode (base)",
    ]
    assert fake.freed == 1 and runner.mode == "gundam"  # the next page is read in full again


def test_a_page_that_fails_on_the_cpu_as_well_is_an_error_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Fake(None, RuntimeError("expected scalar type Float but found BFloat16"))
    runner = started(fake)

    def broken(*_: object, **__: object) -> None:
        raise ValueError("still wrong")

    fake_read = runner._loaded.read
    monkeypatch.setattr(runner._loaded, "read", broken)
    with pytest.raises(EngineError, match="page 1: other on cpu in float32: still wrong"):
        read(runner)
    monkeypatch.setattr(runner._loaded, "read", fake_read)
    assert (
        read(runner).fallbacks == () and runner.here == runner.home
    )  # the next page is read where it belongs


def test_a_task_that_is_none_is_the_callers_mistake_and_no_failure() -> None:
    fake = Fake()
    runner = started(fake)
    with Image.open(CANARY) as image, pytest.raises(UsageError, match="dance"):
        runner.read(image.convert("RGB"), "dance", index=0, limits=DecodeLimits())
    assert fake.ran == ["mps", "mps"]


def test_the_way_back_that_fails_is_a_cool_down_and_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Fake(None, ValueError("once"))
    runner = started(fake, Policy(max_fallbacks=3, cool_down=60.0))
    assert len(read(runner).fallbacks) == 1 and runner.here.device == "cpu"

    def refuse(network: Any, device: torch.device, *, dtype: torch.dtype) -> None:
        monkeypatch.setattr(runner_module, "move", move)
        raise RuntimeError(OOM)

    monkeypatch.setattr(runner_module, "move", refuse)
    assert read(runner).fallbacks == () and runner.here.device == "cpu"
    assert read(runner).fallbacks == () and runner.here.device == "cpu"
    fake.now = 61.0
    assert read(runner).fallbacks == () and runner.here == runner.home


def test_a_model_that_cannot_be_brought_to_the_cpu_needs_a_new_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Fake(None, ValueError("once"))
    runner = started(fake)

    def refuse(*_: object, **_options: object) -> None:
        raise RuntimeError("command buffer exited with error status")

    monkeypatch.setattr(runner_module, "move", refuse)
    with pytest.raises(FreshWorkerNeeded, match="cannot be brought to the CPU: command buffer"):
        read(runner, fresh=True)


def test_on_a_small_machine_the_cpu_reads_in_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(None, ValueError("once"))
    monkeypatch.setattr(fake, "machine", lambda: Machine(20_000_000, mps=True))
    runner = started(fake)
    assert (runner.home.device, runner.home.dtype) == ("mps", "bfloat16")
    assert [f.then for f in read(runner).fallbacks] == ["cpu"]
    assert (runner.here.device, runner.here.dtype) == ("cpu", "bfloat16")


def test_when_no_candidate_passes_each_reason_is_said() -> None:
    fake = Fake(ValueError("first"), ValueError("second"))
    fake.machine = lambda: Machine(32 * 1024**3, mps=True)  # type: ignore[method-assign]
    runner = Runner(
        POCKET_MODEL,
        "auto",
        dtype="auto",
        mode="auto",
        devices=fake,
        canary=CANARY,
        known="words that are not there at all",
    )
    with pytest.raises(EngineError, match=r"first.*second.*canary.*canary"):
        runner.start()
    assert len(runner.skipped) == 4
    assert "on cpu in float32" in runner.skipped[2] and "on cpu in bfloat16" in runner.skipped[3]


def test_what_the_freed_cache_mends_sends_nobody_to_the_cpu() -> None:
    fake = Fake(None, RuntimeError(OOM), None, RuntimeError(OOM), None, None)
    runner = started(fake, Policy(max_fallbacks=1, cool_down=3600.0))
    assert [len(read(runner).fallbacks) for _ in range(2)] == [1, 1]
    assert set(fake.ran) == {"mps"} and runner._in_a_row == 0


def test_a_network_with_a_stray_is_not_read_with(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(*arguments: Any, **options: Any) -> Any:
        network = load_network(*arguments, **options)
        network.projector.to(torch.bfloat16)
        return network

    monkeypatch.setattr(recognizer, "load_network", half)
    runner = started(Fake())
    assert runner.skipped[0].startswith(
        "mps in float32 (other: projector.layers.weight is on cpu in torch.bfloat16"
    )
    assert runner.home.dtype == "bfloat16"  # the next candidate, to which all of it was moved


def test_failures_in_a_row_keep_the_cpu_until_the_cool_down_ends_and_one_that_is_well_between_does_not() -> (
    None
):
    bad = ValueError("once")
    fake = Fake(None, bad, None, bad, bad, None, None)
    runner = started(fake, Policy(max_fallbacks=2, cool_down=60.0))
    assert [len(read(runner).fallbacks) for _ in range(4)] == [1, 0, 1, 1]
    fake.ran.clear()
    assert read(runner).fallbacks == () and fake.ran == ["cpu"]
    fake.now = 61.0
    assert read(runner).fallbacks == () and fake.ran == [
        "cpu",
        "mps",
        "mps",
    ]  # the canary, then the page
    assert read(runner).fallbacks == () and runner.here == runner.home


def test_a_stray_parameter_is_named() -> None:
    network = load_network(POCKET_MODEL)
    network.vision_model.to(torch.bfloat16)
    with pytest.raises(
        EngineError,
        match=r"vision_model\.\S+ is on cpu in torch.bfloat16, but the model runs on cpu in",
    ):
        refuse_strays(network, torch.device("cpu"), dtype=torch.float32)
    move(network, torch.device("cpu"), dtype=torch.float32)
    refuse_strays(network, torch.device("cpu"), dtype=torch.float32)


def test_moving_there_and_back_changes_no_number() -> None:
    network = load_network(POCKET_MODEL, dtype=torch.bfloat16)
    before = {name: p.clone() for name, p in network.named_parameters()}
    frequencies = network.language_model.rotary_emb.inv_freq.clone()
    move(network, torch.device("cpu"), dtype=torch.float32)
    move(network, torch.device("cpu"), dtype=torch.bfloat16)
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
    assert torch.equal(network.language_model.rotary_emb.inv_freq, frequencies)
    assert network.language_model.rotary_emb.inv_freq.dtype == torch.float32


def test_numbers_that_go_bad_in_the_middle_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_network(POCKET_MODEL)
    prompt = network.language_model.embed_tokens(torch.arange(5, 17))[None]
    written: list[int] = []

    def spoil(count: int) -> None:
        written.append(count)
        if count == 40:
            with torch.no_grad():
                network.lm_head.weight[3] = float("nan")

    with pytest.raises(NonFiniteLogits):
        decode(
            network,
            prompt,
            limits=DecodeLimits(max_new_tokens=500, ngram_size=0),
            on_token=spoil,
            ban_eos=True,
        )
    assert 40 <= len(written) <= 64


def test_the_real_devices_answer_on_this_machine() -> None:
    devices = TorchDevices()
    machine = devices.machine()
    assert machine.memory > 10**9 and machine.devices[-1] == "cpu"
    devices.free_cache("cpu")
    assert devices.used("cpu") == 0 and devices.place("cpu") == torch.device("cpu")
    with devices.running("cpu"):
        pass


@pytest.mark.parametrize(("first", "now", "limits", "why"), [
    ((2e9, 0), (2.5e9, 0), MemoryLimits(ceiling=10e9, growth=1e9), None),
    ((2e9, 0), (2.1e9, 1e9), MemoryLimits(ceiling=10e9, growth=1e9), "grew by 1.1 GB"),
    ((9e9, 0), (9.5e9, 1e9), MemoryLimits(ceiling=10e9, growth=5e9), "has 10.5 GB, and 10.0 GB are allowed"),
    # a new one would be no smaller
    ((12e9, 0), (12.9e9, 0), MemoryLimits(ceiling=10e9, growth=5e9), None),
    ((12e9, 0), (90e9, 0), MemoryLimits(), None),
])  # fmt: skip
def test_when_a_worker_is_replaced(
    first: tuple[float, float], now: tuple[float, float], limits: MemoryLimits, why: str | None
) -> None:
    reason = recycle_reason(Memory(*map(int, first)), Memory(*map(int, now)), limits=limits)
    assert (reason is None) == (why is None) and (why or "") in (reason or "")


def pages(count: int) -> list[tuple[int, Image.Image]]:
    with Image.open(CANARY) as image:
        return [(index, image.convert("RGB")) for index in range(count)]


def thens(readings: list[PageReading]) -> list[list[str]]:
    return [[f.then for f in reading.fallbacks] for reading in readings]


KNOWN = known_text(POCKET_MODEL)


def fail_looking(
    monkeypatch: pytest.MonkeyPatch, runner: Runner, *errors: Exception | None
) -> None:
    """What happens each time that a page is looked at; then all goes well."""
    look = runner._loaded._embed_page
    script = iter(errors)

    def fail(page: Any, prompt: Any) -> torch.Tensor:
        if error := next(script, None):
            raise error
        return look(page, prompt)

    monkeypatch.setattr(runner._loaded, "_embed_page", fail)


def test_a_document_is_read_in_batches_and_comes_in_order() -> None:
    runner = started(Fake(), batch=3)
    asked: list[int] = []
    told: dict[int, int] = {}

    def coming() -> Iterator[tuple[int, Image.Image]]:
        for index, image in pages(5):
            asked.append(index)
            yield index, image

    readings: list[PageReading] = []
    for reading in runner.read_pages(
        coming(), "text", limits=DecodeLimits(), on_token=lambda index, n: told.update({index: n})
    ):
        assert len(asked) <= len(readings) + 4  # a picture is asked for when there is room for it
        readings.append(reading)
    assert [r.index for r in readings] == list(range(5)) and {r.text for r in readings} == {KNOWN}
    assert told == {r.index: r.tokens for r in readings}
    assert thens(readings) == [[]] * 5


def test_a_batch_that_fails_is_read_page_by_page_with_every_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clash = RuntimeError("Input type (c10::BFloat16) and bias type (float) should be the same")
    runner = started(Fake(), batch=3)
    fail_looking(
        monkeypatch, runner, None, clash, None, clash
    )  # page 2 in the batch, and once more alone
    readings = list(runner.read_pages(pages(5), "text", limits=DecodeLimits()))
    assert {r.text for r in readings} == {KNOWN} and [r.index for r in readings] == list(range(5))
    assert thens(readings) == [["alone"], ["alone", "cpu"], [], [], []]
    assert runner.here == runner.home and runner.batch == 3


def test_too_little_memory_makes_the_batches_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake()
    runner = started(fake, batch=8)
    fail_looking(monkeypatch, runner, None, RuntimeError(OOM), None, None, RuntimeError(OOM))
    readings = list(runner.read_pages(pages(9), "text", limits=DecodeLimits()))
    assert {r.text for r in readings} == {KNOWN} and [r.index for r in readings] == list(range(9))
    smaller = ["smaller-batch (4)", "smaller-batch (2)"]
    assert thens(readings) == [smaller, smaller, smaller[1:], *[[]] * 6]
    # From now on, so that the next document does not fail so again; the last batch's memory is
    # given back too.
    assert runner.batch == 2 and fake.freed == 3


def test_what_a_page_cannot_be_had_for_is_told_behind_the_pages_before_it() -> None:
    runner = started(Fake(), batch=4)

    def coming() -> Iterator[tuple[int, Image.Image]]:
        yield from pages(3)
        raise DamagedDocument("page 4 is damaged")

    reading = runner.read_pages(coming(), "text", limits=DecodeLimits())
    assert [next(reading).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DamagedDocument, match="page 4"):
        next(reading)


def test_while_the_cpu_reads_for_a_while_pages_are_read_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clash = RuntimeError("expected scalar type Float but found BFloat16")
    runner = started(Fake(), Policy(max_fallbacks=1, cool_down=60), batch=2)
    fail_looking(monkeypatch, runner, clash, clash)
    readings = list(runner.read_pages(pages(4), "text", limits=DecodeLimits()))
    assert thens(readings) == [["alone", "cpu"], [], [], []]
    assert runner.here.device == "cpu" and {r.text for r in readings} == {KNOWN}


def test_a_device_that_cannot_even_be_entered_ends_on_the_cpu() -> None:
    fake = Fake(None, *[RuntimeError("expected scalar type Float but found BFloat16")] * 20)
    readings = list(started(fake, batch=2).read_pages(pages(3), "text", limits=DecodeLimits()))
    assert {r.text for r in readings} == {KNOWN} and [then[-1:] for then in thens(readings)] == [
        ["cpu"]
    ] * 3


def test_an_unknown_task_is_said_whatever_the_number_of_pages() -> None:
    runner = started(Fake(), batch=2)
    for count in (1, 3):
        with pytest.raises(UsageError, match="dance"):
            list(runner.read_pages(pages(count), "dance", limits=DecodeLimits()))


def test_the_batch_follows_the_memory_unless_it_is_given() -> None:
    assert started(Fake(), batch=5).batch == 5
    assert started(Fake()).batch == 8  # a pocket model has room for as many as are worth it
