"""``python -m ocrd`` and the ``ocrd`` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its code."""
    from ocrd.cli import run_cli

    raise SystemExit(run_cli())


if __name__ == "__main__":
    main()
