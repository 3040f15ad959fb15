"""Which names in an inbox are never read, and which folders are never entered.

Names in, verdicts out.
"""

from __future__ import annotations

from pathlib import PurePath

# Outputs are never inputs, whatever the configuration calls readable: else text is read again
# (OCRmyPDF 484).
_SIDECARS = frozenset({".txt", ".json", ".md"})

# What browsers and copy programs call a file until it is whole; `.download` (Safari) is a folder.
_UNFINISHED = frozenset({".part", ".partial", ".crdownload", ".download", ".tmp"})

# Finder's folder icon, unpacked resource forks, and the private folders of network storage; lower
# case.
_SYSTEM = frozenset({"icon\r", "__macosx", "@eadir", "#recycle", "$recycle.bin"})

# Folders that Finder shows as one file: the pictures inside are a program's, not dropped by a
# person.
_BUNDLES = frozenset(
    {
        *(
            ".app",
            ".bundle",
            ".framework",
            ".plugin",
            ".kext",
            ".pkg",
            ".lproj",
            ".xcodeproj",
            ".scptd",
        ),
        *(
            ".photoslibrary",
            ".photolibrary",
            ".migratedphotolibrary",
            ".aplibrary",
            ".musiclibrary",
            ".tvlibrary",
        ),
        *(
            ".imovielibrary",
            ".fcpbundle",
            ".rtfd",
            ".pages",
            ".key",
            ".numbers",
            ".sparsebundle",
            ".pvm",
            ".vmwarevm",
        ),
    }
)


_PREFIXES = (
    (".ocrd-", "a temporary file of ocrd"),
    ("._", "the resource fork of another file"),
    (".", "a hidden file"),
    ("~$", "the lock of an open document"),
)


def ignore_reason(name: str, suffixes: frozenset[str]) -> str | None:
    """Why a file of this name is not read; None when it is one that we read.

    ``suffixes`` are lower case with their dot (``.png``); the case of ``name`` does not matter.
    """
    for prefix, reason in _PREFIXES:
        if name.startswith(prefix):
            return reason
    if name.lower() in _SYSTEM:
        return "a file of the system"
    return _suffix_reason(PurePath(name).suffix.lower(), suffixes)


def _suffix_reason(suffix: str, suffixes: frozenset[str]) -> str | None:
    if suffix in _UNFINISHED:
        return "a download or copy that is not finished"
    if suffix in _SIDECARS:
        return "text, such as ocrd writes"
    if suffix not in suffixes:
        return (
            f"not a kind of file that ocrd reads ({suffix})"
            if suffix
            else "a name without a suffix"
        )
    return None


def skip_folder(name: str) -> bool:
    """Whether a folder of this name is left alone with everything in it."""
    suffix = PurePath(name).suffix.lower()
    return (
        name.startswith(".")
        or name.lower() in _SYSTEM
        or suffix in _UNFINISHED
        or suffix in _BUNDLES
    )
