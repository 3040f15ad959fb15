"""The typer application and the options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="ocrd",
    help="Text from dropped pictures and PDFs, locally, with DeepSeek-OCR.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich costs 150 ms here, half of what --help may take
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="The configuration file.", envvar="OCRD_CONFIG", readable=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def _print_version(*, wanted: bool) -> None:
    if wanted:
        import ocrd

        print(ocrd.__version__)
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and end.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass
