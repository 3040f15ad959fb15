"""The hub, as far as ocrd needs it.

What a revision holds, and one file's bytes, resumed where they were cut.

A thin edge over huggingface_hub, which brings endpoints, tokens, proxies, redirects and errors
(`HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`, ...). Its `hf_hub_download` is not used: since 2.x it
downloads into a file with a name that is used once, and removes that when it is interrupted, so 6
GB begin anew after every stop; and the `http_get` below it loses up to 10 MB with each connection
that breaks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from ocrd.errors import ConfigError, ModelError, ModelUnavailable
from ocrd.model.hashes import OnBytes
from ocrd.model.manifest import Entry, Manifest, is_commit, is_wanted

# Read when huggingface_hub is first imported. It calls home before anything else unless told not
# to; the user's own word goes first. Xet's own protocol cannot be resumed after a kill, plain HTTP
# can.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")

# Connections in a row that may bring nothing before a download is given up for now.
BARREN_TRIES = 5
# Seconds before a broken connection is made again.
PAUSE = 1.0
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


def cache_folders() -> tuple[Path, Path]:
    """huggingface_hub's cache of repositories and transformers' cache of code, as the
    environment says.
    """
    try:
        from huggingface_hub import constants
    except ValueError as error:  # a number that is none, an address that is none
        raise ConfigError(
            f"one of the HF_... variables cannot be understood ({error}); mend or unset it"
        ) from error
    modules = os.environ.get("HF_MODULES_CACHE")
    return Path(constants.HF_HUB_CACHE).absolute(), (
        Path(modules) if modules else Path(constants.HF_HOME, "modules")
    ).absolute()


def list_revision(repo: str, revision: str) -> Manifest:
    """What ``repo`` holds at ``revision`` (a commit, branch or tag).

    Raises ModelUnavailable for what may pass (no network, a busy hub), ModelError for what will not
    (no such repository or revision, no access, no model in it).
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    with _clear_errors(f"{repo} at {revision}"):
        api = HfApi()
        commit = api.repo_info(repo, revision=revision).sha
        if commit is None or (is_commit(revision) and commit != revision):
            raise ModelUnavailable(
                f"the hub gave {commit} when asked for {repo} at {revision}; trying again may help"
            )
        found = [
            e
            for e in api.list_repo_tree(repo, revision=commit)
            if isinstance(e, RepoFile) and is_wanted(e.path)
        ]
        files = {
            e.path: Entry(e.lfs.size, sha256=e.lfs.sha256)
            if e.lfs
            else Entry(e.size, blob_id=e.blob_id)
            for e in found
        }
    if "config.json" not in files:
        raise ModelError(
            f"{repo} at {revision} holds no config.json, so it is no model; mend model.repo"
        )
    return Manifest(repo, commit, files)


