"""The figures of `bench.engine` as a Markdown table, a column for each dtype."""

from __future__ import annotations

from typing import Any

from bench.engine_parts import GUNDAM_SLOTS, LARGE_SLOTS, PAGES, Results

# Name, path in the results, and format of each row.
ROWS = [
    ("copy bandwidth", "bandwidth/copy", "{:.1f} GB/s"),
    ("read bandwidth", "bandwidth/read", "{:.1f} GB/s"),
    ("load", "load/seconds", "{:.1f} s"),
    ("peak memory while loading, relative to the weights", "load/ratio", "{:.3f} x"),
    ("autotuning", "tune/seconds", "{:.1f} s"),
    ("1024 view", "vision/ocrd/view_s", "{:.2f} s"),
    ("memory for the view, in addition to the weights", "vision/ocrd/megabytes", "{:.0f} MB"),
    ("the same, transformers' modules", "vision/transformers/megabytes", "{:.0f} MB"),
    ("six tiles of 640", "vision/ocrd/tiles_s", "{:.2f} s"),
    ("1024 view, transformers' modules", "vision/transformers/view_s", "{:.2f} s"),
    ("six tiles, transformers' modules", "vision/transformers/tiles_s", "{:.2f} s"),
    ("**vision compared with transformers' modules**", "vision/speedup", "{:.2f} x"),
    *(
        (f"prefill, {slots} slots", f"prefill/{slots}/seconds", "{:.2f} s")
        for slots in (LARGE_SLOTS, GUNDAM_SLOTS)
    ),
    *(
        (f"decode, {n} page{'s' * (n > 1)}", f"decode/{n}/tokens_per_s", "{:.1f} tokens/s")
        for n in reversed(PAGES)
    ),
    *(
        (
            f"decode, {n} page{'s' * (n > 1)}, torch's default kernels",
            f"decode/{n}/default_kernels_tokens_per_s",
            "{:.1f} tokens/s",
        )
        for n in (1, 8)
    ),
    ("weights read, 1 page", "decode/1/weight_gb_per_s", "{:.1f} GB/s"),
    ("**relative to the copy bandwidth**", "decode/share_of_copy", "{:.0%}"),
    ("relative to the read bandwidth", "decode/share_of_read", "{:.0%}"),
    ("**8 pages compared with 1**", "decode/8/speedup", "{:.2f} x"),
    (
        "n-gram guard and repetition detector",
        "guards/share_of_decoding",
        "{:.3%} of decoding",
    ),
    ("page in 2 x 3 tiles, 300 tokens", "page/to_token_300_s", "{:.1f} s"),
    ("page in 2 x 3 tiles, 1000 tokens", "page/to_token_1000_s", "{:.1f} s"),
    ("llama.cpp: decode, 1 page", "llama_cpp/decode_tokens_per_s", "{:.1f} tokens/s"),
    ("llama.cpp: prefill, 903 slots", "llama_cpp/prefill_s", "{:.2f} s"),
    ("llama.cpp: 1024 view and six tiles", "llama_cpp/vision_s", "{:.2f} s"),
    ("**decode compared with llama.cpp**", "llama_cpp/decode_speedup", "{:.2f} x"),
    ("**prefill compared with llama.cpp**", "llama_cpp/prefill_speedup", "{:.2f} x"),
    ("**vision compared with llama.cpp**", "llama_cpp/vision_speedup", "{:.2f} x"),
]


def format_table(by_dtype: dict[str, Results]) -> str:
    """Format the results of each dtype; a figure that is missing gives an empty cell."""
    lines = ["| | " + " | ".join(by_dtype) + " |", "| --- |" + " --- |" * len(by_dtype)]
    for name, path, form in ROWS:
        cells = [_format_cell(results, path, form=form) for results in by_dtype.values()]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines)


def _format_cell(results: Results, path: str, *, form: str) -> str:
    value: Any = results
    for key in path.split("/"):
        if not isinstance(value, dict) or key not in value:
            return ""
        value = value[key]
    return form.format(value)
