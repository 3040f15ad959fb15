"""``ocrd demo``: the real daemon on a temporary inbox with the pocket model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrd.cli.app import JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocrd.demo import DemoResult


def demo(*, as_json: JsonOption = False) -> None:
    """Read three pictures with a small model, as a demonstration.

    A daemon runs on a temporary inbox. Your configuration, queue and inboxes are not touched.
    """
    import json

    from ocrd.demo import MAX_ERROR_RATE, run_demo
    from ocrd.errors import SomeFilesFailed

    results = run_demo()
    if as_json:
        print(json.dumps([vars(r) | {"error_rate": r.error_rate} for r in results], indent=2))
    else:
        _print_results(results)
    if not all(result.is_good for result in results):
        raise SomeFilesFailed(
            f"a picture was read with more than {MAX_ERROR_RATE:.0%} wrong characters; "
            "check this machine with: ocrd doctor"
        )


def _print_results(results: Iterable[DemoResult]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        "picture", "drawn", "read", "character errors", title="The pocket model's reading"
    )
    for result in results:
        table.add_row(result.picture, result.drawn, Text(result.read), f"{result.error_rate:.1%}")
    Console().print(table)