def fetch(manifest: Manifest, name: str, *, part: Path, on_bytes: OnBytes) -> None:
    """Bring ``part`` to the whole of file ``name``, going on where it ends.

    The bytes are not checked here.

    Raises ModelUnavailable when it could not be had whole; what came is kept in ``part``.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    entry = manifest.files[name]
    url = hf_hub_url(manifest.repo, name, revision=manifest.revision)
    with _clear_errors(f"{name} of {manifest.repo}"):
        about = get_hf_file_metadata(url, token=None, headers=build_hf_headers())
        if about.etag != entry.hash:  # seen before gigabytes come
            raise ModelUnavailable(
                f"the hub offers another {name} than it lists for {manifest.repo}; trying later"
            )
        _download(url, part, size=entry.size, on_bytes=on_bytes)


def _download(url: str, part: Path, *, size: int, on_bytes: OnBytes) -> None:
    """Append to ``part`` until it has ``size`` bytes; a connection that breaks is made again."""
    import httpx2
    from huggingface_hub import errors

    part.touch()
    barren = 0
    while (before := part.stat().st_size) < size:
        try:
            _append(url, part, size=size, on_bytes=on_bytes)
        except (httpx2.TransportError, errors.HfHubHTTPError) as error:
            if (
                isinstance(error, errors.HfHubHTTPError)
                and error.response.status_code not in PASSING
            ):
                raise
            barren = 0 if part.stat().st_size > before else barren + 1
            if barren > BARREN_TRIES:
                raise
            time.sleep(PAUSE)
        else:
            if part.stat().st_size < size:
                raise OSError(f"{part.stat().st_size} of {size} bytes came")


def _append(url: str, part: Path, *, size: int, on_bytes: OnBytes) -> None:
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

    at = part.stat().st_size
    headers = build_hf_headers() | {
        "Accept-Encoding": "identity"
    }  # no compression: the bytes must be the file's
    if at:
        headers["Range"] = f"bytes={at}-"
    with (
        # The hub's own redirect is followed anew each time: the address behind it expires within
        # hours.
        http_stream_backoff(
            "GET",
            url,
            headers=headers,
            timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
            retry_on_exceptions=(),
            # the library would sleep as long as the server says, and nobody would know
            retry_on_status_codes=(),
        ) as answer,
        part.open("ab") as file,
    ):
        hf_raise_for_status(answer)
        # A login page answers 200 as well: what is here is kept until just what is missing is
        # offered, not more either.
        goes_on = answer.status_code == HTTPStatus.PARTIAL_CONTENT
        promised = answer.headers.get("Content-Length")
        if promised != str(size - at if goes_on else size):
            raise OSError(
                f"{promised or 'an unknown number of'} bytes were offered instead of {size}"
            )
        if at and not goes_on:
            file.truncate(0)
            on_bytes(-at)
        for data in answer.iter_bytes():
            file.write(data)
            on_bytes(len(data))


@contextmanager
def _clear_errors(what: str) -> Iterator[None]:
    """The client's many errors as two of ours, each a sentence that says what can be done."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except ImportError as error:  # a SOCKS proxy needs a package of its own
        raise ModelError(
            f"{what}: the network cannot be used as the environment asks ({error})"
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise ModelUnavailable(
            f"{what} cannot be fetched while HF_HUB_OFFLINE is set; unset it, or run: ocrd model heal --from PATH",
            soon=False,
        ) from error
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{what} is gated: ask for access on its page, then set HF_TOKEN or run: hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"{what}: the hub knows no such revision; mend model.revision") from error
    except errors.RemoteEntryNotFoundError as error:
        raise ModelUnavailable(
            f"{what}: the hub lists it but does not give it (404); trying later"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"{what}: the hub knows no such repository, or it is private; mend model.repo, or set HF_TOKEN"
        ) from error
    except errors.HfHubHTTPError as error:
        raise _after_status(what, error.response.status_code, error=error) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, errors.FileMetadataError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise ModelUnavailable(
            f"{what}: the hub cannot be reached ({reason}); is there a network?"
        ) from error
    except errors.HFValidationError as error:
        raise ModelError(
            f"{what}: no name that a hub can know; mend model.repo and model.revision"
        ) from error
    except OSError as error:
        # The disk is full, say; or http_get's own word that fewer bytes came than were promised.
        reason = error.strerror or str(error).split("\n")[0]
        raise ModelUnavailable(
            f"{what}: fetching it was interrupted ({reason}); trying later"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelUnavailable(
            f"{what}: the answer was no hub's ({type(error).__name__}); is HF_ENDPOINT right, or a login page between?"
        ) from error


def _after_status(what: str, status: int, *, error: Exception) -> ModelError:
    if status == 401:
        return ModelError(
            f"{what}: the hub refuses the token (401); mend HF_TOKEN or run: hf auth login"
        )
    if status in PASSING:
        return ModelUnavailable(f"{what}: the hub is busy or out of order ({status}); trying later")
    return ModelUnavailable(
        f"{what}: the hub answered {status} ({str(error).split(chr(10))[0]}); trying later"
    )
