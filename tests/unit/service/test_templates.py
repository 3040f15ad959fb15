"""The service's files: whole against golden ones, key by key against what launchd asks for, and
hostile paths.
"""

from __future__ import annotations

import os
import plistlib
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd import paths
from ocrd.errors import ServiceError
from ocrd.service import templates
from ocrd.service.entry_point import carried_variables, entry_point, guarded_place
from ocrd.service.templates import Facts

GOLDEN = Path(__file__).parents[2] / "data/service"
FACTS = Facts(
    Path("/Users/me/.local/bin/ocrd"),
    Path("/Users/me/.config/ocrd/config.toml"),
    Path("/Users/me"),
    Path("/Users/me/Library/Logs/ocrd/launchd.log"),
    {"OCRD_STATE_DIR": "/Volumes/Big disk/ocrd"},
)
PLAIN = Facts(FACTS.program, FACTS.config, FACTS.home, FACTS.log)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("local.ocrd.plist", templates.agent(PLAIN)),
        ("with-variables.plist", templates.agent(FACTS)),
        ("Info.plist", templates.quick_action(PLAIN)["Info.plist"]),
        ("document.wflow", templates.quick_action(PLAIN)["document.wflow"]),
        ("ocrd.service", templates.unit(FACTS)),
    ],
)
def test_each_file_is_the_golden_one_to_the_byte(name: str, made: bytes) -> None:
    assert made.decode() == (GOLDEN / name).read_text(encoding="utf-8")


def test_the_agent_says_to_launchd_what_it_needs_to_hear() -> None:
    assert plistlib.loads(templates.agent(PLAIN)) == {
        "Label": "local.ocrd",
        "ProgramArguments": [
            "/Users/me/.local/bin/ocrd",
            "run",
            "--config",
            "/Users/me/.config/ocrd/config.toml",
        ],
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 30,
        "ExitTimeOut": 60,
        "ProcessType": "Interactive",
        "WorkingDirectory": "/Users/me",
        "EnvironmentVariables": {
            "OCRD_SERVICE": "launchd",
            "PATH": "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        },
        "StandardOutPath": "/Users/me/Library/Logs/ocrd/launchd.log",
        "StandardErrorPath": "/Users/me/Library/Logs/ocrd/launchd.log",
    }
    assert (
        plistlib.loads(templates.agent(FACTS))["EnvironmentVariables"]["OCRD_STATE_DIR"]
        == "/Volumes/Big disk/ocrd"
    )


def test_the_quick_action_is_one_shell_script_for_pictures_and_pdfs_in_finder() -> None:
    files = {name: plistlib.loads(data) for name, data in templates.quick_action(PLAIN).items()}
    (service,) = files["Info.plist"]["NSServices"]
    assert service == {
        "NSMenuItem": {"default": "OCR with ocrd"},
        "NSMessage": "runWorkflowAsService",
        "NSRequiredContext": {"NSApplicationIdentifier": "com.apple.finder"},
        "NSSendFileTypes": ["com.adobe.pdf", "public.image"],
    }
    flow = files["document.wflow"]
    versions = {
        key: flow[key]
        for key in ("AMApplicationBuild", "AMApplicationVersion", "AMDocumentVersion")
    }
    assert versions == {
        "AMApplicationBuild": "523",
        "AMApplicationVersion": "2.10",
        "AMDocumentVersion": "2",
    }
    assert flow["connectors"] == {}
    (action,) = (entry["action"] for entry in flow["actions"])
    assert action["ActionBundlePath"] == "/System/Library/Automator/Run Shell Script.action"
    assert (action["BundleIdentifier"], action["Class Name"]) == (
        "com.apple.RunShellScript",
        "RunShellScriptAction",
    )
    assert action["ActionParameters"] == {
        "COMMAND_STRING": 'exec /Users/me/.local/bin/ocrd submit -- "$@"',
        "CheckedForUserDefaultShell": True,
        "inputMethod": 1,
        "shell": "/bin/zsh",
        "source": "",
    }
    assert len({action[key] for key in ("InputUUID", "OutputUUID", "UUID")}) == 3
    about = flow["workflowMetaData"]
    assert about["workflowTypeIdentifier"] == "com.apple.Automator.servicesMenu"
    assert about["serviceInputTypeIdentifier"] == "com.apple.Automator.fileSystemObject"
    assert about["serviceOutputTypeIdentifier"] == "com.apple.Automator.nothing"
    assert (about["serviceProcessesInput"], about["presentationMode"]) == (False, 15)


NASTY = "/Users/me & you/<b>'\"$HOME `id` %h \\n @CONFIG@ {x}/ä/ocrd"


def test_a_hostile_path_is_the_same_path_in_every_file(tmp_path: Path) -> None:
    facts = Facts(
        Path(NASTY), Path(NASTY + ".toml"), FACTS.home, FACTS.log, {"OCRD_STATE_DIR": NASTY}
    )
    agent = plistlib.loads(templates.agent(facts))
    assert agent["ProgramArguments"] == [NASTY, "run", "--config", NASTY + ".toml"]
    flow = plistlib.loads(templates.quick_action(facts)["document.wflow"])
    command = flow["actions"][0]["action"]["ActionParameters"]["COMMAND_STRING"]
    program = tmp_path / "env"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(
        [
            "/bin/sh",
            "-c",
            command.replace("/usr/bin/env", shlex.quote(str(program))),
            "-",
            "a b.png",
            "-rf",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        f"OCRD_STATE_DIR={NASTY}",
        NASTY,
        "submit",
        "--",
        "a b.png",
        "-rf",
    ]


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\0"), min_size=1)
)
def test_any_printable_path_survives_the_property_list(name: str) -> None:
    program = Path("/x") / name
    try:
        facts = Facts(program, FACTS.config, FACTS.home, FACTS.log)
    except ServiceError:
        assert not str(program).isprintable()
        return
    assert plistlib.loads(templates.agent(facts))["ProgramArguments"][0] == str(program)


@pytest.mark.parametrize("path", ["relative", "/with\nnewline", os.fsdecode(b"/no\xffutf8")])
def test_a_path_that_no_service_could_use_is_refused(path: str) -> None:
    with pytest.raises(ServiceError, match="whole path in plain characters"):
        Facts(Path(path), FACTS.config, FACTS.home, FACTS.log)


def test_what_a_file_starts_is_found_again(tmp_path: Path) -> None:
    facts = Facts(Path(NASTY), Path(NASTY + ".toml"), FACTS.home, FACTS.log)
    for name, data in (("a.plist", templates.agent(facts)), ("a.service", templates.unit(facts))):
        (tmp_path / name).write_bytes(data)
        assert templates.started_by(tmp_path / name) == (Path(NASTY), Path(NASTY + ".toml"))
        for broken in (b"", b"rubbish \xff", data[:200]):
            (tmp_path / name).write_bytes(broken)
            with pytest.raises(ServiceError, match="run: ocrd install"):
                templates.started_by(tmp_path / name)


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    if not (verify := shutil.which("systemd-analyze")):
        pytest.skip("no systemd here")
    program = tmp_path / "my programs 100%" / "ocrd"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "ocrd.service"
    unit.write_bytes(
        templates.unit(
            Facts(program, Path('/a "b" $c/d.toml'), FACTS.home, FACTS.log, {"A": "x y%z"})
        )
    )

    def verified() -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
        argv = [verify, "verify", "--user", str(unit)]
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)

    done = verified()
    assert done.returncode == 0 and str(unit) not in done.stderr, done.stderr
    unit.write_text(unit.read_text().replace("Type=exec", "Type=dance"))  # and would it say so?
    assert str(unit) in verified().stderr


