"""Draw the picture of the README from a real run: ``python -m tools.draw_readme_picture``.

The script starts a daemon with the pocket model in a temporary home folder, drops the demo pictures
into its inbox and waits for the sidecars. Then it draws the folder before and after, and what
``cat`` and ``ocrd status`` printed. Every text in the picture is from that run.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "images" / "demo.svg"
PICTURES = ROOT / "ocrd" / "pocket" / "demo"
DROPPED = ("greeting.png", "note.png", "receipt.png")
TIMEOUT_S = 180.0
POLL_INTERVAL_S = 0.02

WIDTH, HEIGHT = 900, 424
ICON = 76
SANS = "-apple-system, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


@dataclass(frozen=True)
class Run:
    """What one real run showed.

    Attributes:
        before: names in the inbox before the daemon read them.
        after: the contents of each file in the inbox afterwards, by name.
        seconds: from the drop to the last sidecar.
        terminal: the commands and what they printed.
    """

    before: tuple[str, ...]
    after: dict[str, bytes]
    seconds: float
    terminal: tuple[str, ...]


def run_ocrd() -> Run:
    """Read the demo pictures with a real daemon in a temporary home folder."""
    with tempfile.TemporaryDirectory(prefix="ocrd-picture-") as folder:
        home = Path(folder).resolve()
        env = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "OCRD_"))}
        env |= {"HOME": str(home), "COLUMNS": "400"}
        inbox = home / "OCR" / "inbox"
        _ocrd(env, "init", "--pocket")
        daemon = subprocess.Popen(
            [sys.executable, "-m", "ocrd", "run"], env=env, cwd=ROOT, stderr=subprocess.DEVNULL
        )
        try:
            _wait_until_ready(env)
            for name in DROPPED:
                shutil.copyfile(PICTURES / name, inbox / name)
            before = tuple(sorted(path.name for path in inbox.iterdir()))
            started = time.monotonic()
            _wait_for([inbox / f"{name}.json" for name in DROPPED])
            seconds = time.monotonic() - started
            time.sleep(1)  # the journal learns of the end a moment after the last sidecar
            status = _ocrd(env, "status")
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(timeout=30)
        after = {path.name: path.read_bytes() for path in sorted(inbox.iterdir())}
        text = after["receipt.png.txt"].decode()
        lines = (
            "$ cat ~/OCR/inbox/receipt.png.txt",
            *text.rstrip("\n").split("\n"),
            "",
            "$ ocrd status",
            *(_shorten(line, home) for line in status.rstrip("\n").split("\n")),
        )
        return Run(before, after, seconds, lines)


def _ocrd(env: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "ocrd", *arguments]
    return subprocess.run(
        command, env=env, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def _wait_until_ready(env: dict[str, str]) -> None:
    """Wait for the model, so that the measured seconds are those of a daemon that already runs."""
    deadline = time.monotonic() + TIMEOUT_S
    while "ready on" not in _ocrd(env, "status"):
        if time.monotonic() > deadline:
            raise SystemExit(f"the engine was not ready after {TIMEOUT_S:.0f} s")
        time.sleep(1)


def _wait_for(paths: list[Path]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not all(path.exists() for path in paths):
        if time.monotonic() > deadline:
            raise SystemExit(f"no sidecars after {TIMEOUT_S:.0f} s")
        time.sleep(POLL_INTERVAL_S)


def _shorten(line: str, home: Path) -> str:
    """Shorten paths of this machine; the picture is the same wherever it is drawn."""
    line = line.replace(str(home), "~").replace(str(ROOT / "ocrd"), "ocrd")
    return re.sub(r"\s+$", "", line)


def draw(run: Run) -> str:
    """The picture as SVG."""
    left, right = 16, 534
    parts = [
        _window(left, 32, width=468, height=146, title="~/OCR/inbox", caption="You drop files"),
        *(_file(run, name, x=left + 40 + 146 * i, y=78) for i, name in enumerate(run.before)),
        _arrow(left + 468 + 8, 105, end=right - 8),
        _window(
            right,
            32,
            width=350,
            height=372,
            title="~/OCR/inbox",
            caption=f"{run.seconds:.1f} s later, the text is next to them",
        ),
        _terminal(run, left, y=200, width=468, height=204),
    ]
    for row, picture in enumerate(run.before):
        for column, suffix in enumerate(("", ".txt", ".json")):
            parts.append(
                _file(run, picture + suffix, x=right + 16 + 111 * column, y=76 + 110 * row)
            )
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="{SANS}" role="img">\n'
        "<title>Three pictures in an inbox folder; a moment later each has a .txt and a .json file"
        f"</title>\n{body}\n</svg>\n"
    )


def _window(x: float, y: float, *, width: float, height: float, title: str, caption: str) -> str:
    dots = "".join(
        f'<circle cx="{x + 18 + 16 * i}" cy="{y + 15}" r="5" fill="{colour}"/>'
        for i, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    return (
        f'<text x="{x + 2}" y="{y - 10}" font-size="14" fill="#7d8590">{escape(caption)}</text>'
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10" fill="#ffffff" '
        'stroke="#c9ced6"/>'
        f'<path d="M{x} {y + 30} v-20 a10 10 0 0 1 10 -10 h{width - 20} a10 10 0 0 1 10 10 v20 z" '
        f'fill="#eceef1"/>{dots}'
        f'<text x="{x + width / 2}" y="{y + 20}" font-size="13" font-weight="600" fill="#4b5158" '
        f'text-anchor="middle">{escape(title)}</text>'
    )


def _file(run: Run, name: str, *, x: float, y: float) -> str:
    """One file as a folder window shows it: a preview and the name."""
    data = run.after[name]
    left = x + 10
    if name.endswith(".png"):
        encoded = base64.b64encode(data).decode("ascii")
        preview = (
            f'<image x="{left}" y="{y}" width="{ICON}" height="{ICON}" '
            f'href="data:image/png;base64,{encoded}"/>'
            f'<rect x="{left}" y="{y}" width="{ICON}" height="{ICON}" fill="none" '
            'stroke="#d5d9df"/>'
        )
    else:
        preview = _sheet(data.decode(), left, y=y, is_json=name.endswith(".json"))
    return (
        f'{preview}<text x="{left + ICON / 2}" y="{y + ICON + 16}" font-size="11.5" '
        f'fill="#24292f" text-anchor="middle">{escape(name)}</text>'
    )


def _sheet(text: str, x: float, *, y: float, is_json: bool) -> str:
    """A sheet of paper with the beginning of the file's text on it."""
    width, fold = 60, 13
    x += (ICON - width) / 2
    size, leading, fill, rows = (3.6, 4.6, "#57606a", 14) if is_json else (7.2, 11, "#24292f", 4)
    lines = text.rstrip("\n").split("\n")[:rows]
    top = y + (10 if is_json else 27)
    spans = "".join(
        f'<text x="{x + 6}" y="{top + leading * i:.1f}" font-size="{size}" fill="{fill}" '
        f'font-family="{MONO}" xml:space="preserve">{escape(line[: 20 if is_json else 12])}</text>'
        for i, line in enumerate(lines)
    )
    return (
        f'<path d="M{x} {y} h{width - fold} l{fold} {fold} v{ICON - fold} h-{width} z" '
        'fill="#fbfcfd" stroke="#c3c9d1"/>'
        f'<path d="M{x + width - fold} {y} v{fold} h{fold}" fill="#e9ecf0" stroke="#c3c9d1"/>'
        f"{spans}"
    )


def _arrow(start: float, y: float, *, end: float) -> str:
    return (
        f'<path d="M{start} {y} H{end - 10}" stroke="#7d8590" stroke-width="3" fill="none"/>'
        f'<path d="M{end - 12} {y - 7} l12 7 l-12 7 z" fill="#7d8590"/>'
    )


def _terminal(run: Run, x: float, *, y: float, width: float, height: float) -> str:
    rows = []
    for i, line in enumerate(run.terminal):
        colour = "#7ee787" if line.startswith("$") else "#d6dde6"
        rows.append(
            f'<text x="{x + 16}" y="{y + 26 + 17 * i}" font-size="11.5" fill="{colour}" '
            f'xml:space="preserve">{escape(line)}</text>'
        )
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10" fill="#161b22" '
        f'stroke="#30363d"/><g font-family="{MONO}">{"".join(rows)}</g>'
    )


def main() -> None:
    """Run ocrd, draw what happened, and write the picture."""
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(draw(run_ocrd()), encoding="utf-8")
    print(f"wrote {OUT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
