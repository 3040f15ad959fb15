"""``ocrd init``: a configuration file and the inbox folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrd.cli.app import ConfigOption


def init(
    config: ConfigOption = None,
    inbox: Annotated[Path | None, typer.Option(help="Watch this folder instead of ~/OCR/inbox.")] = None,
    pocket: Annotated[bool, typer.Option("--pocket", help="Use the small demonstration model.")] = False,
) -> None:
    """Write a commented configuration file and make the inbox folders. Never overwrites."""
    from ocrd import paths
    from ocrd.config import is_managed, load_config, model_dir
    from ocrd.errors import ConfigError

    where = config or paths.config_file()
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        with where.open("x", encoding="utf-8") as file:
            file.write(_filled_in(paths.example_config().read_text(encoding="utf-8"), inbox, pocket))
        print(f"wrote {where}")
    except FileExistsError:
        unused = ", so --inbox and --pocket say nothing" if pocket or inbox else ""
        print(f"kept {where} as it is{unused}")
    except UnicodeEncodeError as error:
        where.unlink()
        raise ConfigError(f"{inbox!a}: TOML holds UTF-8 alone; choose an inbox with such a name") from error
    except OSError as error:
        raise ConfigError(f"{where}: cannot be written ({error.strerror})") from error
    settings = load_config(where)
    if is_managed(settings.model) and not model_dir(settings.model).exists():
        print("the model, several gigabytes, is fetched at the first start; or now with: ocrd model heal")
    for entry in settings.inbox:
        existed = entry.path.is_dir()
        try:
            entry.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{entry.path}: the inbox cannot be made ({error.strerror})") from error
        print(f"{'watching' if existed else 'made'} {entry.path}")


def _filled_in(example: str, inbox: Path | None, pocket: bool) -> str:
    import tomli_w

    if pocket:
        example = example.replace('# path = "pocket"', 'path = "pocket"')
    if inbox is not None:
        quoted = tomli_w.dumps({"path": str(inbox.expanduser().absolute())}).strip()
        example = example.replace('path = "~/OCR/inbox"', quoted)
    return example
