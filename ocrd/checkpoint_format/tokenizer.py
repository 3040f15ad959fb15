"""The checkpoint's ``tokenizer.json``."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from ocrd.errors import ModelError


def load_tokenizer(model_dir: Path) -> Tokenizer:
    """Read ``tokenizer.json``. Raises ModelError when it is missing or broken."""
    path = model_dir / "tokenizer.json"
    if not path.is_file():
        raise ModelError(f"{path} is missing")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception from Rust
        raise ModelError(f"{path} is not a tokenizer ({error})") from error