def test_templates_are_property_lists_themselves() -> None:
    for name in ("agent.plist", "quick-action/Info.plist", "quick-action/document.wflow"):
        assert plistlib.loads(paths.shipped(f"launchd/{name}").read_bytes())


def test_the_recipe_for_hazel_has_this_machines_program() -> None:
    program = Path("/opt/my tools/ocrd")
    recipe = templates.recipe(Facts(program, FACTS.config, FACTS.home, FACTS.log))
    assert "      '/opt/my tools/ocrd' submit -- \"$1\"\n" in recipe and "@" not in recipe.replace(
        "$@", ""
    )
    # The queue that the service reads, not another one.
    recipe = templates.recipe(
        Facts(program, FACTS.config, FACTS.home, FACTS.log, FACTS.environment)
    )
    assert (
        "/usr/bin/env 'OCRD_STATE_DIR=/Volumes/Big disk/ocrd' '/opt/my tools/ocrd' submit -- \"$1\""
        in recipe
    )


def test_the_program_is_named_by_the_link_that_stays(tmp_path: Path) -> None:
    cellar = tmp_path / "cellar/1.0/bin/ocrd"
    bin_ = tmp_path / "bin/ocrd"
    for path in (cellar, bin_):
        path.parent.mkdir(parents=True)
    cellar.write_text("#!/bin/sh\n")
    cellar.chmod(0o755)
    bin_.symlink_to(cellar)
    assert entry_point(str(cellar), "/nowhere/python", which=lambda _name: str(bin_)) == bin_
    assert entry_point(str(bin_), "/nowhere/python", which=lambda _name: None) == bin_
    # Another ocrd on the path is not this one; and of `python -m ocrd` the one beside the
    # interpreter is taken.
    assert (
        entry_point(str(cellar), "/nowhere/python", which=lambda _name: "/usr/bin/true") == cellar
    )
    module = str(tmp_path / "ocrd/__main__.py")
    interpreter = str(cellar.with_name("python"))
    assert entry_point(module, interpreter, which=lambda _name: None) == cellar
    with pytest.raises(ServiceError, match="no ocrd program"):
        entry_point(module, "/nowhere/python", which=lambda _name: None)


def test_variables_that_move_things_are_carried_and_secrets_are_not() -> None:
    given = {"OCRD_STATE_DIR": "/s", "HF_TOKEN": "hf_secret", "HTTPS_PROXY": "http://proxy:3128", "HF_HOME": "",
             "http_proxy": "http://me:word@proxy", "PATH": "/bin"}  # fmt: skip
    assert carried_variables(given) == {"OCRD_STATE_DIR": "/s", "HTTPS_PROXY": "http://proxy:3128"}
    others = {
        "OCRD_STATE_DIR": "state",
        "HF_HOME": "~/hf",
        "HF_ENDPOINT": "https://me:secret@hub",
        "no_proxy": "a\nB=c",
    }
    assert carried_variables(others) == {
        "OCRD_STATE_DIR": str(Path.cwd() / "state"),
        "HF_HOME": str(Path.home() / "hf"),
    }


@pytest.mark.parametrize(
    ("path", "guarded"),
    [("/Users/me/Desktop/x", True), ("/Users/me/Documents/scans", True), ("/Volumes/NAS/in", True),
     ("/Users/me/Library/Mobile Documents/a", True), ("/Users/me/OCR/inbox", False), ("/Users/me/DesktopX", False)],
)  # fmt: skip
def test_places_that_macos_guards_are_known(path: str, guarded: bool) -> None:
    assert (guarded_place(Path(path), Path("/Users/me")) is not None) is guarded
