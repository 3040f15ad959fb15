"""Progress on standard error: in place on a terminal, only lasting lines elsewhere."""

from __future__ import annotations

import io

from ocrd.cli.progress_line import MAX_LENGTH, ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_line_replaces_the_previous_one() -> None:
    terminal = Terminal()
    line = ProgressLine(terminal)
    line.update("page 1")
    line.update("page 2")
    line.clear()
    assert terminal.getvalue() == "\r\033[Kpage 1\r\033[Kpage 2\r\033[K"


def test_a_lasting_line_removes_the_progress_before_it() -> None:
    terminal = Terminal()
    line = ProgressLine(terminal)
    line.update("page 1")
    line.print_above("a.png: done")
    assert terminal.getvalue() == "\r\033[Kpage 1\r\033[Ka.png: done\n"


def test_a_long_line_is_cut() -> None:
    terminal = Terminal()
    ProgressLine(terminal).update("x" * 1000)
    assert terminal.getvalue() == "\r\033[K" + "x" * MAX_LENGTH


def test_elsewhere_only_lasting_lines_are_printed() -> None:
    output = io.StringIO()
    line = ProgressLine(output)
    line.update("page 1")
    line.clear()
    line.print_above("a.png: done")
    assert output.getvalue() == "a.png: done\n"
