"""Translate the errors of the hub's client into ours, with what the user can do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from ocrd.errors import ModelError, ModelUnavailable

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

# HTTP statuses after which a retry may help.
RETRYABLE_STATUS = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


def is_retryable(error: Exception) -> bool:
    """Whether a broken connection, or an answer of the hub, may be better the next time."""
    from huggingface_hub import errors

    if isinstance(error, errors.HfHubHTTPError):
        return error.response.status_code in RETRYABLE_STATUS
    return True


@contextmanager
def translate_hub_errors(what: str) -> Iterator[None]:
    """Translate whatever the hub's client raises.

    Args:
        what: The file or repository that is fetched, for the message.

    Raises:
        ModelUnavailable: A retry may help (no network, a busy hub, a full disk).
        ModelError: A retry cannot help (no such repository, no access).
    """
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except ImportError as error:  # a SOCKS proxy needs a package of its own
        raise ModelError(
            f"{what}: the proxy that the environment names cannot be used ({error})"
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise ModelUnavailable(
            f"{what} cannot be fetched while HF_HUB_OFFLINE is set; unset it, or run: ocrd model "
            "heal --from PATH",
            needs_user=True,
        ) from error
    except errors.HfHubHTTPError as error:
        raise _translate_answer(error, what) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, errors.FileMetadataError) as error:
        raise ModelUnavailable(
            f"{what}: the hub cannot be reached ({_first_line(error)}); is there a network?"
        ) from error
    except errors.HFValidationError as error:
        raise ModelError(
            f"{what}: not a valid name for a hub; correct model.repo and model.revision"
        ) from error
    except OSError as error:
        # A full disk, for example, or an answer with fewer bytes than promised.
        reason = error.strerror or _first_line(error)
        raise ModelUnavailable(
            f"{what}: the download failed ({reason}); a retry may help"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelUnavailable(
            f"{what}: the answer is not a hub's ({type(error).__name__}); check HF_ENDPOINT, and "
            "whether the network has a login page"
        ) from error


def _translate_answer(error: HfHubHTTPError, what: str) -> ModelError:
    from huggingface_hub import errors

    permanent = (
        (
            errors.GatedRepoError,
            f"{what} is gated: ask for access on its page, then set HF_TOKEN or run: hf auth login",
        ),
        (
            errors.RevisionNotFoundError,
            f"{what}: the hub has no such revision; correct model.revision",
        ),
        (
            errors.RepositoryNotFoundError,
            f"{what}: the hub has no such repository, or it is private; correct model.repo, or set "
            "HF_TOKEN",
        ),
    )
    for kind, message in permanent:
        if isinstance(error, kind):
            return ModelError(message)
    status = error.response.status_code
    if status == HTTPStatus.UNAUTHORIZED:
        return ModelError(
            f"{what}: the hub refuses the token (401); correct HF_TOKEN or run: hf auth login"
        )
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return ModelUnavailable(
            f"{what}: the hub lists it but does not have it (404); a retry may help"
        )
    if status in RETRYABLE_STATUS:
        return ModelUnavailable(
            f"{what}: the hub is busy or out of order ({status}); a retry may help"
        )
    return ModelUnavailable(
        f"{what}: the hub answered {status} ({_first_line(error)}); a retry may help"
    )


def _first_line(error: Exception) -> str:
    return str(error).split("\n", maxsplit=1)[0] or type(error).__name__
