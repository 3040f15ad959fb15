"""What the pocket model is made of.

The published configuration schema with small sizes, and its tokenizer.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models

from ocrd.engine.nn.checkpoint import published_state_dict
from ocrd.engine.nn.network import Network
from ocrd.files import hash_file
from tools.render_text import CHARACTERS, VIEW

BOS = "<｜begin▁of▁sentence｜>"
EOS = "<｜end▁of▁sentence｜>"
IMAGE = "<image>"
SPECIALS = (BOS, EOS, IMAGE, "<|grounding|>", "<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>")
BOS_ID = 0
EOS_ID = 1
# Of SAM and of the projected features, on a side of the view.
PATCHES = VIEW // 16
CELLS = VIEW // 64

TEXT_CONFIG = {
    "architectures": ["DeepseekV2ForCausalLM"], "bos_token_id": 0, "eos_token_id": 1, "first_k_dense_replace": 1,
    "hidden_size": 192, "intermediate_size": 512, "kv_lora_rank": None, "lm_head": True,
    "max_position_embeddings": 1024, "moe_intermediate_size": 192, "n_group": 1, "n_routed_experts": 4,
    "n_shared_experts": 1, "num_attention_heads": 3, "num_experts_per_tok": 2, "num_hidden_layers": 4,
    "num_key_value_heads": 3, "q_lora_rank": None, "qk_nope_head_dim": 0, "qk_rope_head_dim": 0,
    "rm_head": False, "topk_group": 1, "topk_method": "greedy", "torch_dtype": "bfloat16", "use_mla": False,
    "v_head_dim": 0,
}  # fmt: skip


def pocket_config(vocabulary: int) -> dict[str, object]:
    """The published configuration schema with the pocket's sizes."""
    return {
        "_name_or_path": "ocrd/pocket",
        "architectures": ["DeepseekOCRForCausalLM"],
        "model_type": "deepseek_vl_v2",
        "candidate_resolutions": [[VIEW, VIEW]],
        "global_view_pos": "head",
        "tile_tag": "2D",
        "torch_dtype": "bfloat16",
        "language_config": TEXT_CONFIG | {"vocab_size": vocabulary},
        "projector_config": {
            "input_dim": 384, "model_type": "mlp_projector", "n_embed": 192, "projector_type": "linear",
        },
        "vision_config": {
            "image_size": VIEW,
            "mlp_ratio": 3.7362,
            "model_name": "deeplip_b_l",
            "model_type": "vision",
            "width": {
                "clip-l-14-224": {"heads": 3, "image_size": 14 * CELLS, "layers": 3, "patch_size": 14, "width": 192},
                "sam_vit_b": {
                    "downsample_channels": [192, 192], "global_attn_indexes": [2], "heads": 3, "layers": 3,
                    "width": 96, "neck_channels": 128, "window_size": 8,
                },
            },
        },
    }  # fmt: skip


def build_tokenizer() -> Tokenizer:
    """One token a character (a BPE with no merges), and the published special tokens."""
    vocabulary = {token: index for index, token in enumerate((*SPECIALS, *CHARACTERS))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def save(network: Network, tokenizer: Tokenizer, *, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    config = json.dumps(pocket_config(tokenizer.get_vocab_size()), indent=1)
    (out / "config.json").write_text(config + "\n", encoding="utf-8")
    tokenizer.save(str(out / "tokenizer.json"))
    weights = out / "model.safetensors"
    save_file(published_state_dict(network, torch.bfloat16), weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors writes 0600, which a shared installation could not read
    files = {name: out / name for name in ("config.json", "model.safetensors", "tokenizer.json")}
    manifest = {
        "repo": "ocrd/pocket",
        "revision": None,
        "files": {
            name: {"size": path.stat().st_size, "sha256": hash_file(path)}
            for name, path in files.items()
        },
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
