"""Each slot of the cache keeps its own keys, whichever pages come and go."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrd.engine.nn.kv_cache import KVCache

CPU = torch.device("cpu")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), min_size=1, max_size=12),
    st.integers(1, 4),
)
def test_each_slot_holds_its_own_keys_whichever_pages_come_and_go(
    pages: list[tuple[int, int]], initial_length: int
) -> None:
    """Compared with lists: each page's keys are its own number, counted up.

    ``pages``: the length of each page's prompt, and the decoding steps that follow it.
    """
    slots = 3
    cache = KVCache(1, slots, initial_length=initial_length)
    expected: list[list[float]] = []
    for number, (length, steps) in enumerate(pages):
        if len(expected) == slots:
            cache.free(number % slots)
            expected[number % slots] = expected[-1]
            expected.pop()
        keys = [100.0 * number + position for position in range(length)]
        cache.begin_prefill(length, CPU)
        states = torch.tensor(keys)[None, None, :, None]
        cache.update(states, states, 0)
        expected.append(keys)
        for _ in range(steps):
            cache.begin_decode(CPU)
            new = [keys[-1] + 1 for keys in expected]
            states = torch.tensor(new)[:, None, None, None]
            cached, _ = cache.update(states, states, 0)
            for slot, keys in enumerate(expected):
                keys.append(new[slot])
                assert cached[slot, 0, : len(keys), 0].tolist() == keys
                if cache.mask is None:
                    assert len(keys) == cached.shape[2]
                else:
                    filled = [position < len(keys) for position in range(cached.shape[2])]
                    assert cache.mask[slot, 0, 0].tolist() == filled
    assert cache.lengths == [len(keys) for keys in expected]


def test_a_slot_never_grows_beyond_the_longest_possible_page() -> None:
    cache = KVCache(1, 2, initial_length=4, max_length=10)
    cache.begin_prefill(3, CPU)
    cache.update(torch.zeros(1, 1, 3, 1), torch.zeros(1, 1, 3, 1), 0)
    sizes = set()
    for _ in range(7):
        cache.begin_decode(CPU)
        cache.update(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), 0)
        assert cache._keys[0] is not None
        sizes.add(cache._keys[0].shape[2])
    assert sizes == {4, 8, 10}
