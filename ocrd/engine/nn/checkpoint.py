"""Load a published checkpoint into the network, and turn the network into one again.

No code from the checkpoint runs, and only safetensors are read, never a pickle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from io import FileIO
from pathlib import Path

import torch
from torch import Tensor

from ocrd.checkpoint_format.architecture import read_architecture
from ocrd.checkpoint_format.published_tensors import (
    UNUSED_TENSOR,
    check_tensors,
    published_tensors,
)
from ocrd.checkpoint_format.weight_files import (
    DTYPE_BYTES,
    TensorInfo,
    find_weight_files,
    read_headers,
)
from ocrd.engine.nn.decoder import rebuild_rotary_embedding
from ocrd.engine.nn.network import Network
from ocrd.engine.nn.weight_mapping import WeightSource, weight_source
from ocrd.errors import ModelError

# Bytes of weights that are read before they are converted.
BLOCK_BYTES = 1 << 24
# The dtypes that are loaded, by safetensors' names.
TORCH_DTYPES = {
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
}


def load_network(
    model_dir: Path,
    device: torch.device | str = "cpu",
    *,
    dtype: torch.dtype = torch.float32,
    progress: Callable[[float], None] = lambda _done: None,
    files: Sequence[Path] | None = None,
) -> Network:
    """Build the network that a model folder describes, and load its weights.

    The weights are read directly into the parameters and converted on the way, so the peak of
    memory is the network and one block of 16 MB.

    Args:
        model_dir: A folder with ``config.json`` and ``*.safetensors`` in the published layout.
        device: Where the weights go.
        dtype: What they are converted to.
        progress: Called with the share of the parameters that are loaded, from 0 to 1.
        files: The safetensors to read, for a folder that contains others as well.

    Returns:
        The network, ready for inference.

    Raises:
        ModelError: The checkpoint is damaged or incomplete. The message names the first tensors
            that are wrong.
    """
    arch = read_architecture(model_dir)
    with torch.device("meta"):
        network = Network(arch)
    network.to(dtype).to_empty(device=device)
    rebuild_rotary_embedding(network.language_model, network.device)
    tensors = read_headers(files or find_weight_files(model_dir))
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    check_tensors(shapes, arch, model_dir=model_dir)
    parameters = dict(network.named_parameters())
    with ExitStack() as stack:
        reader = _WeightReader(stack)
        for done, (name, parameter) in enumerate(parameters.items(), start=1):
            _load(parameter.data, weight_source(name, arch), tensors=tensors, reader=reader)
            progress(done / len(parameters))
    return network.eval().requires_grad_(requires_grad=False)


def _load(
    parameter: Tensor,
    source: WeightSource,
    *,
    tensors: Mapping[str, TensorInfo],
    reader: _WeightReader,
) -> None:
    for name, part in source.parts(parameter):
        start = 0 if source.third is None else source.third * part.numel()
        reader.read(tensors[name], part, start=start)


class _WeightReader:
    """Reads weights from the checkpoint's files, a block at a time.

    The files are read, not mapped: pages of a mapped file count as the process's memory for as long
    as the system likes, which at full size is 6.7 GB in addition to the network.
    """

    def __init__(self, stack: ExitStack) -> None:
        """``stack`` closes the files."""
        self._stack = stack
        self._files: dict[Path, FileIO] = {}
        self._block = bytearray(BLOCK_BYTES)

    def read(self, source: TensorInfo, target: Tensor, *, start: int) -> None:
        """Fill the contiguous ``target`` with elements of ``source``, from number ``start`` on.

        Raises:
            ModelError: The file ends early, or the tensor has a dtype that is not loaded.
        """
        dtype = TORCH_DTYPES.get(source.dtype)
        if dtype is None:
            raise ModelError(
                f"{source.file}: weights in {source.dtype} cannot be loaded, only weights in "
                f"{', '.join(TORCH_DTYPES)}"
            )
        flat = target.view(-1)
        element_bytes = DTYPE_BYTES[source.dtype]
        file = self._open(source.file)
        file.seek(source.offset + start * element_bytes)
        if dtype == target.dtype and target.device.type == "cpu":
            _read_exactly(file, flat.view(torch.uint8).numpy().data, path=source.file)
            return
        numbers = torch.frombuffer(self._block, dtype=dtype)
        for first in range(0, flat.numel(), numbers.numel()):
            count = min(numbers.numel(), flat.numel() - first)
            block = memoryview(self._block)[: count * element_bytes]
            _read_exactly(file, block, path=source.file)
            flat[first : first + count].copy_(numbers[:count])

    def _open(self, path: Path) -> FileIO:
        if path not in self._files:
            try:
                self._files[path] = self._stack.enter_context(FileIO(path))
            except OSError as error:
                raise ModelError(f"{path} cannot be read ({error.strerror})") from error
        return self._files[path]


def _read_exactly(file: FileIO, buffer: memoryview, *, path: Path) -> None:
    """Fill the buffer. One read may return less, and never returns more than 2 GB."""
    while buffer:
        try:
            count = file.readinto(buffer)
        except OSError as error:
            raise ModelError(f"{path} cannot be read ({error.strerror})") from error
        if not count:
            raise ModelError(f"{path} ends in the middle of a tensor")
        buffer = buffer[count:]


def published_state_dict(network: Network, dtype: torch.dtype) -> dict[str, Tensor]:
    """Convert the network's weights to the published layout, for saving.

    Args:
        network: The network.
        dtype: What the weights are converted to.

    Returns:
        Tensors by their published names, contiguous and on the CPU. The one that nothing uses is
        zero.
    """
    tensors: dict[str, Tensor] = {}
    thirds: dict[str, dict[int, Tensor]] = {}
    for name, parameter in network.named_parameters():
        source = weight_source(name, network.arch)
        for published, part in source.parts(parameter.detach()):
            value = part.to("cpu", dtype).clone().contiguous()
            if source.third is None:
                tensors[published] = value
            else:
                thirds.setdefault(published, {})[source.third] = value
    for published, parts in thirds.items():
        tensors[published] = torch.cat([parts[0], parts[1], parts[2]])
    tensors[UNUSED_TENSOR] = torch.zeros(
        published_tensors(network.arch)[UNUSED_TENSOR], dtype=dtype
    )
    return tensors
