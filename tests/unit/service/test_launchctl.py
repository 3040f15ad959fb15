"""The meaning of launchctl's exit codes and of its list of disabled services."""

from __future__ import annotations

import pytest

from ocrd.service.launchctl import LaunchctlResult, classify, is_disabled
from ocrd.system_commands import CommandResult


def test_every_exit_code_of_public_reports_has_a_meaning() -> None:
    meanings = {
        0: "OK",
        1: "FAILED",
        3: "NO_SUCH_SERVICE",
        5: "IO_ERROR",
        36: "IN_PROGRESS",
        37: "IN_PROGRESS",
        64: "FAILED",
        112: "NO_DOMAIN",
        113: "NO_SUCH_SERVICE",
        119: "DISABLED",
        125: "NO_DOMAIN",
        -9: "FAILED",
    }
    assert {code: classify(CommandResult(code)).name for code in meanings} == meanings
    assert set(meanings.values()) == {result.name for result in LaunchctlResult}


@pytest.mark.parametrize(
    ("listing", "disabled"),
    [
        ('disabled services = {\n\t"local.ocrd" => disabled\n}', True),
        ('disabled services = {\n\t"local.ocrd" => enabled\n}', False),
        ('disabled services = {\n\t"local.ocrd" => true\n}', True),
        ('disabled services = {\n\t"local.ocrd" => false\n}', False),
        (
            'disabled services = {\n\t"local.ocrd.other" => disabled\n\t"x.local.ocrd" => true\n}',
            False,
        ),
        ("", False),
    ],
)
def test_disabled_is_recognised_on_old_and_new_releases(listing: str, disabled: bool) -> None:
    assert is_disabled("local.ocrd", listing) is disabled
