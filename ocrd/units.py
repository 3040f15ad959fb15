"""Numbers with their units, as text."""

from __future__ import annotations


def format_size(size_bytes: float) -> str:
    """Return a size with three digits: ``6.67 GB``, ``10.5 MB``, ``89 bytes``."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size_bytes >= factor:
            digits = 2 if size_bytes < 10 * factor else 1
            return f"{size_bytes / factor:.{digits}f} {unit}"
    return f"{size_bytes:.0f} bytes"
