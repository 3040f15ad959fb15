"""Draw the three pictures of ``ocrd demo``.

python -m tools.draw_demo
"""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tools.render_text import TRAINED_FONTS, VIEW, font_path

OUT = Path(__file__).parents[1] / "ocrd" / "pocket" / "demo"
# Text, font and font size of each picture.
PICTURES = {
    "greeting.png": ("Good morning", TRAINED_FONTS[0], 32),
    "receipt.png": ("Coffee 3.20\nTotal 14.75", TRAINED_FONTS[2], 34),
    "note.png": ("Meet Anna\nat 10:45\nRoom 207", TRAINED_FONTS[3], 36),
}
PAPER = (252, 250, 245)
INK = (20, 20, 28)


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for name, (text, font_name, size) in PICTURES.items():
        picture = Image.new("RGB", (VIEW, VIEW), PAPER)
        pen = ImageDraw.Draw(picture)
        font = ImageFont.truetype(font_path(font_name), size)
        for row, line in enumerate(text.split("\n")):
            pen.text((14, 48 + row * size * 1.4), line, font=font, fill=INK)
        picture.save(OUT / name, optimize=True)
    texts = {name: text for name, (text, _, _) in PICTURES.items()}
    (OUT / "drawn.json").write_text(json.dumps(texts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
