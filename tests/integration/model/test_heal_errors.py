"""Whatever the hub answers, the old model is unchanged and the error says what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ocrd.errors import ModelError, ModelUnavailable
from tests.hub import Faults, LocalHub
from tests.machine import Machine, flip_byte
from tests.published import REPO, SHARDS, published_files

FIRST, SECOND = SHARDS

ALWAYS = 10**6


def test_endless_redirects_are_reported(machine: Machine, hub: LocalHub) -> None:
    hub.faults.status = {"/api/": [302] * 99}
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        machine.heal()


@pytest.mark.parametrize(
    "field",
    [
        *({"size": size} for size in (-1, "many", True, None, 10**15, 10**400)),
        *({"oid": oid} for oid in ("../../../../tmp/out", None, 7, "\0" * 40)),
    ],
)
def test_an_impossible_listing_is_refused(
    machine: Machine, hub: LocalHub, field: dict[str, object]
) -> None:
    hub.faults.listed = field
    with pytest.raises(ModelUnavailable, match="not a hub's"):
        machine.heal()
    assert hub.downloads() == []


def test_an_answer_that_is_too_long_is_refused(machine: Machine, hub: LocalHub) -> None:
    hub.faults.surplus = {FIRST: 50}
    with pytest.raises(ModelUnavailable, match="55403392 bytes were offered"):
        machine.heal()
    hub.faults.surplus = {}
    assert machine.heal().ok and machine.verify().ok


@pytest.mark.parametrize(("fault", "kind", "message"), [
    (lambda f: f.flip.update({FIRST: ALWAYS}), ModelError, FIRST),
    (lambda f: f.status.update({"/api/": [429] * 50}), ModelUnavailable, "429"),
    (lambda f: f.status.update({"/api/": [500] * 50}), ModelUnavailable, "500"),
    (lambda f: f.status.update({"resolve/": [503] * 50}), ModelUnavailable, "503"),
    (lambda f: f.status.update({"cdn/": [500] * 50}), ModelUnavailable, "500"),
    (lambda f: f.status.update({"cdn/": [403] * 50}), ModelUnavailable, "403"),
    (lambda f: f.stall.update({FIRST: [1000, *[0] * 50]}), ModelUnavailable, FIRST),
    (lambda f: f.lost.add("tokenizer.json"), ModelUnavailable, "tokenizer.json"),
    (lambda f: setattr(f, "commit", "b" * 40), ModelUnavailable, "b" * 40),
    (lambda f: f.offered.update({FIRST: "c" * 64}), ModelUnavailable, FIRST),
    (lambda f: setattr(f, "answer", b"<html>please log in</html>"), ModelUnavailable, "login page"),
])  # fmt: skip
@pytest.mark.parametrize("before", ["nothing", "a broken model"])
def test_a_permanent_fault_is_reported_and_changes_nothing(
    machine: Machine,
    hub: LocalHub,
    fault: Callable[[Faults], None],
    kind: type[Exception],
    message: str,
    before: str,
) -> None:
    if before == "a broken model":
        machine.heal()
        for name in (FIRST, "tokenizer.json"):
            flip_byte(machine.folder / name)
    old = machine.contents()
    fault(hub.faults)
    with pytest.raises(kind, match=message) as raised:
        machine.heal()
    assert machine.contents() == old
    assert isinstance(raised.value, ModelUnavailable) == (kind is ModelUnavailable)
    assert "\n" not in str(raised.value)
    # When the fault has passed, nothing that it left prevents the next healing.
    hub.faults = Faults()
    assert machine.heal().ok and machine.verify().ok


def test_a_busy_hub_that_recovers_is_no_error(machine: Machine, hub: LocalHub) -> None:
    hub.faults.status = {"cdn/": [429]}
    assert machine.heal().ok


def test_a_permanent_error_says_what_to_correct(machine: Machine, hub: LocalHub) -> None:
    for storage, message in (
        (replace(machine.storage, repo="no/such"), "model.repo"),
        (replace(machine.storage, revision="a" * 40), "model.revision"),
    ):
        machine.storage = storage
        with pytest.raises(ModelError, match=message) as raised:
            machine.heal()
        assert not isinstance(raised.value, ModelUnavailable)


def test_a_gated_repository_says_what_to_do(machine: Machine, hub: LocalHub) -> None:
    hub.gated.add(REPO)
    with pytest.raises(ModelError, match="HF_TOKEN"):
        machine.heal()


def test_a_token_opens_a_private_repository_and_is_not_sent_to_another_host(
    machine: Machine, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_secret"
    with pytest.raises(ModelError, match="private"):
        machine.heal()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.requests.clear()
    assert machine.heal().ok
    for request in hub.requests:
        is_other_host = request.host.startswith("localhost")
        assert request.authorization == (None if is_other_host else "Bearer hf_secret")


def test_an_unreachable_hub_is_reported_in_one_sentence(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "a" * 40)
    with pytest.raises(ModelUnavailable, match="is there a network"):
        machine.heal()


def test_a_repository_of_another_model_is_refused_after_one_download(
    machine: Machine, hub: LocalHub
) -> None:
    files = published_files() | {
        "config.json": b'{"model_type": "llama", "architectures": ["Llama"]}'
    }
    machine.storage = replace(machine.storage, revision=hub.publish(REPO, files, seed="other"))
    with pytest.raises(ModelError, match=r"model\.repo"):
        machine.heal()
    assert len([request for request in hub.downloads_of(FIRST) if "cdn" in request.path]) == 1
    assert machine.contents() == {}
