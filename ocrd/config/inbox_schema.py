"""The tables ``[submit]`` and ``[[inbox]]``: how ocrd treats a file."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ocrd.config.values import AbsolutePath, Command, Formats, NameTemplate, Table, Task

DEFAULT_INBOX = Path("~/OCR/inbox")


class FilePolicy(Table):
    """How ocrd treats a file: when it takes it, what it reads, what it writes and runs."""

    settle: float = Field(
        default=2.0,
        ge=0,
        le=3600,
        description="Seconds for which nobody may have changed the file before it is read.",
    )
    task: Task = Field(
        default="text",
        description='What to read: "text" is plain text, "markdown" keeps headings and tables, '
        '"figure" describes a chart, "locate:WORDS" finds where the words are, '
        '"prompt:WORDS" is a prompt of your own.',
    )
    formats: Formats = Field(
        default=("txt", "json"),
        description='The sidecars to write: "txt" is plain text, "json" has every block with its '
        'position, "md" is Markdown.',
    )
    name: NameTemplate = Field(
        default="{name}",
        description="The name of the sidecars without their ending: for scan.png, {name} is "
        "scan.png and {stem} is scan.",
    )
    on_done: Command = Field(
        default=(),
        description="A program to run after each file, with its arguments; the file's path is "
        "added as the last one. No shell is involved. An empty list runs nothing.",
        examples=[["~/bin/file-scan", "--to", "Scans"]],
    )
    on_failed: Command = Field(
        default=(),
        description="The same for a file that could not be read.",
        examples=[["~/bin/file-scan", "--failed"]],
    )
    hook_seconds: float = Field(
        default=60.0, gt=0, le=86_400, description="Seconds after which such a program is stopped."
    )


class SubmitConfig(FilePolicy):
    """``[submit]``: how a file is treated that is read where it is."""


class _WatchedFolder(Table):
    path: AbsolutePath = Field(default=DEFAULT_INBOX, description="The folder to watch.")
    output: AbsolutePath | None = Field(
        default=None,
        description="Another folder for the sidecars. Without it, they are next to the file.",
        examples=["~/OCR/text"],
    )
    recursive: bool = Field(default=True, description="Also watch the folders inside this one.")


# The fields of the last base come first: an inbox begins with its path.
class InboxConfig(FilePolicy, _WatchedFolder):
    """A folder to watch, and how the files in it are treated."""

    # Two observations need some time between them.
    settle: float = Field(
        default=2.0,
        ge=0.1,
        le=3600,
        description="Seconds for which a file must not change before it is read.",
    )
