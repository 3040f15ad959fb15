"""Tasks in the words that the model was taught, and prompts as token ids around the picture."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Tokenizer

from ocrd.errors import ModelError, UsageError

IMAGE = "<image>"

PROMPTS = {
    "text": f"{IMAGE}\nFree OCR. ",
    "markdown": f"{IMAGE}\n<|grounding|>Convert the document to markdown. ",
    "figure": f"{IMAGE}\nParse the figure. ",
}
LOCATE = "locate:"


@dataclass(frozen=True)
class Prompt:
    """Token ids before and after the picture's own tokens."""

    before: tuple[int, ...]
    after: tuple[int, ...]


def prompt_text(task: str) -> str:
    """The published words for ``task``: text, markdown, figure, or ``locate:`` and what to look for.

    Raises UsageError for any other task.
    """
    if task.startswith(LOCATE) and (words := task.removeprefix(LOCATE).strip()):
        return f"{IMAGE}\nLocate <|ref|>{words}<|/ref|> in the image. "
    if task not in PROMPTS:
        raise UsageError(f"there is no task {task!r}; allowed: {', '.join(PROMPTS)}, {LOCATE}WORDS")
    return PROMPTS[task]


def encode_prompt(text: str, tokenizer: Tokenizer, bos: int) -> Prompt:
    """Split ``text`` at its one picture and encode both sides; the start token comes first.

    Raises ModelError when the tokenizer has no ``<image>`` token, so it belongs to another model.
    """
    if tokenizer.token_to_id(IMAGE) is None:
        raise ModelError(f"tokenizer.json has no {IMAGE} token, so it is not DeepSeek-OCR's")
    before, _, after = text.partition(IMAGE)
    return Prompt(
        before=(bos, *tokenizer.encode(before, add_special_tokens=False).ids),
        after=tuple(tokenizer.encode(after, add_special_tokens=False).ids),
    )
