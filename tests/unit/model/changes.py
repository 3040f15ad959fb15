"""Changes to a model's files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ocrd.model.manifest import MANIFEST_FILE


def edit_config(model: Path, **values: int) -> None:
    """Change the decoder's values in config.json."""
    config = json.loads((model / "config.json").read_text())
    config["language_config"].update(values)
    (model / "config.json").write_text(json.dumps(config))


def edit_manifest(model: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest's files."""
    data = json.loads((model / MANIFEST_FILE).read_text())
    edit(data["files"])
    (model / MANIFEST_FILE).write_text(json.dumps(data))


def flip_byte(path: Path, offset: int, *, keep_time: bool = True) -> None:
    """Change one byte; with ``keep_time``, the file's status does not change."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
