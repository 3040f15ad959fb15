"""Sidecars are complete and valid, and never replace what the user made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd.files import hash_file, write_atomically
from ocrd.outputs import sidecar
from ocrd.outputs.destination import (
    Destination,
    choose_destination,
    find_complete_set,
    preferred_destination,
    write_set,
)
from ocrd.outputs.sidecar import Source, read_sidecar
from ocrd.types import Attempt, BackendInfo, Block, Fallback, ModelIdentity, PageReading

ROOT = Path(__file__).parents[3]
SCHEMA: dict[str, Any] = json.loads((ROOT / "docs/sidecar.schema.json").read_text(encoding="utf-8"))
BACKEND = BackendInfo("cpu", "float32", "native", "2", "5", ModelIdentity("ocrd/pocket", None))


def page(index: int, text: str, *, stop: str = "eos") -> PageReading:
    blocks = (Block(text, bbox=(0, 0, 5, 5), page=index),)
    return PageReading(
        index, 10, 20, text, blocks, 2, stop, 0.5, "native", markdown=f"# {text}" if text else ""
    )


def contents(source: Path, *pages: PageReading) -> dict[str, bytes]:
    described = Source(source.name, source.stat().st_size, hash_file(source))
    return sidecar.render(
        described, pages, backend=BACKEND, task="text", formats=("json", "txt", "md")
    )


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.png"
    path.write_bytes(b"picture")
    return path


def nothing(_path: Path) -> bool:
    return False


def write(
    scan: Path, is_ours: Callable[[Path], bool] = nothing, *, text: str = "one"
) -> Destination:
    preferred = preferred_destination(scan, "{name}", inbox=scan.parent, output=None)
    rendered = contents(scan, page(0, text))
    destination = choose_destination(preferred, tuple(rendered), is_ours=is_ours)
    write_set(destination, rendered, is_ours=is_ours)
    return destination


def test_json_is_last_and_follows_the_schema(scan: Path) -> None:
    rendered = contents(scan, page(0, "one"), page(1, "", stop="length"))
    assert list(rendered) == ["txt", "md", "json"]
    document = json.loads(rendered["json"])
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["warnings"] == ["page 2 ended by length; its text may be cut"]


def test_a_page_that_was_read_twice_says_so_and_a_blank_one_gives_no_warning(scan: Path) -> None:
    attempts = (Attempt("gundam", "loop", 812, 20.00049), Attempt("base", "eos", 300, 9.0))
    twice = replace(page(1, "two"), mode="base", attempts=attempts)
    document = json.loads(contents(scan, page(0, "", stop="blank"), twice)["json"])
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert document["warnings"] == [
        "page 2 was a loop in mode gundam and was read again in mode base",
    ]
    assert document["pages"][1]["attempts"] == [
        {"mode": "gundam", "stop_reason": "loop", "tokens": 812, "seconds": 20.0},
        {"mode": "base", "stop_reason": "eos", "tokens": 300, "seconds": 9.0},
    ]
    assert document["pages"][0]["attempts"] == [] and "markdown" not in document["pages"][0]


def test_markdown_is_what_the_model_wrote_and_text_is_without_markup(scan: Path) -> None:
    rendered = contents(scan, page(0, "one"), page(1, ""), page(2, "three"))
    assert rendered["md"] == b"# one\n\n# three\n"
    assert rendered["txt"] == b"one\n\f\fthree\n"


def test_the_schema_refuses_other_json() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate({"pages": []})


def test_pages_are_separated_by_form_feeds(scan: Path) -> None:
    assert (
        contents(scan, page(0, "one"), page(1, ""), page(2, "three"))["txt"] == b"one\n\f\fthree\n"
    )


def test_a_users_text_stays_and_the_set_gets_a_number(scan: Path) -> None:
    users = scan.with_name("scan.png.txt")
    users.write_text("mine")
    destination = write(scan)
    assert users.read_text() == "mine"
    assert destination.path("txt").name == "scan.png-2.txt"
    assert destination.path("json").name == "scan.png-2.json"


def test_our_files_are_replaced_and_others_stay(scan: Path) -> None:
    write(scan)
    assert write(scan, is_ours=lambda _path: True, text="two").base == "scan.png"
    assert scan.with_name("scan.png.txt").read_text() == "two\n"
    assert (
        write(scan, is_ours=lambda path: path.suffix == ".json", text="three").base == "scan.png-2"
    )
    assert scan.with_name("scan.png.txt").read_text() == "two\n"


def test_the_next_run_removes_what_a_killed_one_left(scan: Path) -> None:
    target = scan.with_name("scan.png.txt")
    seen: list[Path] = []

    def look(_path: Path) -> bool:
        seen.extend(scan.parent.glob(".ocrd-*"))
        return True

    target.write_text("ours")
    write_atomically(target, b"one", may_replace=look)
    seen[0].write_text("what a killed run left")
    write_atomically(target, b"two", may_replace=look)
    assert target.read_bytes() == b"two"
    assert list(scan.parent.glob(".ocrd-*")) == []


def test_a_users_json_of_any_depth_is_not_ours(scan: Path) -> None:
    scan.with_name("scan.png.json").write_text("[" * 200_000)
    assert read_sidecar(scan.with_name("scan.png.json")) is None
    assert write(scan).base == "scan.png-2"


def test_two_pictures_with_the_same_stem_keep_their_own_sidecars(tmp_path: Path) -> None:
    for name in ("scan.png", "scan.jpg"):
        source = tmp_path / name
        source.write_bytes(name.encode())
        preferred = preferred_destination(source, "{stem}", inbox=tmp_path, output=None)
        rendered = contents(source, page(0, name))
        destination = choose_destination(preferred, tuple(rendered), is_ours=nothing)
        write_set(destination, rendered, is_ours=nothing)
    assert (tmp_path / "scan.txt").read_text() == "scan.png\n"
    assert (tmp_path / "scan-2.txt").read_text() == "scan.jpg\n"


def test_a_file_that_appears_at_the_last_moment_is_not_overwritten(scan: Path) -> None:
    target = scan.with_name("scan.png.txt")
    target.write_text("mine")
    with pytest.raises(FileExistsError):
        write_atomically(target, b"ours", may_replace=lambda _path: False)
    assert target.read_text() == "mine"
    assert list(scan.parent.glob(".ocrd-*")) == []


def test_a_link_where_a_sidecar_should_go_is_not_followed(scan: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    scan.with_name("scan.png.txt").symlink_to(outside)
    write(scan)
    assert not outside.exists()


def test_output_folders_keep_the_inboxs_subfolders(tmp_path: Path) -> None:
    destination = preferred_destination(
        tmp_path / "in/a/scan.png", "{name}", inbox=tmp_path / "in", output=tmp_path / "out"
    )
    assert destination.path("txt") == tmp_path / "out/a/scan.png.txt"


def test_a_complete_set_is_found_without_a_journal(scan: Path) -> None:
    destination = write(scan)
    sha = hash_file(scan)
    assert find_complete_set(destination, sha, formats=("txt", "json"))
    assert not find_complete_set(destination, "0" * 64, formats=("txt", "json"))
    destination.path("txt").unlink()
    assert not find_complete_set(destination, sha, formats=("txt", "json"))


def test_a_name_that_is_not_utf8_gives_valid_json(tmp_path: Path) -> None:
    source = Source("\udcff.png", 1, "0" * 64)
    rendered = sidecar.render(
        source, [page(0, "x")], backend=BACKEND, task="text", formats=("json",)
    )
    assert json.loads(rendered["json"].decode("utf-8"))["source"]["name"] == "\ufffd.png"


def test_the_longest_names_get_sidecars_of_their_own(tmp_path: Path) -> None:
    names = ["\u00e9" * 120 + end + ".png" for end in ("one", "two")]
    bases = {
        preferred_destination(tmp_path / name, "{name}", inbox=tmp_path, output=None).base
        for name in names
    }
    assert len(bases) == 2
    for base in bases:
        Destination(tmp_path, f"{base}-99").path("json").touch()


NAMES = st.sampled_from(["scan.png", "scan.png-2", "scan.png-3"])
EXISTING = st.dictionaries(
    st.tuples(NAMES, st.sampled_from(["txt", "json", "md"])), st.binary(max_size=20), max_size=9
)


@given(EXISTING)
def test_every_file_that_exists_stays_unchanged(existing: dict[tuple[str, str], bytes]) -> None:
    with TemporaryDirectory() as folder:
        scan = Path(folder) / "scan.png"
        scan.write_bytes(b"picture")
        for (name, suffix), data in existing.items():
            scan.with_name(f"{name}.{suffix}").write_bytes(data)
        destination = write(scan)
        for (name, suffix), data in existing.items():
            assert scan.with_name(f"{name}.{suffix}").read_bytes() == data
        assert {destination.path(f).name for f in ("txt", "md", "json")} <= {
            p.name for p in Path(folder).iterdir()
        }
        assert destination.path("txt").read_bytes() == b"one\n"


def test_fallbacks_of_ended_workers_are_listed_with_those_of_the_pages(scan: Path) -> None:
    in_page = Fallback(0, "mps-oom", "no memory", "mps", "float32", "cpu")
    earlier = Fallback(1, "crash", "signal 11", "mps", "float32", "fresh-worker")
    pages = [replace(page(0, "one"), fallbacks=(in_page,)), page(1, "two")]
    rendered = sidecar.render(
        Source("scan.png", 1, "0" * 64),
        pages,
        backend=BACKEND,
        task="text",
        formats=("json",),
        earlier_failures=[earlier],
    )
    document = json.loads(rendered["json"])
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    fallbacks = [(f["page"], f["kind"], f["then"]) for f in document["engine"]["fallbacks"]]
    assert fallbacks == [(0, "mps-oom", "cpu"), (1, "crash", "fresh-worker")]
    assert document["warnings"] == [
        "page 1 was read after a failure (mps-oom on mps)",
        "page 2 was read after a failure (crash on mps)",
    ]
