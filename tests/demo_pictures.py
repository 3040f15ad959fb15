"""The pictures of the demo, which the pocket model reads without an error."""

from __future__ import annotations

import json

from ocrd import paths

PICTURES = paths.POCKET_MODEL / "demo"
# The text in each picture, by the picture's file name.
DRAWN: dict[str, str] = json.loads((PICTURES / "drawn.json").read_text(encoding="utf-8"))
