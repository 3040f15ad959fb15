"""What parent and worker say to each other: JSON lines over two private pipes.

Not over stdout: libraries print there. Lines are ASCII (json escapes the rest), so a file name with
bytes that are no UTF-8 travels as lone surrogates and comes out the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any


@dataclass(frozen=True)
class Setup:
    """What the worker loads once, at its start."""

    # `ModelConfig` as JSON.
    model: dict[str, Any]
    device: str
    dtype: str
    mode: str
    # How often in a row the model may be out of reach before it is given up; None for never.
    tries: int | None = None
    # An earlier worker died while loading: hash every byte first.
    distrust: bool = False
    max_fallbacks: int = 3
    cool_down: float = 600.0
    # Pages decoded at once; None for as many as there is memory for.
    batch: int | None = None
    skip_blank: bool = True
    # Variables that torch reads when it is imported; what the user set himself stays.
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One document to read, from page ``start`` on."""

    job: str
    path: str
    task: str
    start: int
    max_new_tokens: int
    page_deadline: float
    dpi: int
    max_bytes: int
    max_pixels: int
    # The worker was started anew for this document, after another could not go on.
    fresh: bool = False
    # Its pages are read one by one: a worker died over it, perhaps of too many at once.
    alone: bool = False

    @property
    def file(self) -> Path:
        return Path(self.path)


# Worker to parent, by ``event``:
#
# preparing state: verifying | healing, phase, done, total, speed, left; or waiting, message,
# seconds loading   done (0..1) canary    within (seconds in which the shipped picture is read, or
# the device hangs) ready     device, dtype, mode, torch, transformers, model (repo, revision),
# skipped (devices that did not pass), batch,
#           tuned (choice, throughput)
# alive     nothing: every few seconds while something is done, whatever it waits for
# drawing   job: the next page of a document is being drawn
# reading   job, page, within (seconds until a sign of its text): each try of a page
# opened    job, pages
# tokens    job, page, count
# page      job, reading
# finished  job, memory (bytes of the process, of the device's driver)
# retire    job, message, fallbacks: only a new worker can read this; the old one is used up
# apart     message: what is left of several documents has to be read one by one
# refused   job, reason, message, error (class): the document, the model or the engine says no
# transient job, message: the file system said no; try again later
# log       level, message, fields
Message = dict[str, Any]


def asking(requests: Sequence[Request]) -> Message:
    """One document, or several pictures of one page each that are read together."""
    return {"requests": [asdict(request) for request in requests]}


def asked(line: bytes) -> list[Request]:
    """What `asking` said."""
    return [Request(**request) for request in json.loads(line)["requests"]]


def send(pipe: IO[bytes], message: Message | Setup) -> None:
    body = message if isinstance(message, dict) else asdict(message)
    pipe.write(json.dumps(body).encode("ascii") + b"\n")
    pipe.flush()


def parse(line: bytes) -> Message | None:
    """A message, or None for a line that is none.

    The pipe is private, but a bug must not end the daemon.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
