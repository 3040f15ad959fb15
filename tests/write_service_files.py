"""``python -m tests.write_service_files FOLDER``.

This machine's service files, for ``plutil -lint`` to judge.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ocrd.service import templates
from ocrd.service.entry_point import service_variables
from ocrd.service.templates import TemplateContext


def main() -> None:
    folder = Path(sys.argv[1])
    home = Path.home()
    folder.mkdir(exist_ok=True)
    # With everything that XML and a shell mind.
    context = TemplateContext(
        home / ".local/bin/ocrd",
        home / "a & <b> \"c\" 'd'/ä.toml",
        home,
        home / "launchd.log",
        service_variables(),
    )
    (folder / "local.ocrd.plist").write_bytes(templates.launch_agent(context))
    for name, data in templates.quick_action(context).items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
