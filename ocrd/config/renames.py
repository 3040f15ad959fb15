"""Settings that have a new name. The old name is still read, with a warning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Old name to new name, as `table.setting`: {"inbox.wait": "inbox.settle"}. A setting may also move
# to another table, but neither into nor out of [[inbox]], of which there can be several. Every
# name is the right one today.
RENAMED: Mapping[str, str] = {}

Data = dict[str, Any]


@dataclass(frozen=True)
class RenamedSetting:
    """An old name that is in the file.

    Attributes:
        old: Its dotted path in the file, such as ``inbox[2].wait``.
        new: The dotted path that replaces it.
    """

    old: str
    new: str

    def __str__(self) -> str:
        """A sentence for the user."""
        return f"{self.old} is now called {self.new}; please rename it"


@dataclass(frozen=True)
class Renaming:
    """A configuration in which every setting has its new name.

    Attributes:
        data: The configuration; the data that was read is unchanged.
        warnings: The old names that were replaced.
        problems: One sentence for each setting that is given under both names.
    """

    data: Data
    warnings: tuple[RenamedSetting, ...]
    problems: tuple[str, ...]


def replace_old_names(data: Data, renamed: Mapping[str, str] = RENAMED) -> Renaming:
    """Give every setting in ``data`` its new name.

    What is not a table where a table has to be is left as it is, for the check that follows.
    """
    data = {name: _copied(table) for name, table in data.items()}
    warnings: list[RenamedSetting] = []
    problems: list[str] = []
    for old, new in renamed.items():
        old_table, _, old_key = old.partition(".")
        new_table, _, new_key = new.partition(".")
        for place, table in _tables(data, old_table):
            moves = new_table != old_table
            target = data.setdefault(new_table, {}) if moves and old_key in table else table
            if old_key not in table or not isinstance(target, dict):
                continue
            target_place = new_table if moves else place
            found = RenamedSetting(f"{place}.{old_key}", f"{target_place}.{new_key}")
            value = table.pop(old_key)
            if new_key in target:
                problems.append(
                    f"{found.old} is the old name of {found.new}, and both are given; "
                    f"remove {found.old}"
                )
            else:
                target[new_key] = value
                warnings.append(found)
    return Renaming(data, tuple(warnings), tuple(problems))


def _copied(table: Any) -> Any:
    if isinstance(table, dict):
        return dict(table)
    if isinstance(table, list):
        return [dict(entry) if isinstance(entry, dict) else entry for entry in table]
    return table


def _tables(data: Data, name: str) -> Iterator[tuple[str, Data]]:
    """Each table of this name, with its dotted path."""
    table = data.get(name)
    if isinstance(table, dict):
        yield name, table
    elif isinstance(table, list):
        for number, entry in enumerate(table, start=1):
            if isinstance(entry, dict):
                yield f"{name}[{number}]", entry
