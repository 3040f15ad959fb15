"""The public Python call: `DeepSeekOCR(model_dir).recognize(image) -> list[Block]`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import torch
from PIL import Image
from torch import Tensor

from ocrd.checkpoint_format.architecture import read_architecture
from ocrd.checkpoint_format.published_tensors import count_parameters
from ocrd.checkpoint_format.tokenizer import load_tokenizer
from ocrd.engine import grounding
from ocrd.engine.blank_page import is_blank
from ocrd.engine.decode import Batch, Decoded, DecodeLimits
from ocrd.engine.nn.autotune import TuningResult, tune
from ocrd.engine.nn.checkpoint import load_network
from ocrd.engine.preprocess import MODES, Mode, check_mode, choose_mode, prepare
from ocrd.engine.prompt import Prompt, encode_prompt, find_special_tokens
from ocrd.engine.runtime.device_plan import make_device_plan
from ocrd.engine.runtime.devices import DTYPES, TorchDevices
from ocrd.rgb import to_rgb, upright
from ocrd.tasks import LOCATE, is_grounded, prompt_text
from ocrd.types import Attempt, Block, PageReading

# Where a page is looked at again that came out as a loop: other tokens, another text.
OTHER_MODE = {"gundam": "base", "large": "base", "base": "large", "small": "base", "tiny": "small"}
# Of a loop's good prefix: a second attempt that ends well with fewer tokens than this has not seen
# the page.
WORTH = 1 / 3


@dataclass
class _Page:
    """A page that is being read."""

    index: int
    image: Image.Image
    mode: Mode
    # Of this attempt.
    begun: float = field(default_factory=time.monotonic)
    attempts: list[tuple[Attempt, Decoded]] = field(default_factory=list)


class DeepSeekOCR:
    """A loaded model, ready to read pages.

    ``model_dir`` holds ``config.json``, ``*.safetensors`` and ``tokenizer.json`` in the published
    layout. Raises ModelError for a folder that holds no such model, EngineError for a device that
    is not there.
    """

    def __init__(
        self,
        model_dir: Path | str,
        device: str = "auto",
        *,
        dtype: str = "auto",
        mode: str = "auto",
        progress: Callable[[float], None] = lambda _done: None,
        place: torch.device | None = None,
        skip_blank: bool = True,
    ) -> None:
        """``auto`` is what `make_device_plan` would try first.

        ``place`` is where ``device`` really is, for tests.

        ``skip_blank``: empty pages are not shown to the model, which may see things there.
        """
        check_mode(mode)
        self.model_dir = Path(model_dir)
        if "auto" in (device, dtype) or place is None:
            parameters = count_parameters(read_architecture(self.model_dir))
            first = make_device_plan(
                device, dtype, parameters=parameters, machine=TorchDevices().machine()
            ).candidates[0]
            device = first.device
            dtype = first.dtype
        self.device: str = device
        self.mode = mode
        self.skip_blank = skip_blank
        self.tokenizer = load_tokenizer(self.model_dir)
        self.network = load_network(
            self.model_dir, place or device, dtype=DTYPES[dtype], progress=progress
        )
        self._marks = find_special_tokens(self.tokenizer)
        # What was measured and chosen, by device and dtype.
        self.tuned: dict[tuple[str, str], TuningResult] = {}

    @property
    def dtype(self) -> str:
        return str(self.network.dtype).removeprefix("torch.")

    def tune(self) -> None:
        """Measure how to multiply where the model is now.

        At once when it was measured there before.
        """
        here = (self.network.device.type, self.dtype)
        known = self.tuned.get(here)
        self.tuned[here] = tune(self.network, known)
        if known is None:
            log = structlog.get_logger(component="engine")
            log.info("ways to multiply", device=here[0], dtype=here[1], **vars(self.tuned[here]))

    def recognize(self, image: Image.Image, task: str = "text") -> list[Block]:
        """The blocks of one picture of any kind, in reading order."""
        return list(self.read(to_rgb(upright(image)), task).blocks)

    def read(
        self,
        image: Image.Image,
        task: str = "text",
        *,
        index: int = 0,
        limits: DecodeLimits = DecodeLimits(),  # noqa: B008 - frozen, so one instance for all is safe
        on_token: Callable[[int], None] = lambda _count: None,
        on_attempt: Callable[[], None] = lambda: None,
        mode: str | None = None,
    ) -> PageReading:
        """Read one upright RGB page, in ``mode`` or the engine's own.

        ``on_token`` is told how many tokens there are so far, ``on_attempt`` each time that it is
        looked at. Raises NotFinite when the model's scores are not finite, UsageError for an
        unknown task.
        """
        pages = [(index, image)]
        told = self.read_many(
            pages,
            task,
            limits=limits,
            on_token=lambda _i, count: on_token(count),
            on_attempt=lambda _i: on_attempt(),
            slots=1,
            mode=mode,
        )
        return next(told)

    def read_many(
        self,
        pages: Iterable[tuple[int, Image.Image]],
        task: str,
        *,
        limits: DecodeLimits,
        on_token: Callable[[int, int], None],
        on_attempt: Callable[[int], None],
        slots: int,
        mode: str | None = None,
    ) -> Iterator[PageReading]:
        """Read pages (index and upright RGB picture), up to ``slots`` at a time.

        Their readings in the order given.

        ``on_token`` is told a page's index and its tokens so far, ``on_attempt`` the page that is
        looked at. A picture is asked for when there is room for it, and forgotten when it is read.
        Raises as `read` does.
        """
        prompt = encode_prompt(
            prompt_text(task), self.tokenizer, bos=self.network.arch.decoder.bos_token_id
        )
        batch = Batch(self.network, limits, marks=self._marks, slots=slots)
        coming = iter(pages)
        more = True
        in_hand: dict[int, _Page] = {}
        order: deque[int] = deque()
        done: dict[int, PageReading] = {}

        def begin(page: _Page) -> None:
            on_attempt(page.index)
            page.begun = time.monotonic()
            batch.add(
                page.index,
                self._look(page, prompt),
                on_token=lambda count: on_token(page.index, count),
            )

        while more or order:
            # No further ahead: a slow page, or a run of empty ones, must not draw in the whole
            # document.
            while more and not batch.full and len(order) < 2 * slots:
                index, image = next(coming, (-1, None))
                if image is None:
                    more = False
                    break
                order.append(index)
                if self.skip_blank and is_blank(image):
                    done[index] = _blank(index, image)
                    continue
                size = (image.width, image.height)
                in_hand[index] = _Page(
                    index,
                    image,
                    choose_mode(mode or self.mode, self.network.arch.sam.image_size, size=size),
                )
                begin(in_hand[index])
            for index, decoded in batch.step():
                page = in_hand[index]
                seconds = time.monotonic() - page.begun
                page.attempts.append(
                    (
                        Attempt(page.mode.name, decoded.stop_reason, len(decoded.ids), seconds),
                        decoded,
                    )
                )
                other = OTHER_MODE.get(page.mode.name)
                if decoded.stop_reason == "loop" and len(page.attempts) == 1 and other:
                    page.mode = MODES[other]
                    begin(page)
                else:
                    done[index] = self._reading(in_hand.pop(index), task)
            while order and order[0] in done:
                yield done.pop(order.popleft())

    @torch.inference_mode()
    def _look(self, page: _Page, prompt: Prompt) -> Tensor:
        """The page's prompt, picture and all: [1, T, D]."""
        network = self.network
        views = prepare(page.image, page.mode)
        global_view = network.encode_views(views.global_view.to(network.device, network.dtype))[0]
        tiles = None
        if views.tiles is not None:
            tiles = network.encode_tiles(views.tiles.to(network.device, network.dtype))
        picture = network.assemble_image_tokens(global_view, tiles, grid=views.grid)
        before, after = (
            torch.tensor(ids, dtype=torch.long, device=network.device)
            for ids in (prompt.before, prompt.after)
        )
        return network.embed_prompt(before, picture, after=after)

    def _reading(self, page: _Page, task: str) -> PageReading:
        """What is kept of a page's attempts.

        One that is no loop, unless it has next to nothing; else the longer.
        """
        longest = max(attempt.tokens for attempt, _ in page.attempts)
        attempt, decoded = max(
            page.attempts,
            key=lambda tried: (
                tried[0].stop_reason != "loop" and tried[0].tokens >= WORTH * longest,
                tried[0].tokens,
            ),
        )
        output = self.tokenizer.decode(list(decoded.ids), skip_special_tokens=False)
        size = (page.image.width, page.image.height)
        if is_grounded(task):
            read = grounding.parse(output, size, page=page.index, located=task.startswith(LOCATE))
            blocks = read.blocks
            text = read.text
            markdown = read.markdown
        else:
            text = markdown = grounding.clean(output)
            blocks = (Block(text=text, page=page.index),) if text else ()
        return PageReading(
            index=page.index,
            width=size[0],
            height=size[1],
            text=text,
            blocks=blocks,
            tokens=attempt.tokens,
            stop_reason=attempt.stop_reason,
            seconds=sum(tried.seconds for tried, _ in page.attempts),
            mode=attempt.mode,
            markdown=markdown,
            attempts=tuple(tried for tried, _ in page.attempts) if len(page.attempts) > 1 else (),
        )


def _blank(index: int, image: Image.Image) -> PageReading:
    return PageReading(index, image.width, image.height, "", (), 0, "blank", 0.0, "none")
