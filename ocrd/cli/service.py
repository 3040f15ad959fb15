"""``ocrd install``, ``uninstall``, ``start``, ``stop``, ``restart``.

The service, and what comes with it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrd.cli.app import ConfigOption

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")]


def install(
    config: ConfigOption = None,
    *,
    dry_run: DryRun = False,
    inbox: Annotated[
        Path | None, typer.Option(help="For a new configuration: watch this folder.")
    ] = None,
    pocket: Annotated[
        bool,
        typer.Option(
            "--pocket", help="For a new configuration: use the small demonstration model."
        ),
    ] = False,
    domain: Annotated[
        str | None,
        typer.Option(
            help="launchd's: gui, where somebody logs in at the screen, or user, for ssh alone."
        ),
    ] = None,
) -> None:
    """Write what is missing (configuration, folders, service, Quick Action) and start the
    service.
    """
    from ocrd.errors import UsageError
    from ocrd.service.detect import detect_installation
    from ocrd.service.install import install

    if domain not in (None, "gui", "user"):
        raise UsageError(f"--domain is gui or user, not {domain}")
    for said in install(detect_installation(config, domain, dry_run=dry_run), inbox, pocket=pocket):
        print(said)


def uninstall(
    config: ConfigOption = None,
    *,
    dry_run: DryRun = False,
    model: Annotated[
        bool, typer.Option("--model", help="Remove the model that ocrd fetched, too.")
    ] = False,
) -> None:
    """Stop the service and remove what install made.

    Your files, their sidecars and the configuration stay.
    """
    from ocrd.service.detect import detect_installation
    from ocrd.service.uninstall import uninstall

    for said in uninstall(detect_installation(config, dry_run=dry_run), model=model):
        print(said)


def start() -> None:
    """Start the service."""
    from ocrd.service.lifecycle import start

    print(start())


def stop() -> None:
    """Stop the service until the next login; what is in hand is read then."""
    from ocrd.service.lifecycle import stop

    print(stop())


def restart() -> None:
    """Stop and start the service, with a changed configuration or a new version."""
    from ocrd.service.lifecycle import restart

    print(restart())


def hazel() -> None:
    """Print the recipe for Hazel, with this machine's path of ocrd."""
    from ocrd.service.detect import detect_installation
    from ocrd.service.templates import hazel_recipe

    print(hazel_recipe(detect_installation(None).context), end="")
