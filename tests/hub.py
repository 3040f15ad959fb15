"""A hub on this machine that can fail in every way that a real one does.

It answers what huggingface_hub asks for; `tests.hub_server` speaks HTTP.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

# Files from this size on are large: known by their sha256, and served from elsewhere through a
# redirect.
LARGE_FILE_BYTES = 50_000


@dataclass
class Faults:
    """What goes wrong. Counted faults are used up: after three faulty answers, the fourth is good.

    Attributes:
        cut: By file name: close the connection after so many bytes of each answer.
        stall: By file name: send nothing more after so many bytes, until the client disconnects.
        flip: By file name: change a byte in the middle of so many answers.
        status: By a part of the path: answer with these statuses, one after another.
        on_cut: Called when a connection is cut.
        on_resolved: Called when the commit of a branch was sent.
        offered: By file name: another hash in the headers than in the listing.
        commit: Another commit than the one that was asked for.
        listed: Other fields in the listing of the tokenizer.
        surplus: By file name: so many megabytes more than the file has.
        lost: Files that are listed, but not served.
        no_ranges: Always send the whole file.
        pause_s: After each 64 KB, to make downloads last.
        answer: The body of every answer, as of a login page.
    """

    cut: dict[str, list[int]] = field(default_factory=dict)
    stall: dict[str, list[int]] = field(default_factory=dict)
    flip: dict[str, int] = field(default_factory=dict)
    status: dict[str, list[int]] = field(default_factory=dict)
    on_cut: Callable[[], None] = lambda: None
    on_resolved: Callable[[], None] = lambda: None
    offered: dict[str, str] = field(default_factory=dict)
    commit: str | None = None
    listed: dict[str, object] = field(default_factory=dict)
    surplus: dict[str, int] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    no_ranges: bool = False
    pause_s: float = 0.0
    answer: bytes | None = None


@dataclass
class HubRequest:
    """What a client asked for."""

    method: str
    path: str
    range: str | None
    authorization: str | None
    host: str

    @property
    def is_download(self) -> bool:
        """Whether it is for a file's bytes, and not for what the hub knows about it."""
        return self.method == "GET" and "/api/" not in self.path

    @property
    def file_name(self) -> str:
        return self.path.rsplit("/", 1)[1]


class LocalHub:
    """Repositories by name, their revisions by commit, their files by name."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        # The commits of branches.
        self.branches: dict[str, str] = {}
        self.faults = Faults()
        self.requests: list[HubRequest] = []
        self.gated: set[str] = set()
        self.token: str | None = None

    def publish(self, repo: str, files: dict[str, bytes], *, seed: str = "first") -> str:
        """Add a revision, which becomes the main branch: its commit."""
        commit = hashlib.sha1((repo + seed).encode()).hexdigest()
        self.repos.setdefault(repo, {})[commit] = files
        self.branches["main"] = commit
        return commit

    def downloads_of(self, name: str) -> list[HubRequest]:
        return [request for request in self.downloads() if request.file_name == name]

    def downloads(self) -> list[HubRequest]:
        return [request for request in self.requests if request.is_download]

    @contextmanager
    def serving(self) -> Iterator[LocalHub]:
        from tests.hub_server import make_server

        server = make_server(self)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def etag_of(data: bytes) -> str:
    """As the hub names a file's content: sha256 for large ones, git's blob id for small ones."""
    if len(data) >= LARGE_FILE_BYTES:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
