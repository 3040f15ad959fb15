"""The service's files: golden files byte for byte, each key that launchd needs, hostile paths."""

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
from ocrd.service.templates import ServiceCommand, TemplateContext

GOLDEN = Path(__file__).parents[2] / "data/service"
HOME = Path("/Users/me")
PROGRAM = HOME / ".local/bin/ocrd"
CONFIG = HOME / ".config/ocrd/config.toml"
LOG = HOME / "Library/Logs/ocrd/launchd.log"
WITHOUT_VARIABLES = TemplateContext(PROGRAM, CONFIG, HOME, LOG)
WITH_VARIABLES = TemplateContext(
    PROGRAM, CONFIG, HOME, LOG, {"OCRD_STATE_DIR": "/Volumes/Big disk/ocrd"}
)


@pytest.mark.parametrize(
    ("name", "rendered"),
    [
        ("local.ocrd.plist", templates.launch_agent(WITHOUT_VARIABLES)),
        ("with-variables.plist", templates.launch_agent(WITH_VARIABLES)),
        ("Info.plist", templates.quick_action(WITHOUT_VARIABLES)["Info.plist"]),
        ("document.wflow", templates.quick_action(WITHOUT_VARIABLES)["document.wflow"]),
        ("ocrd.service", templates.systemd_unit(WITH_VARIABLES)),
    ],
)
def test_each_file_is_byte_for_byte_the_golden_one(name: str, rendered: bytes) -> None:
    assert rendered.decode() == (GOLDEN / name).read_text(encoding="utf-8")


