"""Write this machine's service files into a folder, for ``plutil -lint`` to check.

``python -m tests.write_service_files FOLDER``
"""

from __future__ import annotations

import sys
from pathlib import Path

from ocrd.service import templates
from ocrd.service.entry_point import service_variables
from ocrd.service.templates import TemplateContext


def main() -> None:
    """Write the files, with a path that contains what XML and a shell treat specially."""
    folder = Path(sys.argv[1])
    home = Path.home()
    folder.mkdir(exist_ok=True)
    context = TemplateContext(
        program=home / ".local/bin/ocrd",
        config=home / "a & <b> \"c\" 'd'/ä.toml",
        home=home,
        log=home / "launchd.log",
        environment=service_variables(),
    )
    (folder / "local.ocrd.plist").write_bytes(templates.launch_agent(context))
    for name, data in templates.quick_action(context).items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
