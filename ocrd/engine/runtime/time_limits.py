"""How long a page may take on the slowest machine before the device counts as hung."""

from __future__ import annotations

# Five times what a view of 1024 pixels takes in float32 on two server cores (11.3 s).
VIEW_TIMEOUT_S = 60.0
# Seven times what a token takes there (7.2 tokens a second).
TOKEN_TIMEOUT_S = 1.0


def page_timeout_s(*, views: int, tokens: int) -> float:
    """Return the seconds within which a page of ``views`` has its first ``tokens``."""
    return VIEW_TIMEOUT_S * views + TOKEN_TIMEOUT_S * tokens
