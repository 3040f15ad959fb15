"""The published schema of JSON sidecars, and sidecars that follow it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

SCHEMA = json.loads(
    (Path(__file__).parents[1] / "docs/sidecar.schema.json").read_text(encoding="utf-8")
)


def read_sidecar(path: Path) -> dict[str, Any]:
    """The JSON sidecar of the file at ``path``, checked against the schema."""
    sidecar = path.with_name(f"{path.name}.json")
    document: dict[str, Any] = json.loads(sidecar.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return document
