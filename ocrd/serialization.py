"""Frozen dataclasses to JSON and back, checked by pydantic.

Lines are ASCII: JSON escapes everything else, so a file name with bytes that are not UTF-8 travels
as lone surrogates and arrives unchanged. pydantic's own JSON reader and writer refuse those.
"""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, cast

from ocrd.types import EncodedReading, PageReading

T = TypeVar("T")


class Codec(Generic[T]):
    """JSON of one dataclass, or of a union of dataclasses that differ in one literal field.

    The checks are compiled at first use: most commands never need them.

    Args:
        kind: The dataclass or union.
        tag: The literal field that tells the members of a union apart.
    """

    def __init__(self, kind: Any, tag: str | None = None) -> None:
        self._kind = kind
        self._tag = tag

    def encode(self, value: T) -> str:
        """The JSON text, in ASCII and without line breaks."""
        return json.dumps(self._adapter.dump_python(value), default=_plain)

    def decode(self, text: str | bytes) -> T:
        """The value of its JSON text.

        Raises:
            ValueError: The text is not JSON, or not such a value.
        """
        from pydantic import ValidationError

        try:
            return cast("T", self._adapter.validate_python(json.loads(text)))
        except RecursionError as error:
            raise ValueError("the JSON text is nested too deeply") from error
        except ValidationError as error:
            # pydantic's own text repeats the whole input.
            problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3]]
            raise ValueError("; ".join(problems)) from error

    @cached_property
    def _adapter(self) -> Any:
        from pydantic import Field, TypeAdapter

        kind: Any = self._kind
        if self._tag:
            kind = Annotated[kind, Field(discriminator=self._tag)]
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        return adapter


def _plain(value: object) -> str:
    """What JSON has no form for: paths, and whatever a log event carries."""
    return os.fspath(value) if isinstance(value, Path) else str(value)


_READINGS: Codec[PageReading] = Codec(PageReading)


def encode_reading(reading: PageReading) -> EncodedReading:
    """The reading as JSON text."""
    return EncodedReading(reading.index, _READINGS.encode(reading))


def decode_reading(encoded: EncodedReading) -> PageReading:
    """The reading of its JSON text.

    Raises:
        ValueError: The text is not a reading of this version of ocrd.
    """
    return _READINGS.decode(encoded.json)
