"""ocrd turns pictures and PDFs into text with DeepSeek-OCR, locally.

This module is the public Python API; everything else in the package is internal. Importing it is
cheap: PyTorch is imported when `DeepSeekOCR` is used for the first time.

Example:
    Read a picture with the small model that ships with ocrd. For other pictures, give the folder
    of the real model to `DeepSeekOCR`.

    >>> from PIL import Image
    >>> from ocrd import POCKET_MODEL, DeepSeekOCR
    >>> ocr = DeepSeekOCR(POCKET_MODEL, device="cpu")
    >>> for block in ocr.recognize(Image.open(POCKET_MODEL / "demo" / "receipt.png")):
    ...     print(block.text)
    Coffee 3.20
    Total 14.75

``docs/python-api.md`` describes the rest: boxes, PDFs, modes, devices, errors.
"""

from __future__ import annotations

# As typing.TYPE_CHECKING for type checkers, but importing typing would take most of the time.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from ocrd.documents.document import Document, open_document
    from ocrd.documents.page import DocumentLimits, Page
    from ocrd.engine.decode import DecodeLimits
    from ocrd.engine.progress import PageProgress
    from ocrd.engine.recognizer import DeepSeekOCR
    from ocrd.errors import DocumentError, EngineError, ModelError, OcrdError, UsageError
    from ocrd.paths import POCKET_MODEL
    from ocrd.types import Attempt, Block, PageReading

    __version__: str

__all__ = [
    "POCKET_MODEL",
    "Attempt",
    "Block",
    "DecodeLimits",
    "DeepSeekOCR",
    "Document",
    "DocumentError",
    "DocumentLimits",
    "EngineError",
    "ModelError",
    "OcrdError",
    "Page",
    "PageProgress",
    "PageReading",
    "UsageError",
    "__version__",
    "open_document",
]

# The module of each public name. The imports above are the same for type checkers.
_MODULES = {
    "POCKET_MODEL": "ocrd.paths",
    "Attempt": "ocrd.types",
    "Block": "ocrd.types",
    "DecodeLimits": "ocrd.engine.decode",
    "DeepSeekOCR": "ocrd.engine.recognizer",
    "Document": "ocrd.documents.document",
    "DocumentError": "ocrd.errors",
    "DocumentLimits": "ocrd.documents.page",
    "EngineError": "ocrd.errors",
    "ModelError": "ocrd.errors",
    "OcrdError": "ocrd.errors",
    "Page": "ocrd.documents.page",
    "PageProgress": "ocrd.engine.progress",
    "PageReading": "ocrd.types",
    "UsageError": "ocrd.errors",
    "open_document": "ocrd.documents.document",
}

# Not for type checkers, which would accept any name then.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name when it is used for the first time (PEP 562)."""
        if name == "__version__":
            value = _read_version()
        elif name in _MODULES:
            from importlib import import_module

            value = getattr(import_module(_MODULES[name]), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


def _read_version() -> str:
    # importlib.metadata takes longer to import than `ocrd --help` may.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("deepseek-ocrd")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"
