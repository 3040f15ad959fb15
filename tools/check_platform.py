"""Stop the set-up with one clear sentence where the pinned versions cannot be installed.

It runs before anything is installed and on Pythons that are too old for ocrd, so it imports only
the standard library and uses only syntax that Python 3.6 knows. `make platforms` checks that the
pinned versions do resolve on each supported platform.
"""

import os
import platform
import sys

OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 14)
# torch 2.13 has wheels for macOS 14 and newer on Apple Silicon, and for Linux with glibc 2.28
# and newer.
OLDEST_MACOS = 14
OLDEST_GLIBC = (2, 28)
LINUX_MACHINES = ("x86_64", "aarch64", "arm64")
# What a Python that was built against an old SDK reads as the version of any newer macOS.
MASKED_MACOS = "10.16"

PLATFORMS = (
    "macOS 14 or newer on Apple Silicon, and Linux (glibc 2.28 or newer) on x86-64 and arm64"
)


def unsupported_reason(
    *,
    system: str,
    machine: str,
    python: "tuple[int, int]",
    pointer_bits: int = 64,
    macos: str = "",
    glibc: str = "",
) -> str:
    """Why ocrd cannot be installed here and what to do, in one sentence; empty where it can.

    Args:
        system: The operating system, as `platform.system()` names it.
        machine: The processor, as `platform.machine()` names it.
        python: Major and minor version of the running Python.
        pointer_bits: 32 or 64.
        macos: The version of macOS, such as "14.5"; empty elsewhere.
        glibc: The version of glibc, such as "2.36"; empty elsewhere, and on Linux without glibc.
    """
    if not OLDEST_PYTHON <= python <= NEWEST_PYTHON:
        return (
            f"ocrd needs Python {_dotted(OLDEST_PYTHON)} to {_dotted(NEWEST_PYTHON)}, and this is "
            f"Python {_dotted(python)}: install one of these and name it, as in: "
            "make setup PYTHON=python3.13"
        )
    if pointer_bits != 64:
        return (
            "ocrd needs a 64-bit Python, and this one has 32 bits: install a 64-bit one and name "
            "it, as in: make setup PYTHON=python3.13"
        )
    if system == "Darwin":
        return _unsupported_mac(machine, macos)
    if system == "Linux":
        return _unsupported_linux(machine, glibc)
    return f"ocrd does not run on {system or 'this system'}; it runs on {PLATFORMS}"


def _unsupported_mac(machine: str, macos: str) -> str:
    if machine != "arm64":
        return (
            f"ocrd needs a Mac with Apple Silicon, and this Python runs on {machine}: PyTorch has "
            "no new versions for Intel Macs; on Apple Silicon install an arm64 Python and name it, "
            "as in: make setup PYTHON=/opt/homebrew/bin/python3.13"
        )
    major = macos.split(".", maxsplit=1)[0]
    if macos != MASKED_MACOS and major.isdigit() and int(major) < OLDEST_MACOS:
        return (
            f"ocrd needs macOS {OLDEST_MACOS} or newer, because PyTorch does, and this is macOS "
            f"{macos}: update macOS"
        )
    return ""


def _unsupported_linux(machine: str, glibc: str) -> str:
    if machine not in LINUX_MACHINES:
        return (
            f"ocrd does not run on Linux on {machine}, because PyTorch has no build for it; "
            f"it runs on {PLATFORMS}"
        )
    if not glibc:
        return (
            "ocrd needs a Linux with glibc, and this one has another C library, for which PyTorch "
            "has no build: use a distribution such as Debian, Ubuntu or Fedora"
        )
    if tuple(int(part) for part in glibc.split(".")[:2]) < OLDEST_GLIBC:
        return (
            f"ocrd needs glibc {_dotted(OLDEST_GLIBC)} or newer, because PyTorch does, and this "
            f"system has {glibc}: use a newer release of your distribution"
        )
    return ""


def _dotted(version: "tuple[int, int]") -> str:
    return ".".join(str(number) for number in version)


def _glibc_version() -> str:
    try:
        answer = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):  # another C library, or another system
        return ""
    return answer.split()[-1] if answer else ""


def main() -> None:
    """Exit with the reason where this machine is not supported."""
    reason = unsupported_reason(
        system=platform.system(),
        machine=platform.machine(),
        python=sys.version_info[:2],
        pointer_bits=64 if sys.maxsize > 2**32 else 32,
        macos=platform.mac_ver()[0],
        glibc=_glibc_version(),
    )
    if reason:
        sys.exit(reason)


if __name__ == "__main__":
    main()
