"""Resolution modes: the views in which the model sees a page, and which mode to use. No torch here.

The modes, their sizes and which of them stretch the page are the published code's.
"""

from __future__ import annotations

from dataclasses import dataclass

from ocrd.errors import UsageError

# Pixels on a side of a tile.
TILE_SIDE = 640
# A model that was trained on another size than the published one has one mode: its own size.
NATIVE = "native"
# ``auto``: pictures of up to so many pixels on a side, and no longer than so many times their
# width, lose nothing in ``small``, which stretches them to 640 x 640 and is a quarter of the work.
_SMALL_PICTURE_SIDE = 512
_SMALL_PICTURE_ASPECT = 2.0


@dataclass(frozen=True)
class Mode:
    """A resolution mode.

    Attributes:
        name: As in ``engine.mode``.
        view: Pixels on a side of the global view.
        tiled: Whether the model also sees larger pages in tiles.
        stretched: Whether the page is stretched to the square instead of padded, as published for
            views of up to 640 pixels.
    """

    name: str
    view: int
    tiled: bool = False
    stretched: bool = False


MODES = {
    mode.name: mode
    for mode in (
        Mode("tiny", 512, stretched=True),
        Mode("small", 640, stretched=True),
        Mode("base", 1024),
        Mode("large", 1280),
        Mode("gundam", 1024, tiled=True),
    )
}

# In which mode a page that came out as a loop is read again: other tokens give another text.
MODE_AFTER_LOOP = {
    "gundam": "base",
    "large": "base",
    "base": "large",
    "small": "base",
    "tiny": "small",
}
# The next mode that needs less memory.
_SMALLER_MODE = {"gundam": "base", "large": "base", "base": "small", "small": "tiny"}


def check_mode(name: str) -> None:
    """Check that ``name`` is a mode or ``auto``.

    Raises:
        UsageError: There is no such mode.
    """
    if name != "auto" and name not in MODES:
        raise UsageError(f"there is no resolution mode {name!r}; allowed: auto, {', '.join(MODES)}")


def choose_mode(name: str, trained_view: int, *, size: tuple[int, int]) -> Mode:
    """Choose the mode for a picture.

    Args:
        name: A mode, or ``auto`` for ``small`` where a small picture loses nothing in it, ``base``
            where one view is enough, and ``gundam`` for the others.
        trained_view: Pixels on a side of the view on which the model was trained. In ``auto``, a
            model of another size than the published one uses that view only.
        size: Width and height of the picture.

    Raises:
        UsageError: There is no such mode.
    """
    check_mode(name)
    if name != "auto":
        return MODES[name]
    if trained_view != MODES["gundam"].view:
        return Mode(NATIVE, trained_view)
    longer = max(size)
    shorter = min(size)
    if longer <= _SMALL_PICTURE_SIDE and longer <= _SMALL_PICTURE_ASPECT * shorter:
        return MODES["small"]
    return MODES["base" if longer <= TILE_SIDE else "gundam"]


def smaller_modes(name: str) -> list[str]:
    """Return the modes that need less memory than ``name``, the largest first."""
    smaller = []
    while name in _SMALLER_MODE:
        name = _SMALLER_MODE[name]
        smaller.append(name)
    return smaller
