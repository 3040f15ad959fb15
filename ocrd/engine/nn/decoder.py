"""The language model: transformers' mixture-of-experts decoder, built and run.

Its layers are called directly, one after the other. So there is no mask to build: a prompt is
causal without one, and a decoding step needs one only when its pages differ in length.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers.models.deepseek_ocr2.configuration_deepseek_ocr2 import DeepseekOcr2TextConfig
from transformers.models.deepseek_ocr2.modeling_deepseek_ocr2 import DeepseekOcr2TextModel

from ocrd.checkpoint_format.architecture import DecoderConfig
from ocrd.engine.nn.attention import ATTENTION_IMPLEMENTATION
from ocrd.engine.nn.experts import EXPERTS_IMPLEMENTATION
from ocrd.engine.nn.kv_cache import KVCache


def build_decoder(sizes: DecoderConfig) -> DeepseekOcr2TextModel:
    """Build the decoder with our attention and experts kernels; its weights are not loaded."""
    config = DeepseekOcr2TextConfig(
        vocab_size=sizes.vocab_size,
        hidden_size=sizes.hidden_size,
        intermediate_size=sizes.intermediate_size,
        num_hidden_layers=sizes.num_layers,
        num_attention_heads=sizes.num_heads,
        num_key_value_heads=sizes.num_kv_heads,
        max_position_embeddings=sizes.max_positions,
        rms_norm_eps=sizes.rms_norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": sizes.rope_theta},
        n_routed_experts=sizes.num_experts,
        n_shared_experts=sizes.num_shared_experts,
        num_experts_per_tok=sizes.num_experts_per_token,
        moe_intermediate_size=sizes.moe_intermediate_size,
        routed_scaling_factor=sizes.routed_scaling_factor,
        topk_method="greedy",
        mlp_layer_types=[
            "dense" if i < sizes.num_dense_layers else "sparse" for i in range(sizes.num_layers)
        ],
        bos_token_id=sizes.bos_token_id,
        eos_token_id=sizes.eos_token_id,
    )
    # transformers' own switches; they have no public setter on a bare config.
    config._attn_implementation = ATTENTION_IMPLEMENTATION
    config._experts_implementation = EXPERTS_IMPLEMENTATION
    return DeepseekOcr2TextModel(config)


def rebuild_rotary_embedding(decoder: DeepseekOcr2TextModel, device: torch.device) -> None:
    """Compute the rotary embedding's frequencies again, on ``device`` and in float32.

    They are a buffer that no checkpoint holds, and they stay in float32 whatever dtype the weights
    have. Call this after anything that allocates, moves or converts the whole decoder.
    """
    decoder.rotary_emb = type(decoder.rotary_emb)(decoder.config).to(device)


def run_decoder(decoder: DeepseekOcr2TextModel, hidden: Tensor, *, cache: KVCache) -> Tensor:
    """Run the decoder's layers and its final norm.

    Args:
        decoder: The language model.
        hidden: Embeddings [n, T, D]: the prompt of one page (n = 1), or one token of each of n
            pages (T = 1).
        cache: Its ``begin_prefill`` or ``begin_decode`` was called for these positions.

    Returns:
        Hidden states [n, T, D].
    """
    rotary = decoder.rotary_emb(hidden, cache.positions)
    for layer in decoder.layers:
        hidden = layer(
            hidden, position_embeddings=rotary, attention_mask=cache.mask, past_key_values=cache
        )
    normed: Tensor = decoder.norm(hidden)
    return normed
