"""The public Python call: `DeepSeekOCR(model_dir).recognize(image) -> list[Block]`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from ocrd.engine.checkpoint import load_network
from ocrd.engine.decode import Limits, decode
from ocrd.engine.devices import DTYPES, TorchDevices
from ocrd.engine.plan import make_plan
from ocrd.engine.preprocess import Mode, choose_mode, prepare
from ocrd.engine.prompt import encode_prompt, prompt_text
from ocrd.layout.architecture import count_parameters, read_architecture
from ocrd.layout.tokenizer import load_tokenizer
from ocrd.types import Block, PageReading


class DeepSeekOCR:
    """A loaded model, ready to read pages.

    ``model_dir`` holds ``config.json``, ``*.safetensors`` and ``tokenizer.json`` in the published layout.
    Raises ModelError for a folder that holds no such model, EngineError for a device that is not there.
    """

    def __init__(
        self,
        model_dir: Path | str,
        device: str = "auto",
        dtype: str = "auto",
        mode: str = "auto",
        progress: Callable[[float], None] = lambda _done: None,
        place: torch.device | None = None,
    ) -> None:
        """``auto`` is what `make_plan` would try first; ``place`` is where ``device`` really is, for tests."""
        self.model_dir = Path(model_dir)
        if "auto" in (device, dtype) or place is None:
            parameters = count_parameters(read_architecture(self.model_dir))
            first = make_plan(device, dtype, parameters, TorchDevices().machine()).candidates[0]
            device, dtype = first.device, first.dtype
        self.device: str = device
        self.tokenizer = load_tokenizer(self.model_dir)
        self.network = load_network(self.model_dir, place or device, DTYPES[dtype], progress)
        self.mode = choose_mode(mode, self.network.arch.sam.view)

    @property
    def dtype(self) -> str:
        return str(self.network.dtype).removeprefix("torch.")

    def recognize(self, image: Image.Image, task: str = "text") -> list[Block]:
        """The blocks of one upright picture, in reading order."""
        return list(self.read(image, task).blocks)

    @torch.inference_mode()
    def read(
        self,
        image: Image.Image,
        task: str = "text",
        index: int = 0,
        limits: Limits = Limits(),  # noqa: B008 - frozen, so one instance for all is safe
        on_token: Callable[[int], None] = lambda _count: None,
        mode: Mode | None = None,
    ) -> PageReading:
        """Read one page, in ``mode`` or the engine's own; ``on_token`` is told how many tokens there are so far.

        Raises NotFinite when the model's scores are not finite, UsageError for an unknown task.
        """
        started = time.monotonic()
        mode = mode or self.mode
        network = self.network
        prompt = encode_prompt(prompt_text(task), self.tokenizer, network.arch.decoder.bos)
        views = prepare(image.convert("RGB"), mode)
        global_view = network.see(views.global_view.to(network.device, network.dtype)).projected[0]
        tiles = None
        if views.tiles is not None:
            # One tile at a time: six at once would need six times the activations for little speed.
            tiles = torch.cat([network.see(t[None].to(network.device, network.dtype)).projected for t in views.tiles])
        picture = network.lay_out(global_view, tiles, views.grid)
        before, after = (
            torch.tensor(ids, dtype=torch.long, device=network.device) for ids in (prompt.before, prompt.after)
        )
        decoded = decode(network, network.embed_prompt(before, picture, after), limits, on_token)
        text = self.tokenizer.decode(list(decoded.ids), skip_special_tokens=True).strip()
        return PageReading(
            index=index,
            width=image.width,
            height=image.height,
            text=text,
            blocks=(Block(text=text, page=index),) if text else (),
            tokens=len(decoded.ids),
            stop_reason=decoded.stop_reason,
            seconds=time.monotonic() - started,
            mode=mode.name,
        )