def test_the_launch_agent_has_each_key_that_launchd_needs() -> None:
    assert plistlib.loads(templates.launch_agent(WITHOUT_VARIABLES)) == {
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
    with_variables = plistlib.loads(templates.launch_agent(WITH_VARIABLES))
    assert with_variables["EnvironmentVariables"]["OCRD_STATE_DIR"] == "/Volumes/Big disk/ocrd"


def test_the_quick_action_is_offered_for_pictures_and_pdfs_in_finder() -> None:
    info = plistlib.loads(templates.quick_action(WITHOUT_VARIABLES)["Info.plist"])
    (service,) = info["NSServices"]
    assert service == {
        "NSMenuItem": {"default": "OCR with ocrd"},
        "NSMessage": "runWorkflowAsService",
        "NSRequiredContext": {"NSApplicationIdentifier": "com.apple.finder"},
        "NSSendFileTypes": ["com.adobe.pdf", "public.image"],
    }


def test_the_quick_action_is_one_shell_script() -> None:
    workflow = plistlib.loads(templates.quick_action(WITHOUT_VARIABLES)["document.wflow"])
    assert workflow["AMApplicationBuild"] == "523"
    assert workflow["AMApplicationVersion"] == "2.10"
    assert workflow["AMDocumentVersion"] == "2"
    assert workflow["connectors"] == {}
    (action,) = (entry["action"] for entry in workflow["actions"])
    assert action["ActionBundlePath"] == "/System/Library/Automator/Run Shell Script.action"
    assert action["BundleIdentifier"] == "com.apple.RunShellScript"
    assert action["Class Name"] == "RunShellScriptAction"
    assert action["ActionParameters"] == {
        "COMMAND_STRING": 'exec /Users/me/.local/bin/ocrd submit -- "$@"',
        "CheckedForUserDefaultShell": True,
        "inputMethod": 1,
        "shell": "/bin/zsh",
        "source": "",
    }
    assert len({action[key] for key in ("InputUUID", "OutputUUID", "UUID")}) == 3
    metadata = workflow["workflowMetaData"]
    assert metadata["workflowTypeIdentifier"] == "com.apple.Automator.servicesMenu"
    assert metadata["serviceInputTypeIdentifier"] == "com.apple.Automator.fileSystemObject"
    assert metadata["serviceOutputTypeIdentifier"] == "com.apple.Automator.nothing"
    assert metadata["serviceProcessesInput"] is False
    assert metadata["presentationMode"] == 15


HOSTILE = "/Users/me & you/<b>'\"$HOME `id` %h \\n @CONFIG@ {x}/ä/ocrd"


def test_a_hostile_path_stays_the_same_in_every_file(tmp_path: Path) -> None:
    context = TemplateContext(
        Path(HOSTILE), Path(HOSTILE + ".toml"), HOME, LOG, {"OCRD_STATE_DIR": HOSTILE}
    )
    agent = plistlib.loads(templates.launch_agent(context))
    assert agent["ProgramArguments"] == [HOSTILE, "run", "--config", HOSTILE + ".toml"]
    workflow = plistlib.loads(templates.quick_action(context)["document.wflow"])
    command = workflow["actions"][0]["action"]["ActionParameters"]["COMMAND_STRING"]
    program = tmp_path / "env"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    shell_command = command.replace("/usr/bin/env", shlex.quote(str(program)))
    completed = subprocess.run(
        ["/bin/sh", "-c", shell_command, "-", "a b.png", "-rf"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert completed.stdout.splitlines() == [
        f"OCRD_STATE_DIR={HOSTILE}",
        HOSTILE,
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
        context = TemplateContext(program, CONFIG, HOME, LOG)
    except ServiceError:
        assert not str(program).isprintable()
        return
    plist = plistlib.loads(templates.launch_agent(context))
    assert plist["ProgramArguments"][0] == str(program)


@pytest.mark.parametrize("path", ["relative", "/with\nnewline", os.fsdecode(b"/no\xffutf8")])
def test_a_path_that_no_service_could_use_is_refused(path: str) -> None:
    with pytest.raises(ServiceError, match="absolute path without control characters"):
        TemplateContext(Path(path), CONFIG, HOME, LOG)


@pytest.mark.parametrize("name", ["a.plist", "a.service"])
def test_the_command_of_a_service_file_can_be_read_again(name: str, tmp_path: Path) -> None:
    context = TemplateContext(Path(HOSTILE), Path(HOSTILE + ".toml"), HOME, LOG)
    is_plist = name.endswith("plist")
    data = templates.launch_agent(context) if is_plist else templates.systemd_unit(context)
    file = tmp_path / name
    file.write_bytes(data)
    command = ServiceCommand(Path(HOSTILE), Path(HOSTILE + ".toml"))
    assert templates.parse_service_file(file) == command
    for broken in (b"", b"rubbish \xff", data[:200]):
        file.write_bytes(broken)
        with pytest.raises(ServiceError, match="run: ocrd install"):
            templates.parse_service_file(file)


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    systemd_analyze = shutil.which("systemd-analyze")
    if not systemd_analyze:
        pytest.skip("systemd is not installed")
    program = tmp_path / "my programs 100%" / "ocrd"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    context = TemplateContext(program, Path('/a "b" $c/d.toml'), HOME, LOG, {"A": "x y%z"})
    unit = tmp_path / "ocrd.service"
    unit.write_bytes(templates.systemd_unit(context))

    def verify() -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
        argv = [systemd_analyze, "verify", "--user", str(unit)]
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)

    completed = verify()
    assert completed.returncode == 0, completed.stderr
    assert str(unit) not in completed.stderr
    # A broken unit is reported, so the check above means something.
    unit.write_text(unit.read_text().replace("Type=exec", "Type=dance"))
    assert str(unit) in verify().stderr


def test_the_templates_are_property_lists_themselves() -> None:
    for name in ("agent.plist", "quick-action/Info.plist", "quick-action/document.wflow"):
        assert plistlib.loads(paths.shipped(f"launchd/{name}").read_bytes())


def test_the_recipe_for_hazel_has_this_machines_program_and_the_services_queue() -> None:
    program = Path("/opt/my tools/ocrd")
    recipe = templates.hazel_recipe(TemplateContext(program, CONFIG, HOME, LOG))
    assert "      '/opt/my tools/ocrd' submit -- \"$1\"\n" in recipe
    assert "@" not in recipe.replace("$@", "")
    context = TemplateContext(program, CONFIG, HOME, LOG, WITH_VARIABLES.environment)
    variable = "'OCRD_STATE_DIR=/Volumes/Big disk/ocrd'"
    command = f"/usr/bin/env {variable} '/opt/my tools/ocrd' submit -- \"$1\""
    assert command in templates.hazel_recipe(context)
