"""What is installed from a wheel has all that a checkout has.

One source, carried into the package.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parents[2]
SHIPPED = (
    *("docs/hazel.md", "launchd/agent.plist", "launchd/quick-action/Info.plist"),
    *("launchd/quick-action/document.wflow", "systemd/ocrd.service"),
)


def test_a_wheel_carries_every_shipped_file_and_uses_it(tmp_path: Path) -> None:
    build = f"from hatchling.build import build_wheel; print(build_wheel({str(tmp_path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wheel = tmp_path / done.stdout.strip().splitlines()[-1]
    assert wheel.stat().st_size < 14_000_000
    installed = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        assert "ocrd/pocket/model.safetensors" in archive.namelist()
        archive.extractall(installed)
    code = (
        "from pathlib import Path; from ocrd import paths; from ocrd.service import templates\n"
        f"for name in {SHIPPED!r}:\n"
        "    path = paths.shipped(name)\n"
        "    assert path.is_relative_to(paths.PACKAGE), path\n"
        "    print(path)\n"
        "context = templates.TemplateContext(*map(Path, ('/bin/ocrd', '/c', '/h', '/l')))\n"
        "assert b'/bin/ocrd' in templates.launch_agent(context)\n"
        "assert templates.quick_action(context) and templates.systemd_unit(context)\n"
        "assert '/bin/ocrd submit' in templates.hazel_recipe(context)\n"
    )
    used = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert used.returncode == 0, used.stderr
    found = [Path(line) for line in used.stdout.splitlines()]
    assert all(path.is_relative_to(installed) for path in found)
    assert [path.read_bytes() for path in found] == [(ROOT / name).read_bytes() for name in SHIPPED]
