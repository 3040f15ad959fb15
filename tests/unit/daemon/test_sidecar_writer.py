"""Sets of sidecars are complete, and never replace what the user made."""

from __future__ import annotations

import pytest

from ocrd.files import hash_bytes
from tests.job_bench import JobBench, fingerprint, page, reads


def names(bench: JobBench) -> list[str]:
    return sorted(path.name for path in bench.inbox.iterdir() if path.name != "scan.png")


def replace_picture(bench: JobBench, text: str, *, data: bytes) -> None:
    """The picture is replaced by another, which is read as ``text``."""
    bench.drop(data=data)
    bench.run(reads(page(0, text)))


def test_a_reading_ends_as_a_set_of_sidecars(bench: JobBench) -> None:
    path = bench.drop()
    bench.run(reads(page(0), page(1)))
    assert path.with_name("scan.png.txt").read_text() == "hello\n\fhello\n"
    assert bench.counts() == {"done": 1}


def test_a_set_that_a_killed_daemon_left_incomplete_is_completed(bench: JobBench) -> None:
    path = bench.drop()
    job = bench.run(reads(page(0)))
    path.with_name("scan.png.json").unlink()  # as if the kill had come before the last file
    bench.journal.jobs.drop(job.id)
    assert bench.journal.jobs.add(path, bench.inbox, fingerprint=fingerprint(path))
    bench.run(reads(page(0)))
    assert names(bench) == ["scan.png.json", "scan.png.txt"]


def test_a_picture_that_changed_has_its_set_replaced(bench: JobBench) -> None:
    bench.drop()
    bench.run(reads(page(0)))
    replace_picture(bench, "other", data=b"another picture")
    assert names(bench) == ["scan.png.json", "scan.png.txt"]
    assert (bench.inbox / "scan.png.txt").read_text() == "other\n"


@pytest.mark.parametrize("edited", ["scan.png.txt", "scan.png.json"])
def test_a_sidecar_that_the_user_edited_stays_and_the_new_set_gets_a_number(
    bench: JobBench, edited: str
) -> None:
    bench.drop()
    bench.run(reads(page(0)))
    path = bench.inbox / edited
    users = path.read_text().replace("hello", "hullo")
    path.write_text(users)
    replace_picture(bench, "other", data=b"another picture")
    assert path.read_text() == users
    assert (bench.inbox / "scan.png-2.txt").read_text() == "other\n"


def test_a_set_without_json_is_known_as_ours_too(bench: JobBench) -> None:
    bench.configure({"formats": ["txt"]})
    bench.drop()
    bench.run(reads(page(0)))
    replace_picture(bench, "other", data=b"another picture")
    assert names(bench) == ["scan.png.txt"]


def test_two_inboxes_with_one_output_folder_do_not_replace_each_others_sets(
    bench: JobBench,
) -> None:
    out = bench.folder / "out"
    second = bench.folder / "in2"
    second.mkdir()
    bench.configure({"output": str(out)}, {"path": str(second), "output": str(out)})
    bench.drop()
    bench.run(reads(page(0, "first")))
    other = second / "scan.png"
    other.write_bytes(b"another picture")
    assert bench.journal.jobs.add(other, second, fingerprint=fingerprint(other))
    bench.run(reads(page(0, "second")))
    assert (out / "scan.png.txt").read_text() == "first\n"
    assert (out / "scan.png-2.txt").read_text() == "second\n"


def test_a_set_that_a_kill_left_half_replaced_is_replaced_completely(bench: JobBench) -> None:
    path = bench.drop()
    bench.run(reads(page(0)))
    # The next picture's set was planned and its first file written. Then came the kill, and a
    # third picture.
    text = path.with_name("scan.png.txt")
    bench.journal.outputs.plan(path, {text: hash_bytes(b"second\n")})
    text.write_bytes(b"second\n")
    replace_picture(bench, "third", data=b"a third picture")
    assert names(bench) == ["scan.png.json", "scan.png.txt"]
    assert text.read_text() == "third\n"
