"""A hub on this machine, as far as huggingface_hub asks for one, that can fail in every way that
a real one does.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.conftest import HUB_PORT

# Files from this size on are large ones: known by sha256, and served from elsewhere behind a
# redirect.
LARGE = 50_000


def commit_of(seed: str) -> str:
    return hashlib.sha1(seed.encode()).hexdigest()


@dataclass
class Faults:
    """Each is used up: a fault for three requests lets the fourth through.

    A name with an endless count never mends.
    """

    # Close the connection after so many bytes of a file's answer.
    cut: dict[str, list[int]] = field(default_factory=dict)
    # Change a byte in the middle of so many answers.
    flip: dict[str, int] = field(default_factory=dict)
    # Answer a request whose path holds this text with these codes, one after another.
    status: dict[str, list[int]] = field(default_factory=dict)
    # What happens to the repository while the client waits to go on.
    on_cut: Callable[[], None] = lambda: None
    # What happens after a branch's commit was told.
    on_resolved: Callable[[], None] = lambda: None
    # Say nothing more after so many bytes, until the client hangs up.
    stall: dict[str, list[int]] = field(default_factory=dict)
    # Another hash in a file's headers than in the listing.
    offered: dict[str, str] = field(default_factory=dict)
    # Another commit than the one that was asked for.
    commit: str | None = None
    # What the listing says of the tokenizer instead.
    listed: dict[str, object] = field(default_factory=dict)
    # So many megabytes more than a file has.
    surplus: dict[str, int] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    no_ranges: bool = False
    # Seconds after each 64 KB, to make downloads last.
    pause: float = 0.0
    # What a login page says to everything.
    answer: bytes | None = None


@dataclass
class Asked:
    method: str
    path: str
    range: str | None
    authorization: str | None
    host: str


class LocalHub:
    """Repositories by name, their revisions by commit, their files by name.

    Branches point at commits.
    """

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.branches: dict[str, str] = {}
        self.faults = Faults()
        self.asked: list[Asked] = []
        self.gated: set[str] = set()
        self.token: str | None = None

    def publish(self, repo: str, files: dict[str, bytes], *, seed: str = "first") -> str:
        commit = commit_of(repo + seed)
        self.repos.setdefault(repo, {})[commit] = files
        self.branches["main"] = commit
        return commit

    def fetched(self, name: str) -> list[Asked]:
        """The requests for a file's bytes, not only for what the hub knows of it."""
        return [
            a
            for a in self.asked
            if a.method == "GET" and a.path.endswith(f"/{name}") and "/api/" not in a.path
        ]

    @property
    def bytes_asked(self) -> int:
        return sum(1 for a in self.asked if a.method == "GET" and "/api/" not in a.path)

    @contextmanager
    def serving(self) -> Iterator[LocalHub]:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        server = _Server(("127.0.0.1", HUB_PORT), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that were killed in the middle are what these tests are about


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        faults = self.hub.faults
        self.hub.asked.append(
            Asked(
                self.command,
                path,
                self.headers["Range"],
                self.headers["Authorization"],
                self.headers["Host"],
            )
        )
        if faults.answer is not None:
            return self._send(200, faults.answer, {"Content-Type": "text/html"})
        for part, codes in faults.status.items():
            if part in path and codes:
                # A redirect leads to where it came from.
                return self._send(codes.pop(0), b"{}", {"Location": self.path})
        if path.startswith("/api/models/"):
            return self._api(path.removeprefix("/api/models/"))
        if path.startswith("/cdn/"):
            _, _, repo, commit, name = path.split("/", 4)
            return self._file(name, self.hub.repos[repo.replace("--", "/")][commit][name], {})
        if "/resolve/" in path:
            return self._resolve(*path.strip("/").split("/resolve/", 1))
        return self._send(404, b"{}")

    def _find(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit and its files; None when the answer, a refusal, was sent."""
        if repo not in self.hub.repos or (
            self.hub.token and self.headers["Authorization"] != f"Bearer {self.hub.token}"
        ):
            self._send(401, b"{}", {"X-Error-Code": "RepoNotFound"})
            return None
        if repo in self.hub.gated:
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"})
            return None
        commit = self.hub.branches.get(revision, revision)
        if commit not in self.hub.repos[repo]:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return None
        return commit, self.hub.repos[repo][commit]

    def _api(self, path: str) -> None:
        kind = "/revision/" if "/revision/" in path else "/tree/"
        repo, revision = path.split(kind, 1)
        found = self._find(repo, revision.strip("/"))
        if found is None:
            return
        commit, files = found
        if kind == "/revision/":
            siblings = [{"rfilename": name} for name in files]
            answer: Any = {
                "id": repo,
                "sha": self.hub.faults.commit or commit,
                "siblings": siblings,
            }
        else:
            answer = [_listed(name, data) for name, data in files.items()]
            for entry in answer:
                if entry["path"] == "tokenizer.json":
                    entry.update(self.hub.faults.listed)
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})
        if kind == "/revision/":
            self.hub.faults.on_resolved()

    def _resolve(self, repo: str, rest: str) -> None:
        revision, name = rest.split("/", 1)
        found = self._find(repo, revision)
        if found is None:
            return
        commit, files = found
        if name not in files or name in self.hub.faults.lost:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        data = files[name]
        etag = self.hub.faults.offered.get(name, etag_of(data))
        headers = {"X-Repo-Commit": self.hub.faults.commit or commit, "ETag": f'"{etag}"'}
        if len(data) < LARGE:
            self._file(name, data, headers)
            return
        # Under another name of this machine: a token must not follow there.
        where = f"http://localhost:{HUB_PORT}/cdn/{repo.replace('/', '--')}/{commit}/{name}"
        headers |= {
            "X-Linked-Size": str(len(data)),
            "X-Linked-ETag": f'"{etag}"',
            "Location": where,
        }
        self._send(302, b"", headers)

    def _file(self, name: str, data: bytes, headers: dict[str, str]) -> None:
        faults = self.hub.faults
        start = 0
        status = 200
        asked = self.headers["Range"]
        if asked and not faults.no_ranges:
            start = int(asked.removeprefix("bytes=").split("-")[0])
            if start >= len(data):
                self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            status = 206
            headers = headers | {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        if self.command == "GET" and faults.flip.get(name, 0) > 0:
            faults.flip[name] -= 1
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        if self.command == "GET":
            data += bytes(faults.surplus.get(name, 0) * 10**6)
        self._send(status, data[start:], headers | {"Accept-Ranges": "bytes"}, name)

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        name: str | None = None,
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        # A connection that were kept would go on speaking to this hub after its test.
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        faults = self.hub.faults
        cut = faults.cut[name].pop(0) if name and faults.cut.get(name) else None
        stall = faults.stall[name].pop(0) if name and faults.stall.get(name) else None
        end = cut if cut is not None else stall if stall is not None else len(body)
        for at in range(0, end, 65536):
            self.wfile.write(body[at : min(at + 65536, end)])
            self.wfile.flush()
            if faults.pause and name:
                time.sleep(faults.pause)
        if stall is not None:
            self.connection.settimeout(20)
            self.connection.recv(1)
        if cut is not None:
            faults.on_cut()
        if cut is not None or stall is not None:
            self.close_connection = True
            self.connection.close()


def etag_of(data: bytes) -> str:
    """As the hub names a file's content: sha256 for large ones, git's blob id for small ones."""
    if len(data) >= LARGE:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _listed(name: str, data: bytes) -> dict[str, Any]:
    if "/" in name:
        return {"type": "directory", "oid": "0" * 40, "path": name.split("/", maxsplit=1)[0]}
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data)}
    if len(data) < LARGE:
        return entry | {"oid": etag_of(data)}
    lfs = {"oid": etag_of(data), "size": len(data), "pointerSize": 134}
    return entry | {"oid": hashlib.sha1(name.encode()).hexdigest(), "lfs": lfs}
