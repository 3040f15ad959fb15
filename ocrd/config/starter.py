"""The short configuration file that ``ocrd init`` writes.

It contains what people choose and nothing else, so that a newer ocrd can have better defaults.
"""

from __future__ import annotations

from dataclasses import replace

from ocrd.config.document import Setting, assignment, comment, explanation, sections
from ocrd.config.schema import Config
from ocrd.config.values import POCKET

HEADER = """\
# The configuration of ocrd. What is not in this file has its default.
#
#   all settings, with what they do:   ocrd config show --explain
#   check this file after a change:    ocrd config check
#   use the change in the service:     ocrd restart
"""

# What is written of an inbox; what has no default is written as a comment.
INBOX_SETTINGS = ("path", "output", "task", "formats")


def starter_text(inbox: str | None = None, *, pocket: bool = False) -> str:
    """The text of a new configuration file.

    Args:
        inbox: The folder to watch, an absolute path. By default ``~/OCR/inbox``.
        pocket: Use the small demonstration model.
    """
    # Not validated, so that the inbox is "~/OCR/inbox" and not a path on this machine.
    defaults = Config.model_construct()
    tables = {section.key: section for section in sections(defaults, defaults)}
    parts = [HEADER]
    if pocket:
        about = "The small demonstration model that ships with ocrd. Without this line, ocrd "
        about += "downloads DeepSeek-OCR (6.7 GB)."
        path = _named(tables["model"].settings, "path", value=POCKET)
        parts.append("\n".join(["[model]", *comment(about), assignment(path), ""]))
    section = tables["inbox[1]"]
    lines = [*comment(section.description), section.header]
    for name in INBOX_SETTINGS:
        setting = _named(section.settings, name, value=inbox if name == "path" else None)
        lines += [*explanation(setting), assignment(setting), ""]
    parts.append("\n".join(lines))
    return "\n".join(parts).rstrip() + "\n"


def _named(settings: tuple[Setting, ...], name: str, *, value: str | None = None) -> Setting:
    """The setting of this name, with ``value`` if one is given."""
    (found,) = [setting for setting in settings if setting.name == name]
    return found if value is None else replace(found, value=value)
