"""Markup becomes plain text, and nothing but markup is lost."""

from __future__ import annotations

import pytest

from ocrd.engine.grounding.plain_text import to_plain_text


@pytest.mark.parametrize(("label", "markup", "text"), [
    ("title", "# Big", "Big"),
    ("title", "##   **Big**  ", "Big"),
    ("title", "# One\n# Two", "One\nTwo"),
    ("title", "#1 in the **world**", "#1 in the **world**"),
    ("title", "**a** or **b**", "**a** or **b**"),
    ("title", "***", "***"),
    ("text", "# not a title, **bold**", "# not a title, **bold**"),
    ("text", "a<BR/>b<br>c", "a\nb\nc"),
    ("text", '<p align="center">one</p><p>two</p>', "one\ntwo"),
    ("text", "<center>one</center>\ntwo", "one\ntwo"),
    ("text", "H<sub>2</sub>O <b>b</b> <i>i</i> <u>u</u> <strong>s</strong> <em>e</em>",
     "H2O b i u s e"),
    ("text", "<div class='x'><span style=y>in</span></div>", "in"),
    ("text", "if a <b and c> d: x<y>z <!-- & --> <td>", "if a <b and c> d: x<y>z <!-- & --> <td>"),
    ("text", "&lt;b&gt; AT&amp;T", "&lt;b&gt; AT&amp;T"),
    ("text", "\n\n    def f():\n        return 1  \n\n", "def f():\n        return 1"),
])  # fmt: skip
def test_formats_are_removed(label: str, markup: str, text: str) -> None:
    assert to_plain_text(markup, label) == text


@pytest.mark.parametrize(("markup", "text"), [
    ("<table><tr><td>a</td><td>b</td></tr></table>", "a\tb"),
    ("<table><tr><td>a<td>b<tr><td>c", "a\tb\nc"),
    ("<TABLE border>\n<thead>\n <TR>\n  <TH colspan='2'>a</TH>\n </TR>\n</thead>\n</TABLE>", "a"),
    ("<table><tr><td></td><td>b</td></tr><tr><td>c</td><td></td></tr></table>", "\tb\nc\t"),
    ("<table><tr><td></td></tr></table>", ""),
    ("<td>one\n\ttwo<br>three</td><td><p>x</p><p>y</p></td>", "one two three\tx y"),
    ("<td>a &lt;b&gt; &amp; &#99;&#x63; &nosuch; AT&T &copy</td>",
     "a <b> & cc &nosuch; AT&T &copy"),
    (f"<td>a&#12;b&#8;&#0;&#{'9' * 5000};</td>", f"a b\ufffd&#{'9' * 5000};"),
    ("Above\n\n<table><caption>Cap</caption><tr>stray<td>a</td>lost<td>b</td></tr></table>\nBelow",
     "Above\nCap\nstray\na\tlost\tb\nBelow"),
    ("<td>x<table><tr><td>in</td></tr></table>y</td>", "x\nin\ny"),
    ("<td>a <b and c> <x> 1<2</td>", "a <b and c> <x> 1<2"),
    ("| a | b |\n|---|---|\n| 1 | 2 |", "| a | b |\n|---|---|\n| 1 | 2 |"),
    ("<td>&lt;|ref|&gt;</td>", ""),
    ("Next&#12;page", "Next\npage"),
])  # fmt: skip
def test_a_table_becomes_rows_of_cells(markup: str, text: str) -> None:
    assert to_plain_text(markup, "table") == text
