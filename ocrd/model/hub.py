"""Fetch from the hub: the list of a revision's files, and one file's bytes, resumed when cut.

This is the only use of huggingface_hub, which provides endpoints, tokens, proxies, redirects and
errors (`HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`, ...). Its `hf_hub_download` is not used: since
2.x it downloads into a file whose name is used only once, and removes that file when it is
interrupted, so 6 GB start again after every stop. The `http_get` below it loses up to 10 MB with
each broken connection.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from ocrd.errors import ConfigError, ModelError, ModelUnavailable
from ocrd.model.hashes import OnBytes
from ocrd.model.hub_errors import is_retryable, translate_hub_errors
from ocrd.model.manifest import Manifest, ManifestEntry, is_commit, is_model_file

# huggingface_hub reads these when it is first imported. It sends telemetry before anything else
# unless told not to; what the user has set has priority. A download by Xet's own protocol cannot be
# resumed after a kill; one by plain HTTP can.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")

# Connections in a row that may bring nothing before a download fails.
MAX_TRIES_WITHOUT_PROGRESS = 5
RECONNECT_DELAY_S = 1.0


def cache_folders() -> tuple[Path, Path]:
    """Return huggingface_hub's cache of repositories and transformers' cache of code.

    Raises:
        ConfigError: An environment variable of huggingface_hub has an invalid value.
    """
    try:
        from huggingface_hub import constants
    except ValueError as error:  # an invalid number or address
        raise ConfigError(
            f"one of the HF_... environment variables is invalid ({error}); correct or unset it"
        ) from error
    modules = os.environ.get("HF_MODULES_CACHE") or Path(constants.HF_HOME, "modules")
    return Path(constants.HF_HUB_CACHE).absolute(), Path(modules).absolute()


def list_revision(repo: str, revision: str) -> Manifest:
    """Return the model files of ``repo`` at ``revision`` (a commit, branch or tag).

    Raises:
        ModelUnavailable: A retry may help (no network, a busy hub).
        ModelError: A retry cannot help (no such repository or revision, no access, no model in it).
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    with translate_hub_errors(f"{repo} at {revision}"):
        api = HfApi()
        commit = api.repo_info(repo, revision=revision).sha
        if commit is None or (is_commit(revision) and commit != revision):
            raise ModelUnavailable(
                f"the hub returned {commit} for {repo} at {revision}; a retry may help"
            )
        tree = api.list_repo_tree(repo, revision=commit)
        files = {
            item.path: _entry(item)
            for item in tree
            if isinstance(item, RepoFile) and is_model_file(item.path)
        }
    if "config.json" not in files:
        raise ModelError(
            f"{repo} at {revision} has no config.json, so it is not a model; correct model.repo"
        )
    return Manifest(repo, commit, files)


def fetch(manifest: Manifest, name: str, *, target: Path, on_bytes: OnBytes) -> None:
    """Download one file, continuing where ``target`` ends.

    The bytes are not checked here.

    Args:
        manifest: Where the file is, and how large.
        name: The file's name.
        target: The partial download. It is appended to until it is complete.
        on_bytes: Called as bytes arrive.

    Raises:
        ModelUnavailable: It could not be completed; ``target`` keeps what arrived.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    entry = manifest.files[name]
    url = hf_hub_url(manifest.repo, name, revision=manifest.revision)
    with translate_hub_errors(f"{name} of {manifest.repo}"):
        metadata = get_hf_file_metadata(url, token=None, headers=build_hf_headers())
        if metadata.etag != entry.hash:  # noticed before gigabytes are downloaded
            raise ModelUnavailable(
                f"the hub has another {name} than it lists for {manifest.repo}; a retry may help"
            )
        _download(url, target, size=entry.size, on_bytes=on_bytes)


def _entry(item: Any) -> ManifestEntry:
    if item.lfs:
        return ManifestEntry(item.lfs.size, sha256=item.lfs.sha256)
    return ManifestEntry(item.size, blob_id=item.blob_id)


def _download(url: str, target: Path, *, size: int, on_bytes: OnBytes) -> None:
    """Append to ``target`` until it has ``size`` bytes, reconnecting when a connection breaks."""
    import httpx2
    from huggingface_hub import errors

    target.touch()
    tries_without_progress = 0
    while True:
        before = target.stat().st_size
        if before >= size:
            return
        try:
            _append(url, target, size=size, on_bytes=on_bytes)
        except (httpx2.TransportError, errors.HfHubHTTPError) as error:
            if not is_retryable(error):
                raise
            progress = target.stat().st_size > before
            tries_without_progress = 0 if progress else tries_without_progress + 1
            if tries_without_progress > MAX_TRIES_WITHOUT_PROGRESS:
                raise
            time.sleep(RECONNECT_DELAY_S)
        else:
            received = target.stat().st_size
            if received < size:
                raise OSError(f"{received} of {size} bytes were received")


def _append(url: str, target: Path, *, size: int, on_bytes: OnBytes) -> None:
    """Download what ``target`` lacks, in one connection."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

    start = target.stat().st_size
    # No compression: the bytes must be the file's.
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with (
        # The redirect is followed again each time: the address behind it expires within hours.
        http_stream_backoff(
            "GET",
            url,
            headers=headers,
            timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
            # Retries are ours: the library would sleep as long as the server asks for, silently.
            retry_on_exceptions=(),
            retry_on_status_codes=(),
        ) as response,
        target.open("ab") as file,
    ):
        hf_raise_for_status(response)
        is_partial = response.status_code == HTTPStatus.PARTIAL_CONTENT
        _check_length(response.headers, size - start if is_partial else size, size=size)
        if start and not is_partial:
            file.truncate(0)
            on_bytes(-start)
        for data in response.iter_bytes():
            file.write(data)
            on_bytes(len(data))


def _check_length(headers: Mapping[str, str], expected: int, *, size: int) -> None:
    """Raise OSError unless exactly the missing bytes follow.

    A login page has status 200 too. So what was downloaded is kept until the right length is
    offered.
    """
    offered = headers.get("Content-Length")
    if offered != str(expected):
        raise OSError(f"{offered or 'an unknown number of'} bytes were offered instead of {size}")
