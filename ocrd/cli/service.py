"""``ocrd install``, ``uninstall``, ``start``, ``stop``, ``restart`` and ``hazel``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrd.cli.app import ConfigOption

DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Only print what would be done; change nothing.")
]


def install(
    config: ConfigOption = None,
    *,
    dry_run: DryRunOption = False,
    inbox: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="The folder to watch, if there is no configuration yet."
        ),
    ] = None,
    pocket: Annotated[
        bool,
        typer.Option(
            "--pocket", help="Use the small demonstration model, if there is no configuration yet."
        ),
    ] = False,
    domain: Annotated[
        str | None,
        typer.Option(
            metavar="gui|user",
            help="On macOS: gui for a user who logs in at the screen (the default), "
            "user for one who only uses ssh.",
        ),
    ] = None,
) -> None:
    """Install the service and start it.

    Creates what is missing: the configuration file, the inbox folders, the service and, on macOS,
    a Quick Action for Finder. It can be run again at any time.
    """
    from ocrd.errors import UsageError
    from ocrd.service.detect import detect_installation
    from ocrd.service.install import install

    if domain not in (None, "gui", "user"):
        raise UsageError(f"--domain must be gui or user, not {domain}")
    installation = detect_installation(config, domain, dry_run=dry_run)
    for message in install(installation, inbox, pocket=pocket):
        print(message)


def uninstall(
    config: ConfigOption = None,
    *,
    dry_run: DryRunOption = False,
    model: Annotated[
        bool, typer.Option("--model", help="Also remove the model that ocrd downloaded.")
    ] = False,
) -> None:
    """Stop the service and remove what ocrd install created.

    Your files, their sidecars and the configuration stay.
    """
    from ocrd.service.detect import detect_installation
    from ocrd.service.uninstall import uninstall

    for message in uninstall(detect_installation(config, dry_run=dry_run), model=model):
        print(message)


def start() -> None:
    """Start the installed service."""
    from ocrd.service.lifecycle import start

    print(start())


def stop() -> None:
    """Stop the service until the next login.

    A page that is being read is read again after the next start.
    """
    from ocrd.service.lifecycle import stop

    print(stop())


def restart() -> None:
    """Restart the service.

    It then uses a changed configuration or a new version of ocrd.
    """
    from ocrd.service.lifecycle import restart

    print(restart())


def hazel() -> None:
    """Print a recipe for Hazel with this machine's path of ocrd."""
    from ocrd.service.detect import detect_installation
    from ocrd.service.templates import hazel_recipe

    print(hazel_recipe(detect_installation(None).context), end="")
