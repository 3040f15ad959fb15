"""Check that a new copy of the model fits on the disk, before anything is changed."""

from __future__ import annotations

from ocrd.errors import ModelUnavailable
from ocrd.model.fetch_plan import FetchPlan
from ocrd.model.staging import partial_bytes
from ocrd.model.storage import ModelStorage
from ocrd.paths import nearest_existing_folder
from ocrd.units import format_size

# Bytes that stay free beyond what the model needs, as a full disk stops other programs too. Not
# more than the model itself needs.
RESERVE_BYTES = 64 * 1024 * 1024


def must_remove_first(plan: FetchPlan, storage: ModelStorage, *, free_bytes: int) -> bool:
    """Whether the new copy only fits after the other copies are removed.

    Args:
        plan: Where each file comes from.
        storage: The model's paths.
        free_bytes: Free space on the disk of the model's folder.

    Raises:
        ModelUnavailable: It does not fit in any case; the message says how much is missing.
    """
    staging = storage.staging.path
    downloaded = sum(
        partial_bytes(staging, name, entry=entry)
        for name, entry in plan.manifest.files.items()
        if plan.method(name) == "fetch"
    )
    needed = plan.bytes_by("fetch", "copy") - downloaded
    needed += min(RESERVE_BYTES, max(0, needed))
    device = nearest_existing_folder(storage.repo_folder).stat().st_dev
    removable = sum(
        copy.removable_bytes()
        for copy in plan.removals
        if copy.exists() and copy.path.stat().st_dev == device
    )
    if needed > free_bytes + removable:
        missing = needed - free_bytes - removable
        raise ModelUnavailable(
            f"the model needs {format_size(needed)} on the disk of {storage.models_folder}, which "
            f"has {format_size(free_bytes)} free: {format_size(missing)} are missing. Free some "
            "space, or set model.folder to a folder on another disk",
            needs_user=True,
        )
    return needed > free_bytes
