"""The Python interface to the model: `DeepSeekOCR(model_dir).recognize(image) -> list[Block]`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ocrd.checkpoint_format.architecture import read_architecture
from ocrd.checkpoint_format.published_tensors import count_parameters
from ocrd.checkpoint_format.tokenizer import load_tokenizer
from ocrd.engine.decode import Batch, DecodeLimits
from ocrd.engine.nn.autotune import TuningResult, tune
from ocrd.engine.nn.checkpoint import load_network
from ocrd.engine.preprocess import prepare
from ocrd.engine.progress import NoProgress, PageProgress
from ocrd.engine.prompt import Prompt, encode_prompt
from ocrd.engine.reading import make_reading
from ocrd.engine.resolution import Mode, check_mode, choose_mode
from ocrd.engine.runtime.device_plan import Candidate, make_device_plan
from ocrd.engine.runtime.devices import DTYPES, TorchDevices
from ocrd.engine.scheduler import PageScheduler, ScheduledPage
from ocrd.engine.special_tokens import find_special_tokens
from ocrd.rgb import to_rgb, upright
from ocrd.tasks import prompt_text
from ocrd.types import Block, PageReading


class DeepSeekOCR:
    """A loaded DeepSeek-OCR model that reads pages.

    Loading takes seconds to a minute, so keep the object and use it for many pages. It is not
    thread-safe.

    Attributes:
        model_dir: Folder of the checkpoint.
        device: ``mps``, ``cuda`` or ``cpu``: where the model is now.
        mode: Resolution mode of pages that ask for no other one.
        skip_blank: Whether blank pages are recognised without the model.
        tokenizer: The model's tokenizer.
        network: The model's network.
    """

    def __init__(
        self,
        model_dir: Path | str,
        device: str = "auto",
        *,
        dtype: str = "auto",
        mode: str = "auto",
        skip_blank: bool = True,
        progress: Callable[[float], None] = lambda _done: None,
        torch_device: torch.device | None = None,
    ) -> None:
        """Load the model.

        Args:
            model_dir: Folder with ``config.json``, ``*.safetensors`` and ``tokenizer.json`` in the
                published layout.
            device: ``mps``, ``cuda``, ``cpu``, or ``auto`` for the best one that the model fits on.
            dtype: ``float32``, ``bfloat16``, or ``auto`` for the best one that fits.
            mode: Resolution mode: ``tiny``, ``small``, ``base``, ``large``, ``gundam``, or ``auto``
                for the mode that suits each page.
            skip_blank: Whether blank pages get an empty reading without the model, which may see
                text where there is none.
            progress: Called with the share of the weights that is loaded, 0 to 1.
            torch_device: What ``device`` really is, for tests of devices that are not there.

        Raises:
            EngineError: This machine has no such device.
            ModelError: The folder holds no such model.
            UsageError: There is no such mode.
        """
        check_mode(mode)
        self.model_dir = Path(model_dir)
        if torch_device is None or "auto" in (device, dtype):
            candidate = _best_candidate(self.model_dir, device, dtype=dtype)
            device = candidate.device
            dtype = candidate.dtype
        self.device: str = device
        self.mode = mode
        self.skip_blank = skip_blank
        self.tokenizer = load_tokenizer(self.model_dir)
        self.network = load_network(
            self.model_dir, torch_device or device, dtype=DTYPES[dtype], progress=progress
        )
        self._special_tokens = find_special_tokens(self.tokenizer)
        # By device and dtype.
        self._tuning_results: dict[tuple[str, str], TuningResult] = {}

    @property
    def dtype(self) -> str:
        """``float32`` or ``bfloat16``."""
        return str(self.network.dtype).removeprefix("torch.")

    @property
    def tuning(self) -> TuningResult | None:
        """The kernels in use; None before `tune`, when they are torch's own."""
        return self._tuning_results.get(self._placement)

    @property
    def _placement(self) -> tuple[str, str]:
        return self.network.device.type, self.dtype

    def tune(self) -> None:
        """Measure which kernels are fastest where the model is now, and use them.

        Takes up to four seconds, or none where the model was tuned before. Reading works without
        it, but is slower.
        """
        self._tuning_results[self._placement] = tune(self.network, self.tuning)

    def recognize(self, image: Image.Image, task: str = "text") -> list[Block]:
        """Read a picture.

        Args:
            image: Any Pillow image. It is turned as its EXIF data says and put on white.
            task: ``text``, ``markdown``, ``figure``, ``locate:WORDS`` or ``prompt:WORDS``.

        Returns:
            Blocks in reading order. ``markdown`` and ``locate:`` give boxes in pixels of the
            upright picture; the other tasks give one block with all the text.

        Raises:
            NonFiniteLogits: The model computed NaN or infinity on this device.
            UsageError: There is no such task.
        """
        return list(self.read(to_rgb(upright(image)), task).blocks)

    def read(
        self,
        image: Image.Image,
        task: str = "text",
        *,
        index: int = 0,
        limits: DecodeLimits = DecodeLimits(),  # noqa: B008 - frozen
        mode: str | None = None,
        progress: PageProgress = NoProgress(),  # noqa: B008 - without state
    ) -> PageReading:
        """Read one page.

        Args:
            image: Upright RGB.
            task: As for `recognize`.
            index: Index of the page in its document, from 0.
            limits: When decoding stops.
            mode: Resolution mode in place of the model's own.
            progress: Receives each attempt and token.

        Raises:
            NonFiniteLogits: The model computed NaN or infinity on this device.
            UsageError: There is no such task or mode.
        """
        readings = self.read_pages(
            [(index, image)], task, limits=limits, mode=mode, progress=progress
        )
        return next(readings)

    def read_pages(
        self,
        pages: Iterable[tuple[int, Image.Image]],
        task: str = "text",
        *,
        limits: DecodeLimits = DecodeLimits(),  # noqa: B008 - frozen
        slots: int = 1,
        mode: str | None = None,
        progress: PageProgress = NoProgress(),  # noqa: B008 - without state
    ) -> Iterator[PageReading]:
        """Read the pages of a document in batches.

        Args:
            pages: Index and upright RGB picture of each page. A picture is requested when there is
                room for it, and released when it is read.
            task: As for `recognize`.
            limits: When decoding of each page stops.
            slots: Most pages that are decoded at the same time. Each needs memory for its keys and
                values.
            mode: Resolution mode in place of the model's own.
            progress: Receives each attempt and token.

        Yields:
            The readings, in the order of ``pages``.

        Raises:
            NonFiniteLogits: The model computed NaN or infinity for one of the pages in the batch.
            UsageError: There is no such task or mode.
        """
        bos = self.network.arch.decoder.bos_token_id
        prompt = encode_prompt(prompt_text(task), self.tokenizer, bos=bos)
        scheduler = PageScheduler(
            Batch(self.network, limits, special_tokens=self._special_tokens, slots=slots),
            slots=slots,
            choose_mode=partial(self.mode_for, mode=mode),
            embed=partial(self._embed_page, prompt=prompt),
            progress=progress,
            skip_blank=self.skip_blank,
        )
        for page in scheduler.run(pages):
            yield make_reading(page, task, tokenizer=self.tokenizer)

    def mode_for(self, image: Image.Image, mode: str | None = None) -> Mode:
        """Return the resolution mode in which ``image`` is read if ``mode`` is requested.

        Raises:
            UsageError: There is no such mode.
        """
        return choose_mode(mode or self.mode, self.network.arch.sam.image_size, size=image.size)

    @torch.inference_mode()
    def _embed_page(self, page: ScheduledPage, prompt: Prompt) -> Tensor:
        """Return the embeddings [1, T, D] of the page's whole prompt: text, image tokens, text."""
        network = self.network
        views = prepare(page.image, page.mode)
        global_view = views.global_view.to(network.device, network.dtype)
        global_features = network.encode_views(global_view)[0]
        tile_features = None
        if views.tiles is not None:
            tiles = views.tiles.to(network.device, network.dtype)
            tile_features = network.encode_tiles(tiles)
        image_tokens = network.assemble_image_tokens(
            global_features, tile_features, grid=views.grid
        )
        before = torch.tensor(prompt.before, dtype=torch.long, device=network.device)
        after = torch.tensor(prompt.after, dtype=torch.long, device=network.device)
        return network.embed_prompt(before, image_tokens, after=after)


def _best_candidate(model_dir: Path, device: str, *, dtype: str) -> Candidate:
    """Return the first candidate of the plan for this machine."""
    plan = make_device_plan(
        device,
        dtype,
        parameters=count_parameters(read_architecture(model_dir)),
        machine=TorchDevices().machine(),
    )
    return plan.candidates[0]
