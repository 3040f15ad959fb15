"""Which file names in an inbox are never read, and which folders are never entered."""

from __future__ import annotations

from pathlib import PurePath

from ocrd.files import TEMPORARY_PREFIX

# Outputs are never inputs, whatever suffixes are configured. Otherwise text would be read again
# (OCRmyPDF 484).
_SIDECARS = frozenset({".txt", ".json", ".md"})

# Names that browsers and copy programs give a file until it is complete. Safari's `.download` is a
# folder.
_UNFINISHED = frozenset({".part", ".partial", ".crdownload", ".download", ".tmp"})

# Finder's folder icon, unpacked resource forks, and the private folders of network storage. In
# lower case.
_SYSTEM = frozenset({"icon\r", "__macosx", "@eadir", "#recycle", "$recycle.bin"})

# Folders that Finder shows as one file: a program put the pictures there, not a person.
_PROGRAM_BUNDLES = (
    ".app",
    ".bundle",
    ".framework",
    ".kext",
    ".lproj",
    ".pkg",
    ".plugin",
    ".scptd",
    ".xcodeproj",
)
_MEDIA_BUNDLES = (
    ".aplibrary",
    ".fcpbundle",
    ".imovielibrary",
    ".migratedphotolibrary",
    ".musiclibrary",
    ".photolibrary",
    ".photoslibrary",
    ".tvlibrary",
)
_DOCUMENT_BUNDLES = (".key", ".numbers", ".pages", ".rtfd")
_DISK_BUNDLES = (".pvm", ".sparsebundle", ".vmwarevm")
_BUNDLES = frozenset((*_PROGRAM_BUNDLES, *_MEDIA_BUNDLES, *_DOCUMENT_BUNDLES, *_DISK_BUNDLES))

_PREFIXES = (
    (TEMPORARY_PREFIX, "a temporary file of ocrd"),
    ("._", "the resource fork of another file"),
    (".", "a hidden file"),
    ("~$", "the lock of an open document"),
)


def ignore_reason(name: str, suffixes: frozenset[str]) -> str | None:
    """Why a file of this name is not read, None when it is.

    Args:
        name: The file's name, in any case.
        suffixes: The suffixes to read, in lower case with their dot (``.png``).
    """
    for prefix, reason in _PREFIXES:
        if name.startswith(prefix):
            return reason
    if name.lower() in _SYSTEM:
        return "a file of the system"
    suffix = PurePath(name).suffix.lower()
    if suffix in _UNFINISHED:
        return "a download or copy that is not finished"
    if suffix in _SIDECARS:
        return "a text file, such as ocrd writes"
    if not suffix:
        return "a name without a suffix"
    return None if suffix in suffixes else f"not a kind of file that ocrd reads ({suffix})"


def is_ignored_folder(name: str) -> bool:
    """Whether a folder of this name is ignored with everything in it."""
    suffix = PurePath(name).suffix.lower()
    return (
        name.startswith(".")
        or name.lower() in _SYSTEM
        or suffix in _UNFINISHED
        or suffix in _BUNDLES
    )
