"""``ocrd init``: a configuration file and the inbox folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrd.cli.app import ConfigOption


def init(
    config: ConfigOption = None,
    inbox: Annotated[
        Path | None, typer.Option(help="Watch this folder instead of ~/OCR/inbox.")
    ] = None,
    *,
    pocket: Annotated[
        bool, typer.Option("--pocket", help="Use the small demonstration model.")
    ] = False,
) -> None:
    """Write a short configuration file and create the inbox folders. Never overwrites."""
    from ocrd import paths
    from ocrd.config import is_managed, load_config, model_dir
    from ocrd.service.first_run import create_folder, missing_folders, write_config

    where = config or paths.config_file()
    if write_config(where, inbox, pocket=pocket):
        print(f"wrote {where}")
    else:
        unused = ", so --inbox and --pocket have no effect" if pocket or inbox else ""
        print(f"kept {where} as it is{unused}")
    settings = load_config(where)
    if is_managed(settings.model) and not model_dir(settings.model).exists():
        print(
            "the model, several gigabytes, is fetched at the first start; "
            "or now with: ocrd model heal"
        )
    made = missing_folders(entry.path for entry in settings.inbox)
    for folder in made:
        create_folder(folder)
    for entry in settings.inbox:
        print(f"{'created' if entry.path in made else 'watching'} {entry.path}")
