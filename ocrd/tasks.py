"""What may be asked of a page, in the words that the model was taught."""

from __future__ import annotations

from ocrd.errors import UsageError

IMAGE = "<image>"
PROMPTS = {
    "text": f"{IMAGE}\nFree OCR. ",
    "markdown": f"{IMAGE}\n<|grounding|>Convert the document to markdown. ",
    "figure": f"{IMAGE}\nParse the figure. ",
}
LOCATE = "locate:"
FREE = "prompt:"
# All tasks, for messages.
TASKS = f"{', '.join(PROMPTS)}, {LOCATE}WORDS or {FREE}WORDS"
# In a prompt of one's own too it asks for boxes.
GROUNDING = "<|grounding|>"


def prompt_text(task: str) -> str:
    """The prompt for ``task``.

    Text, markdown, figure, ``locate:`` and what to look for, ``prompt:`` and one's own.

    Raises UsageError for any other task, and for words that would be more than words: a second
    picture, tags.
    """
    for prefix, frame in ((LOCATE, "Locate <|ref|>{}<|/ref|> in the image. "), (FREE, "{}")):
        words = task.removeprefix(prefix).strip() if task.startswith(prefix) else ""
        if words:
            forbidden = (IMAGE, "<｜", "<|") if prefix == LOCATE else (IMAGE, "<｜")
            if mark := next((mark for mark in forbidden if mark in words), None):
                raise UsageError(f"the task {task!r} must not hold {mark}")
            return f"{IMAGE}\n{frame.format(words)}"
    if task not in PROMPTS:
        raise UsageError(f"there is no task {task!r}; allowed: {TASKS}")
    return PROMPTS[task]


def is_grounded(task: str) -> bool:
    """Whether the answer comes with boxes."""
    return task.startswith(LOCATE) or GROUNDING in prompt_text(task)
