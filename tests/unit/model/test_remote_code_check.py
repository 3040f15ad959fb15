"""The checkpoint's code is read as a tree: conversions before masked_scatter, and .cuda()."""

from __future__ import annotations

import pytest

from ocrd.model.remote_code_check import examine

BEFORE = "class M:\n    def forward(self, x, m, y):\n"


@pytest.mark.parametrize(
    "lines",
    [
        "y = y.to(device=x.device, dtype=x.dtype)\n        x.masked_scatter_(m, y)",
        "y = y.to(x.device, x.dtype)\n        x = x.masked_scatter(m, y)",
        "y = y.to(x.device)\n        y = y.to(x.dtype)\n        x.masked_scatter_(m, y)",
        "x.masked_scatter_(m, y.to(x))",
        "x.masked_scatter_(m, source=y.type_as(x))",
        "target = x[0]\n        x[0].masked_scatter_(m, y.to(x[0].device).to(x[0].dtype))",
    ],
)
def test_a_conversion_to_device_and_dtype_counts_however_it_is_written(lines: str) -> None:
    assert examine(f"{BEFORE}        {lines}\n").good


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("x.masked_scatter_(m, y)", "no device/dtype conversion before masked_scatter in line 3"),
        ("y = y.to(x.device)\n        x.masked_scatter_(m, y)", "no device/dtype conversion"),
        (
            "x.masked_scatter_(m, y)\n        y = y.to(x.device, x.dtype)",
            "no device/dtype conversion",
        ),
        (
            "z = y.to(x.device, x.dtype)\n        x.masked_scatter_(m, y)",
            "no device/dtype conversion",
        ),
        ("x.masked_scatter_(m.cuda(), y.to(x))", ".cuda() in line 3"),
        ("return x", "no masked_scatter"),
    ],
)
def test_a_problem_is_named_with_its_line(lines: str, words: str) -> None:
    findings = examine(f"{BEFORE}        {lines}\n")
    assert not findings.good and words in str(findings)


def test_a_conversion_in_another_function_does_not_count() -> None:
    other = "    def g(self, x, y):\n        y = y.to(x.device, x.dtype)\n"
    assert examine(f"{BEFORE}        x.masked_scatter_(m, y)\n{other}").unconverted == (3,)


def test_comments_and_strings_do_not_count() -> None:
    comment = '"y.to(x.device, x.dtype) .cuda()"  # .cuda()'
    code = f"{BEFORE}        {comment}\n        x.masked_scatter_(m, y)\n"
    findings = examine(code)
    assert findings.cuda_calls == () and findings.unconverted == (4,)


@pytest.mark.parametrize("code", ["def (", "\0", "(" * 100_000])
def test_text_that_is_not_python_is_reported(code: str) -> None:
    with pytest.raises(ValueError, match="not Python"):
        examine(code)
