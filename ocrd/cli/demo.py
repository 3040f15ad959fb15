"""``ocrd demo``: the real daemon on a temporary inbox with the pocket model."""

from __future__ import annotations

from ocrd.cli.app import JsonOption


def demo(*, as_json: JsonOption = False) -> None:
    """Start a daemon with the pocket model, drop three pictures, and show what it read."""
    import json

    from ocrd.demo import run_demo
    from ocrd.errors import SomeFilesFailed

    results = run_demo()
    if as_json:
        print(json.dumps([vars(r) | {"error_rate": r.error_rate} for r in results], indent=2))
    else:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(
            "picture",
            "drawn",
            "read",
            "character errors",
            title="The pocket model, a demonstration",
        )
        for result in results:
            table.add_row(
                result.picture, result.drawn, Text(result.read), f"{result.error_rate:.1%}"
            )
        Console().print(table)
    if not all(result.good for result in results):
        raise SomeFilesFailed("not every picture was read with at most 5% character errors")
