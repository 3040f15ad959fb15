"""What the worker is given follows from the configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ocrd.config import parse_config
from ocrd.worker.child import missing_variables
from ocrd.worker.from_config import memory_limits, read_request, worker_setup
from ocrd.worker.messages import ReadDocuments, decode_requests, send_requests

VARIABLES = {
    "PYTORCH_ENABLE_MPS_FALLBACK": "1",
    "PYTORCH_MPS_HIGH_WATERMARK_RATIO": "1.0",
    "PYTORCH_MPS_LOW_WATERMARK_RATIO": "0.9",
}


def test_torchs_variables_are_set_before_torch_is_imported() -> None:
    code = "import sys, ocrd.worker.child; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
    engine = {"mps_fallback": False, "mps_high_watermark": 1.5}
    assert worker_setup(parse_config({"engine": engine}, "test")).environment == {
        "PYTORCH_ENABLE_MPS_FALLBACK": "0",
        "PYTORCH_MPS_HIGH_WATERMARK_RATIO": "1.5",
        "PYTORCH_MPS_LOW_WATERMARK_RATIO": "0.9",
    }


def test_of_torchs_two_watermarks_both_are_the_users_or_both_are_ours() -> None:
    assert missing_variables(VARIABLES, {}) == VARIABLES
    users = {"PYTORCH_MPS_HIGH_WATERMARK_RATIO": "0.7"}
    assert missing_variables(VARIABLES, users) == {"PYTORCH_ENABLE_MPS_FALLBACK": "1"}
    users = {"PYTORCH_ENABLE_MPS_FALLBACK": "0"}
    assert "PYTORCH_ENABLE_MPS_FALLBACK" not in missing_variables(VARIABLES, users)


def test_the_memory_limit_is_the_users_or_a_share_of_the_machine() -> None:
    limits = memory_limits(parse_config({"engine": {"memory_ceiling": 20}}, "test"))
    assert (limits.max_bytes, limits.max_growth_bytes) == (20e9, 6e9)
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert memory_limits(parse_config({}, "test")).max_bytes == 0.9 * installed


def test_a_name_that_is_not_utf8_reaches_the_worker_unchanged(tmp_path: Path) -> None:
    path = Path(os.fsdecode(b"/in/z\xff.png"))
    request = read_request(parse_config({}, "test"), path, job="j", task="text")
    line = tmp_path / "line"
    with line.open("wb") as pipe:
        send_requests(pipe, ReadDocuments((request,)))
    assert line.read_bytes().isascii()
    assert decode_requests(line.read_bytes()).requests == (request,)
