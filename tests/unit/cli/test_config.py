"""``ocrd config`` checks, shows and edits the file that all commands use."""

from __future__ import annotations

import json
import shlex
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner, Result

from ocrd.cli.config import app
from ocrd.config import parse_config
from ocrd.errors import OcrdError, UsageError


class Commands:
    """``ocrd config`` of a user with an empty home folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.file = home / ".config/ocrd/config.toml"
        self.environment = {"VISUAL": "", "EDITOR": ""}

    def write(self, text: str) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(text, encoding="utf-8")

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, arguments, env=self.environment)

    def editor(self, code: str) -> str:
        """A command that runs ``code`` as an editor: ``file`` is the path that it is given."""
        script = self.home / "my editor.py"
        head = "import sys\nfrom pathlib import Path\nfile = Path(sys.argv[-1])\n"
        script.write_text(head + code, encoding="utf-8")
        return shlex.join([sys.executable, str(script), "--wait"])


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("OCRD_CONFIG", "OCRD_STATE_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    return Commands(tmp_path)


def test_path_prints_the_file_whether_it_exists_or_not(config: Commands) -> None:
    assert config("path").output == f"{config.file}\n"
    assert json.loads(config("path", "--json").output) == {
        "path": str(config.file),
        "exists": False,
    }
    assert config("path", "--config", "/c.toml").output == "/c.toml\n"
    config.environment["OCRD_CONFIG"] = "/d.toml"
    assert config("path").output == "/d.toml\n"


def test_check_says_ok(config: Commands) -> None:
    done = config("check")
    assert done.exit_code == 0
    assert done.output == f"ok: {config.file} does not exist; the defaults apply\n"
    config.write("[log]\nkeep = 3\n")
    done = config("check")
    assert done.exit_code == 0 and done.output == f"ok: {config.file}\n"


def test_check_prints_every_mistake_on_its_own_line_and_ends_with_4(config: Commands) -> None:
    config.write("[log]\nkeep = 0\n[finder]\ntag = false\n")
    sentences = [
        "log.keep is 0; it must be a whole number of at least 1",
        "finder.tag is not a setting; did you mean finder.tags?",
    ]
    done = config("check")
    assert done.exit_code == 4
    assert done.output.splitlines() == [f"{config.file}: {sentence}" for sentence in sentences]
    done = config("check", "--json")
    assert done.exit_code == 4
    assert json.loads(done.output) == {
        "path": str(config.file),
        "exists": True,
        "ok": False,
        "errors": sentences,
        "warnings": [],
    }


def test_check_explains_a_file_that_is_not_toml(config: Commands) -> None:
    config.write("[log\n")
    done = config("check")
    assert done.exit_code == 4 and done.output.startswith(f"{config.file}: is not valid TOML (")


def test_check_of_a_named_file_that_is_missing_fails(config: Commands) -> None:
    done = config("check", "--config", "/nowhere.toml")
    assert done.exit_code == 4 and "there is no such file" in done.output


def test_show_prints_the_settings_in_effect(config: Commands) -> None:
    config.write("[log]\nkeep = 3\n")
    done = config("show")
    assert done.exit_code == 0
    assert done.output.startswith(f"# {config.file}\n\n[model]\n")
    assert "keep = 3  # changed; default: 5\n" in done.output
    shown = parse_config(tomllib.loads(done.output), "shown")
    assert shown == parse_config({"log": {"keep": 3}}, "c.toml")


def test_show_changed_prints_only_what_is_not_at_its_default(config: Commands) -> None:
    assert config("show", "--changed").output == (
        f"# {config.file} does not exist; the defaults apply\n# every setting is at its default\n"
    )
    config.write("[log]\nkeep = 3\nlevel = 'info'\n")
    assert config("show", "--changed").output == (
        f"# {config.file}\n\n[log]\nkeep = 3  # changed; default: 5\n"
    )


def test_show_explain_says_what_each_setting_does(config: Commands) -> None:
    assert "# How many rotated log files are kept." in config("show", "--explain").output


def test_show_as_json(config: Commands) -> None:
    config.write("[log]\nkeep = 3\n")
    shown = json.loads(config("show", "--json").output)
    assert shown["path"] == str(config.file) and shown["exists"]
    assert shown["changed"] == ["log.keep"]
    assert shown["settings"]["log"] == {"level": "info", "max_megabytes": 10, "keep": 3}
    assert shown["settings"]["model"]["path"] is None
    changed = json.loads(config("show", "--json", "--changed").output)
    assert changed["settings"] == {"log": {"keep": 3}}


def test_schema_prints_a_json_schema(config: Commands) -> None:
    jsonschema.Draft7Validator.check_schema(json.loads(config("schema").output))


def test_edit_without_an_editor_says_what_to_do_and_writes_nothing(config: Commands) -> None:
    done = config("edit")
    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == (
        "no editor is set; set VISUAL or EDITOR, for example: EDITOR=nano ocrd config edit (or "
        f"open {config.file} yourself)"
    )
    assert not config.file.exists()


def test_edit_makes_the_short_file_first_and_checks_it_afterwards(config: Commands) -> None:
    code = "text = file.read_text()\nfile.write_text(text + '\\n[log]\\nkeep = 9\\n')\n"
    config.environment["EDITOR"] = config.editor(code)
    done = config("edit")
    assert done.exit_code == 0, done.output
    assert f"wrote {config.file}" in done.output and f"ok: {config.file}" in done.output
    assert "ocrd restart" in done.output
    assert config.file.read_text().startswith("# The configuration of ocrd.")
    assert tomllib.loads(config.file.read_text())["log"] == {"keep": 9}


def test_edit_says_what_is_wrong_after_the_editor(config: Commands) -> None:
    config.write("# mine\n")
    config.environment["EDITOR"] = config.editor("file.write_text('[log]\\nkeep = 0\\n')\n")
    done = config("edit")
    assert done.exit_code == 4 and "wrote" not in done.output
    assert "log.keep is 0; it must be a whole number of at least 1" in done.output


def test_visual_is_preferred_to_editor(config: Commands) -> None:
    config.environment["VISUAL"] = config.editor("file.with_name('seen').touch()\n")
    config.environment["EDITOR"] = "/nowhere/editor"
    assert config("edit").exit_code == 0 and config.file.with_name("seen").exists()


def test_no_shell_reads_the_editor_and_its_argument(config: Commands, tmp_path: Path) -> None:
    config.environment["EDITOR"] = (
        config.editor("file.with_name('args').write_text(repr(sys.argv[1:]))")
        + f" '$HOME' ; touch {tmp_path}/hacked"
    )
    file = tmp_path / "a $(b).toml"
    assert config("edit", "--config", str(file)).exit_code == 0
    expected = ["--wait", "$HOME", ";", "touch", f"{tmp_path}/hacked", str(file)]
    assert (tmp_path / "args").read_text() == repr(expected)
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    ("editor", "message"),
    [
        ("/nowhere/editor -x", "the editor /nowhere/editor cannot be started"),
        ("'vi", "EDITOR is not a command line (No closing quotation)"),
    ],
)
def test_an_editor_that_cannot_be_started_is_named(
    config: Commands, editor: str, message: str
) -> None:
    config.environment["EDITOR"] = editor
    done = config("edit")
    assert isinstance(done.exception, UsageError) and message in str(done.exception)


def test_an_editor_that_fails_is_named_with_its_code(config: Commands) -> None:
    config.environment["EDITOR"] = config.editor("sys.exit(3)\n")
    done = config("edit")
    assert isinstance(done.exception, OcrdError)
    assert f"ended with code 3; {config.file} is not checked" in str(done.exception)
