"""What the model can be asked to do with a page, in the words on which it was trained."""

from __future__ import annotations

from ocrd.errors import UsageError

IMAGE = "<image>"
PROMPTS = {
    "text": f"{IMAGE}\nFree OCR. ",
    "markdown": f"{IMAGE}\n<|grounding|>Convert the document to markdown. ",
    "figure": f"{IMAGE}\nParse the figure. ",
}
LOCATE_PREFIX = "locate:"
PROMPT_PREFIX = "prompt:"
# All tasks, for error messages.
ALLOWED_TASKS = f"{', '.join(PROMPTS)}, {LOCATE_PREFIX}WORDS or {PROMPT_PREFIX}WORDS"
# Asks for boxes, in a user's own prompt as well.
GROUNDING = "<|grounding|>"


def prompt_text(task: str) -> str:
    """Return the prompt for ``task``.

    Args:
        task: ``text``, ``markdown``, ``figure``, ``locate:WORDS`` to find words, or
            ``prompt:WORDS`` for a prompt of the user's own.

    Raises:
        UsageError: There is no such task, or its words contain a second image or tags.
    """
    if task.startswith(LOCATE_PREFIX):
        words = _words_after(LOCATE_PREFIX, task, forbidden=(IMAGE, "<｜", "<|"))
        return f"{IMAGE}\nLocate <|ref|>{words}<|/ref|> in the image. "
    if task.startswith(PROMPT_PREFIX):
        words = _words_after(PROMPT_PREFIX, task, forbidden=(IMAGE, "<｜"))
        return f"{IMAGE}\n{words}"
    if task not in PROMPTS:
        raise _unknown(task)
    return PROMPTS[task]


def is_grounded(task: str) -> bool:
    """Return whether the answer to ``task`` has boxes."""
    return task.startswith(LOCATE_PREFIX) or GROUNDING in prompt_text(task)


def _words_after(prefix: str, task: str, *, forbidden: tuple[str, ...]) -> str:
    words = task.removeprefix(prefix).strip()
    if not words:
        raise _unknown(task)
    for token in forbidden:
        if token in words:
            raise UsageError(f"the task {task!r} must not contain {token}")
    return words


def _unknown(task: str) -> UsageError:
    return UsageError(f"there is no task {task!r}; allowed: {ALLOWED_TASKS}")
