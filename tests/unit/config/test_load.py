"""A configuration file is read from its place, and a broken one is named with what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from ocrd.config import InvalidConfig, load_config, log_warnings, parse_config, read_config
from ocrd.errors import ConfigError


def file_with(folder: Path, content: str | bytes) -> Path:
    path = folder / "c.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_named_file_has_to_exist(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    with pytest.raises(ConfigError) as caught:
        load_config(missing)
    assert str(caught.value) == (
        f"{missing}: there is no such file; make one with: ocrd init --config {missing}"
    )


def test_without_a_file_in_the_usual_place_the_defaults_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OCRD_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    loaded = read_config()
    assert loaded.path == tmp_path / "ocrd/config.toml" and not loaded.exists
    assert loaded.config == load_config() == parse_config({}, "c.toml")


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_wrong_settings_are_named_with_the_file(tmp_path: Path) -> None:
    path = file_with(tmp_path, "[log]\nkeep = 0\n")
    with pytest.raises(InvalidConfig) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}: log.keep is 0; it must be a whole number of at least 1"
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[engine\n", "expected ']' at the end of a table declaration (at line 1, column 8)"),
        ("[engine]\n[engine]\n", "cannot declare engine twice (at line 2, column 8)"),
        (
            '[a."it\'s x"]\n[a."it\'s x"]\n',
            'cannot declare a."it\'s x" twice (at line 2, column 12)',
        ),
        ("x = 1\nx = 2\n", "a key is given twice (at line 2, column 6)"),
        ('x = "a\n', "a string has no closing quote (at line 1, column 7)"),
        ("x = True\n", "invalid value (at line 1, column 5)"),
        (b"x = 1\ny = '\xff'\n", "line 2 contains the byte 0xff, which is not UTF-8"),
        (f"x = {'1' * 5000}\n", "it contains a number with too many digits"),
        (f"x = {'[' * 5000}\n", "it is nested too deeply"),
    ],
)
def test_broken_toml_is_named_with_its_place(
    tmp_path: Path, content: str | bytes, reason: str
) -> None:
    path = file_with(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}: is not valid TOML ({reason})"


def test_a_byte_order_mark_of_a_windows_editor_is_ignored(tmp_path: Path) -> None:
    assert load_config(file_with(tmp_path, "\ufeff[log]\nkeep = 7\n")).log.keep == 7


def test_an_old_name_is_read_with_a_warning(tmp_path: Path) -> None:
    path = file_with(tmp_path, "[[inbox]]\npath = '/a'\n[[inbox]]\npath = '/b'\nwait = 9\n")
    loaded = read_config(path, renamed={"inbox.wait": "inbox.settle"})
    assert [inbox.settle for inbox in loaded.config.inbox] == [2.0, 9.0]
    (warning,) = loaded.warnings
    assert str(warning) == "inbox[2].wait is now called inbox[2].settle; please rename it"


def test_an_old_name_is_in_the_log(tmp_path: Path) -> None:
    path = file_with(tmp_path, "[log]\nfiles = 3\n")
    with structlog.testing.capture_logs() as events:
        log_warnings(read_config(path, renamed={"log.files": "log.keep"}))
    assert events == [
        {
            "event": "a setting has a new name",
            "log_level": "warning",
            "component": "config",
            "old": "log.files",
            "new": "log.keep",
            "file": str(path),
        }
    ]


def test_a_mistake_under_an_old_name_is_explained_under_the_new_one(tmp_path: Path) -> None:
    path = file_with(tmp_path, "[log]\nfiles = 0\n")
    with pytest.raises(InvalidConfig, match=r"log\.keep is 0; it must be"):
        read_config(path, renamed={"log.files": "log.keep"})
