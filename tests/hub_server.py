"""The HTTP side of the hub of `tests.hub`."""

from __future__ import annotations

import hashlib
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.conftest import HUB_PORT
from tests.hub import LARGE_FILE_BYTES, HubRequest, LocalHub, etag_of

BLOCK_BYTES = 65536
# How long a stalled answer waits for the client to disconnect.
STALL_TIMEOUT_S = 20


def make_server(hub: LocalHub) -> ThreadingHTTPServer:
    class Handler(_Handler):
        pass

    Handler.hub = hub
    return _Server(("127.0.0.1", HUB_PORT), Handler)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that are killed are what these tests are about


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
        self.hub.requests.append(
            HubRequest(
                self.command,
                path,
                self.headers["Range"],
                self.headers["Authorization"],
                self.headers["Host"],
            )
        )
        if faults.answer is not None:
            return self._send(200, faults.answer, {"Content-Type": "text/html"})
        for part, statuses in faults.status.items():
            if part in path and statuses:
                # A redirect leads to itself.
                return self._send(statuses.pop(0), b"{}", {"Location": self.path})
        if path.startswith("/api/models/"):
            return self._answer_api(path.removeprefix("/api/models/"))
        if path.startswith("/cdn/"):
            _, _, repo, commit, name = path.split("/", 4)
            return self._send_file(name, self.hub.repos[repo.replace("--", "/")][commit][name], {})
        if "/resolve/" in path:
            return self._answer_resolve(*path.strip("/").split("/resolve/", 1))
        return self._send(404, b"{}")

    def _find(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit and its files; None when an error was sent."""
        token = self.hub.token
        allowed = token is None or self.headers["Authorization"] == f"Bearer {token}"
        if repo not in self.hub.repos or not allowed:
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

    def _answer_api(self, path: str) -> None:
        kind = "/revision/" if "/revision/" in path else "/tree/"
        repo, revision = path.split(kind, 1)
        found = self._find(repo, revision.strip("/"))
        if found is None:
            return
        commit, files = found
        if kind == "/revision/":
            siblings = [{"rfilename": name} for name in files]
            sha = self.hub.faults.commit or commit
            answer: Any = {"id": repo, "sha": sha, "siblings": siblings}
        else:
            answer = [_listing_entry(name, data) for name, data in files.items()]
            for entry in answer:
                if entry["path"] == "tokenizer.json":
                    entry.update(self.hub.faults.listed)
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})
        if kind == "/revision/":
            self.hub.faults.on_resolved()

    def _answer_resolve(self, repo: str, rest: str) -> None:
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
        if len(data) < LARGE_FILE_BYTES:
            self._send_file(name, data, headers)
            return
        # Under another name of this machine: a token must not follow there.
        location = f"http://localhost:{HUB_PORT}/cdn/{repo.replace('/', '--')}/{commit}/{name}"
        headers |= {
            "X-Linked-Size": str(len(data)),
            "X-Linked-ETag": f'"{etag}"',
            "Location": location,
        }
        self._send(302, b"", headers)

    def _send_file(self, name: str, data: bytes, headers: dict[str, str]) -> None:
        faults = self.hub.faults
        start = 0
        status = 200
        requested_range = self.headers["Range"]
        if requested_range and not faults.no_ranges:
            start = int(requested_range.removeprefix("bytes=").split("-")[0])
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
        # A connection that was kept would go on speaking to this hub after its test.
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(body, name)

    def _send_body(self, body: bytes, name: str | None) -> None:
        faults = self.hub.faults
        cut = faults.cut[name].pop(0) if name and faults.cut.get(name) else None
        stall = faults.stall[name].pop(0) if name and faults.stall.get(name) else None
        end = cut if cut is not None else stall if stall is not None else len(body)
        for start in range(0, end, BLOCK_BYTES):
            self.wfile.write(body[start : min(start + BLOCK_BYTES, end)])
            self.wfile.flush()
            if faults.pause_s and name:
                time.sleep(faults.pause_s)
        if stall is not None:
            self.connection.settimeout(STALL_TIMEOUT_S)
            self.connection.recv(1)
        if cut is not None:
            faults.on_cut()
        if cut is not None or stall is not None:
            self.close_connection = True
            self.connection.close()


def _listing_entry(name: str, data: bytes) -> dict[str, Any]:
    if "/" in name:
        return {"type": "directory", "oid": "0" * 40, "path": name.split("/", maxsplit=1)[0]}
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data)}
    if len(data) < LARGE_FILE_BYTES:
        return entry | {"oid": etag_of(data)}
    lfs = {"oid": etag_of(data), "size": len(data), "pointerSize": 134}
    return entry | {"oid": hashlib.sha1(name.encode()).hexdigest(), "lfs": lfs}
