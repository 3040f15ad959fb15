"""The pocket model's configuration, tokenizer and files.

The configuration has the published schema with small sizes.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models

from ocrd.checkpoint_format.architecture import SAM_PATCH_SIZE
from ocrd.engine.nn.checkpoint import published_state_dict
from ocrd.engine.nn.network import Network
from ocrd.files import hash_file
from tools.render_text import CHARACTERS, VIEW

BOS = "<｜begin▁of▁sentence｜>"
EOS = "<｜end▁of▁sentence｜>"
IMAGE = "<image>"
SPECIAL_TOKENS = (BOS, EOS, IMAGE, "<|grounding|>", "<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>")
BOS_ID = 0
EOS_ID = 1
# SAM's patches, and the image tokens that are made from them, on a side of the view.
PATCHES = VIEW // SAM_PATCH_SIZE
TOKENS = VIEW // 64

# In the published file's order of keys, which ``config.json`` keeps.
LANGUAGE_CONFIG = {
    "architectures": ["DeepseekV2ForCausalLM"],
    "bos_token_id": BOS_ID,
    "eos_token_id": EOS_ID,
    "first_k_dense_replace": 1,
    "hidden_size": 192,
    "intermediate_size": 512,
    "kv_lora_rank": None,
    "lm_head": True,
    "max_position_embeddings": 1024,
    "moe_intermediate_size": 192,
    "n_group": 1,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_attention_heads": 3,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 4,
    "num_key_value_heads": 3,
    "q_lora_rank": None,
    "qk_nope_head_dim": 0,
    "qk_rope_head_dim": 0,
    "rm_head": False,
    "topk_group": 1,
    "topk_method": "greedy",
    "torch_dtype": "bfloat16",
    "use_mla": False,
    "v_head_dim": 0,
}
SAM_CONFIG = {
    "downsample_channels": [192, 192],
    "global_attn_indexes": [2],
    "heads": 3,
    "layers": 3,
    "width": 96,
    "neck_channels": 128,
    "window_size": 8,
}
CLIP_CONFIG = {"heads": 3, "image_size": 14 * TOKENS, "layers": 3, "patch_size": 14, "width": 192}


def pocket_config(vocab_size: int) -> dict[str, object]:
    """The contents of the pocket model's ``config.json``."""
    return {
        "_name_or_path": "ocrd/pocket",
        "architectures": ["DeepseekOCRForCausalLM"],
        "model_type": "deepseek_vl_v2",
        "candidate_resolutions": [[VIEW, VIEW]],
        "global_view_pos": "head",
        "tile_tag": "2D",
        "torch_dtype": "bfloat16",
        "language_config": LANGUAGE_CONFIG | {"vocab_size": vocab_size},
        "projector_config": {
            "input_dim": 384,
            "model_type": "mlp_projector",
            "n_embed": 192,
            "projector_type": "linear",
        },
        "vision_config": {
            "image_size": VIEW,
            "mlp_ratio": 3.7362,
            "model_name": "deeplip_b_l",
            "model_type": "vision",
            "width": {"clip-l-14-224": CLIP_CONFIG, "sam_vit_b": SAM_CONFIG},
        },
    }


def build_tokenizer() -> Tokenizer:
    """One token for each character (a BPE without merges), and the published special tokens."""
    vocab = {token: index for index, token in enumerate((*SPECIAL_TOKENS, *CHARACTERS))}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def save_model(network: Network, tokenizer: Tokenizer, *, out: Path) -> None:
    """Write the model to the folder ``out`` in the published layout, with its manifest."""
    out.mkdir(parents=True, exist_ok=True)
    config = json.dumps(pocket_config(tokenizer.get_vocab_size()), indent=1)
    (out / "config.json").write_text(config + "\n", encoding="utf-8")
    tokenizer.save(str(out / "tokenizer.json"))
    weights = out / "model.safetensors"
    save_file(published_state_dict(network, torch.bfloat16), weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # safetensors writes 0600, which a shared installation could not read
    files = {
        name: {"size": (out / name).stat().st_size, "sha256": hash_file(out / name)}
        for name in ("config.json", "model.safetensors", "tokenizer.json")
    }
    manifest = {"repo": "ocrd/pocket", "revision": None, "files": files}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
