"""DeepSeek-OCR, composed of transformers' parts.

SAM and CLIP -> projector -> mixture-of-experts decoder.

The sub-modules keep the published names ``sam_model``, ``vision_model`` and ``projector``. Image
tokens are contiguous in the prompt, so their embeddings are put there by concatenation. There is
no ``masked_scatter``, whose dtype clash on MPS is the failure that this project is named for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ocrd.checkpoint_format.architecture import Architecture
from ocrd.engine.nn.clip import ClipEncoder
from ocrd.engine.nn.decoder import build_decoder, run_decoder
from ocrd.engine.nn.kernels import (
    DecodeLinear,
    KernelChoice,
    use_decode_linear,
    use_kernels,
)
from ocrd.engine.nn.kv_cache import KVCache
from ocrd.engine.nn.projector import Projector
from ocrd.engine.nn.sam import build_sam


class Network(nn.Module):
    """The whole model. The constructor does not initialise the weights: load or train them."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        width = arch.decoder.hidden_size
        self.arch = arch
        self.sam_model = build_sam(arch.sam)
        self.vision_model = ClipEncoder(arch.clip)
        self.projector = Projector(arch.clip.hidden_size + arch.sam.downsample_channels[1], width)
        self.image_newline = nn.Parameter(torch.zeros(width))
        self.view_seperator = nn.Parameter(torch.zeros(width))  # spelt so in the checkpoint
        self.language_model = build_decoder(arch.decoder)
        self.lm_head = DecodeLinear(width, arch.decoder.vocab_size, bias=False)
        use_decode_linear(self.language_model)
        self.kernels = KernelChoice()
        self.use_kernels(self.kernels)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.lm_head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' number format."""
        return self.lm_head.weight.dtype

    def use_kernels(self, choice: KernelChoice) -> None:
        """Multiply with these kernels from now on; `autotune.tune` finds the fastest ones."""
        self.kernels = choice
        use_kernels(self, choice)

    def encode_views(self, views: Tensor) -> Tensor:
        """Encode square views, all of them together.

        Args:
            views: [N, 3, S, S], normalised to -1 to 1; S is a multiple of 64.

        Returns:
            Features [N, G*G, D] in the decoder's width, row by row; G = S / 64.
        """
        return self._project(self.sam_model(views).last_hidden_state)

    def encode_tiles(self, tiles: Tensor) -> Tensor:
        """Encode tiles: SAM one tile at a time, CLIP all tiles together.

        SAM needs the memory. CLIP has 101 tokens for a tile, too few to be worth reading its
        weights: six tiles together take 0.9 s, one after the other 2.8 s.

        Args:
            tiles: [N, 3, S, S], as for `encode_views`.

        Returns:
            Features [N, G*G, D], as from `encode_views`.
        """
        return self._project(
            torch.cat([self.sam_model(tile[None]).last_hidden_state for tile in tiles])
        )

    def _project(self, sam: Tensor) -> Tensor:
        """SAM's feature maps [N, C, G, G] -> CLIP and projector -> [N, G*G, D]."""
        clip = self.vision_model(sam)[:, 1:]  # without the class token
        features = torch.cat([clip, sam.flatten(2).transpose(1, 2)], dim=-1)
        projected: Tensor = self.projector(features)
        return projected

    def assemble_image_tokens(
        self, global_view: Tensor, tiles: Tensor | None, *, grid: tuple[int, int]
    ) -> Tensor:
        """Put one page's features in the order of the published prompt.

        The tiles as one large grid, then the global view, then ``view_seperator``. Each row of each
        grid ends with ``image_newline``.

        Args:
            global_view: [G*G, D].
            tiles: [columns*rows, g*g, D], row by row, or None.
            grid: (columns, rows) of the tiles.

        Returns:
            [tokens, D].
        """
        parts = [] if tiles is None else [self._with_newlines(_join_tiles(tiles, grid))]
        side = round(global_view.shape[0] ** 0.5)
        parts += [self._with_newlines(global_view.view(side, side, -1)), self.view_seperator[None]]
        return torch.cat(parts)

    def _with_newlines(self, grid: Tensor) -> Tensor:
        """[rows, columns, D] -> [rows * (columns + 1), D]."""
        newline = self.image_newline.expand(grid.shape[0], 1, -1)
        return torch.cat([grid, newline], dim=1).flatten(0, 1)

    def embed_prompt(self, before: Tensor, image: Tensor, *, after: Tensor) -> Tensor:
        """Embed a prompt.

        Args:
            before: Token ids [a] in front of the image.
            image: Image tokens [t, D].
            after: Token ids [b] that follow the image.

        Returns:
            [1, a + t + b, D].
        """
        embed = self.language_model.embed_tokens
        return torch.cat([embed(before), image.to(embed.weight.dtype), embed(after)])[None]

    def next_logits(self, embedded: Tensor, *, cache: KVCache) -> Tensor:
        """Run the decoder on new embeddings and score the token that follows.

        Args:
            embedded: [n, T, D], as for `run_decoder`.
            cache: Its ``begin_prefill`` or ``begin_decode`` was called for these positions.

        Returns:
            Logits [n, V] of the last position only.
        """
        hidden = run_decoder(self.language_model, embedded, cache=cache)
        logits: Tensor = self.lm_head(hidden[:, -1])
        return logits


def _join_tiles(tiles: Tensor, grid: tuple[int, int]) -> Tensor:
    """[columns*rows, g*g, D] tiles -> [rows*g, columns*g, D], as they are in the page."""
    columns, rows = grid
    side = round(tiles.shape[1] ** 0.5)
    by_row = tiles.view(rows, columns, side, side, -1).transpose(1, 2)
    return by_row.reshape(rows * side, columns * side, -1)
