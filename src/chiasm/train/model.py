"""A trained model, ready to embed."""

from __future__ import annotations

import copy
import hashlib
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image, fromarray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from chiasm.batches.maker import pad_sounds, stack_clips
from chiasm.batches.store import Decode
from chiasm.config import DecodingConfig, RunConfig, load_kept
from chiasm.errors import ConfigError, MediaError, ModelError
from chiasm.modalities.media import read_bytes
from chiasm.modalities.modality import word_scale
from chiasm.modalities.prepare import decoder
from chiasm.modalities.text import Tokenizer, clean_text
from chiasm.systems.chiasm import Chiasm, make_chiasm
from chiasm.train import checkpoint
from chiasm.train.joint import CONVERSION_FILE
from chiasm.train.machine import choose_device, choose_dtype, cores
from chiasm.train.system_model import SYSTEM_FILE
from chiasm.types import Converted, Items, Media, Record, Text

Medium = str | Path | bytes | Media | Image | NDArray[np.uint8]
"""A file's path, its bytes, or a Media; a picture also as a Pillow image or uint8 [H, W, 3]."""

NO_TASKS = (
    "this model embeds and does not convert: it was trained without tasks (docs/converting.md says what they are)"
)


class LoadedModel(ABC):
    """Embeds texts, pictures, sounds and clips into one space: unit-length vectors whose dot product is the cosine similarity."""

    dtype: torch.dtype
    """What activations are computed in."""

    def __init__(self, device: torch.device, path: Path, remember: bool = False) -> None:
        self.device, self.path = device, path
        self._identity: str | None = None
        self._memory: dict[bytes, NDArray[np.float32]] | None = {} if remember else None

    @property
    @abstractmethod
    def modalities(self) -> tuple[str, ...]: ...

    @property
    @abstractmethod
    def dimension(self) -> int: ...

    @abstractmethod
    def _weights(self) -> tuple[str, Mapping[str, Tensor]]:
        """Shape as text, and the tensors."""

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """What computes, in evaluation mode: for those who look inside."""

    @property
    @abstractmethod
    def tokenizer(self) -> Tokenizer: ...

    @abstractmethod
    def prepare(self, modality: str, items: Sequence[Text | Media]) -> Items:
        """What the network is given of the items, on its device. Raises MediaError for what cannot be read."""

    @abstractmethod
    def vectors(self, modality: str, items: Items, dtype: torch.dtype = torch.float32) -> Tensor:
        """Prepared items → unit-length float32 [I, E], computed in `dtype`; gradients flow where they are on."""

    @abstractmethod
    def _compute(self, modality: str, items: Sequence[Text | Media]) -> NDArray[np.float32]: ...

    def apart(self) -> Self:
        """A copy with weights of its own, in memory alone: what is done to it leaves this model as it is."""
        light = copy.copy(self)
        light._identity, light._memory = None, None
        return copy.deepcopy(light)

    @property
    def identity(self) -> str:
        """A digest of weights and configuration."""
        if self._identity is None:
            self._identity = self._digest()
        return self._identity

    def _digest(self) -> str:
        shape, tensors = self._weights()
        digest = hashlib.sha256(shape.encode())
        for name, tensor in sorted(tensors.items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]

    def embed(
        self,
        *,
        text: str | Sequence[str] | None = None,
        image: Medium | Sequence[Medium] | None = None,
        audio: Medium | Sequence[Medium] | None = None,
        video: Medium | Sequence[Medium] | None = None,
    ) -> NDArray[np.float32]:
        """Embed one kind of thing, one or several: float32 [n, E].

        Raises ConfigError unless exactly one of them is given, MediaError for what cannot be read.
        """
        asked = {"text": text, "image": image, "audio": audio, "video": video}
        given = {name: value for name, value in asked.items() if value is not None}
        if len(given) != 1:
            raise ConfigError(f"embed one modality at a time; given: {', '.join(given) or 'none'}")
        ((modality, value),) = given.items()
        one = (str, bytes, Path, Media, Image, np.ndarray)
        many = [value] if isinstance(value, one) else list(value)
        return self.embed_items(modality, [as_item(modality, one) for one in many])

    def convert(
        self,
        *,
        text: str | None = None,
        image: Medium | None = None,
        audio: Medium | None = None,
        video: Medium | None = None,
        record: Record | None = None,
        to: str = "text",
        task: str | None = None,
        language: str | None = None,
        by: str | None = None,
        choices: Sequence[str] | None = None,
        decoding: DecodingConfig | Mapping[str, Any] | None = None,
        show: Callable[[str], None] | None = None,
    ) -> Converted:
        """See train/converting.py: what a run with tasks does. Raises ModelError where this model has none."""
        raise ModelError(f"{self.path}: {NO_TASKS}")

    def embed_items(
        self,
        modality: str,
        items: Sequence[Text | Media],
        *,
        progress: Callable[[int], None] | None = None,
        batch: int = 256,
    ) -> NDArray[np.float32]:
        """See types.Embedder."""
        if modality not in self.modalities:
            raise ConfigError(f"this model has no {modality}; it has {', '.join(self.modalities)}")
        vectors = np.zeros((len(items), self.dimension), np.float32)
        for start in range(0, len(items), batch):
            part = items[start : start + batch]
            vectors[start : start + batch] = self._embed_batch(modality, part)
            if progress:
                progress(len(part))
        return vectors

    def _embed_batch(self, modality: str, items: Sequence[Text | Media]) -> NDArray[np.float32]:
        if self._memory is None:
            return self._compute(modality, items)
        keys = [_content(modality, item) for item in items]
        missing = {key: item for key, item in zip(keys, items, strict=True) if key not in self._memory}
        if missing:
            self._memory.update(zip(missing, self._compute(modality, list(missing.values())), strict=True))
        return np.stack([self._memory[key] for key in keys])


class EmbeddingModel(LoadedModel):
    """A run of the chiasm model."""

    def __init__(
        self,
        config: RunConfig,
        model: Chiasm,
        tokenizer: Tokenizer,
        device: torch.device,
        path: Path,
        remember: bool = False,
    ) -> None:
        super().__init__(device, path, remember)
        self.config = config
        self._tokenizer = tokenizer
        self.model = model.eval()
        # float32 unless the hardware has bfloat16: the same choice as in training, so the same embeddings as were measured there.
        self.dtype = choose_dtype(config.train.precision, device)

    @property
    def modalities(self) -> tuple[str, ...]:
        return self.model.modalities

    @property
    def dimension(self) -> int:
        return self.config.model.embedding

    def _weights(self) -> tuple[str, Mapping[str, Tensor]]:
        # A model from before there was video, or a scale of words, keeps its identity, and the indexes that were made with it.
        left_out: dict[str, bool | set[str]] = {} if "video" in self.modalities else {"video": True}
        if word_scale(self.config.model) == 1:
            left_out["text"] = {"scale"}
        return self.config.model.model_dump_json(exclude=left_out), self.model.state_dict()

    @property
    def network(self) -> Chiasm:
        return self.model

    @property
    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    @torch.no_grad()
    def _compute(self, modality: str, items: Sequence[Text | Media]) -> NDArray[np.float32]:
        return self.vectors(modality, self.prepare(modality, items), self.dtype).cpu().numpy()

    def vectors(self, modality: str, items: Items, dtype: torch.dtype = torch.float32) -> Tensor:
        return self.model.embed(modality, items, dtype).float()

    def prepare(self, modality: str, items: Sequence[Text | Media]) -> Items:
        config = self.config.model
        if modality == "text":
            made = text_items(items, self.tokenizer, config.text.length)
        else:
            arrays = decode_all(items, decoder(modality, config)[0])
            if modality == "image":
                made = image_items(arrays)
            elif modality == "video":
                made = stack_clips(arrays, np.arange(len(items)))
            else:
                made = pad_sounds(arrays, np.arange(len(items)), config.audio.patch)
        return Items(made.value.to(self.device), made.valid.to(self.device), made.owner.to(self.device))


def text_items(items: Sequence[Text | Media], tokenizer: Tokenizer, length: int) -> Items:
    texts = [clean_text(item.text or "") for item in items]
    ids, valid = tokenizer.encode(texts, length)
    return Items(torch.from_numpy(ids), torch.from_numpy(valid), torch.arange(len(items)))


def image_items(arrays: Sequence[NDArray[np.uint8]]) -> Items:
    """arrays: uint8 [S, S, 3] each."""
    valid = torch.ones(len(arrays), 1, dtype=torch.bool)
    return Items(torch.from_numpy(np.stack(arrays)), valid, torch.arange(len(arrays)))


def decode_all(items: Sequence[Text | Media], decode: Decode) -> list[NDArray[np.uint8]]:
    """Every medium's array. Raises MediaError for one that cannot be read."""
    media = [item for item in items if isinstance(item, Media)]

    def read(item: Media) -> NDArray[np.uint8]:
        data = read_bytes(item)
        try:
            return decode(data)
        except MediaError as error:  # a decoder knows no names
            raise error if item.path is None else MediaError(error.reason, f"{item.path}: {error}") from None

    # Decoders release the interpreter's lock; BLAS threads under each of them would only fight.
    with ThreadPoolExecutor(cores()) as pool, threadpool_limits(1, "blas"):
        return list(pool.map(read, media))


def load(run: Path, device: str = "auto", remember: bool = False) -> LoadedModel:
    """The newest checkpoint of a run folder, or a checkpoint folder itself, verified against its checksums.

    remember: keep every embedding in memory and never compute the same item twice, for a session that measures, indexes and reports.

    Raises ModelError where there is none or where it gives no embeddings, CheckpointError where it is damaged or of a later version.
    """
    path = checkpoint.find(run)
    if (path / SYSTEM_FILE).is_file():
        from chiasm.train.system_embedder import load_embedder

        return load_embedder(path, choose_device(device), remember)
    if (path / CONVERSION_FILE).is_file():
        from chiasm.train.converting import load_converting

        return load_converting(path, device, remember)
    found = checkpoint.load(path)
    config = load_kept(path / "config.yaml")
    assert isinstance(config, RunConfig)
    tokenizer = Tokenizer.load(path / "tokenizer.json")
    modalities = tuple(found.state["modalities"])
    model = make_chiasm(config.model, config.objective, modalities, tokenizer.size)
    try:
        model.load_state_dict(dict(found.model))
    except RuntimeError as error:
        raise ModelError(f"{path}: weights and configuration do not fit: {str(error).splitlines()[0]}") from None
    chosen = choose_device(device)
    return EmbeddingModel(config, model.to(chosen), tokenizer, chosen, path, remember)


def as_item(modality: str, value: Medium) -> Text | Media:
    """A text, or a medium from its path or bytes; a picture also from a Pillow image or an array, uint8 [H, W, 3] or [H, W].

    Raises ConfigError for a value of another type, MediaError where no such file is."""
    if modality == "text":
        if not isinstance(value, str):
            raise ConfigError(f"a text is a str, not {type(value).__name__}")
        return Text(value)
    if isinstance(value, Media):
        return value
    if isinstance(value, bytes):
        return Media(data=value)
    if modality == "image" and isinstance(value, np.ndarray | Image):
        return Media(data=_as_png(value))
    if not isinstance(value, str | Path):
        what = "a path, bytes or chiasm.Media" + (", a Pillow image or a uint8 array" if modality == "image" else "")
        raise ConfigError(f"{modality} is {what}, not {type(value).__name__}")
    if not os.path.isfile(value):
        raise MediaError("missing", f"{value}: no such file")
    return Media(path=str(value))


def _as_png(value: Image | NDArray[Any]) -> bytes:
    """Raises ConfigError for an array that is no picture of 8 bits."""
    if isinstance(value, np.ndarray):
        if value.dtype != np.uint8 or not (value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (3, 4))):
            raise ConfigError(
                f"image: an array is uint8 [H, W, 3], [H, W, 4] or [H, W], not {value.dtype} {list(value.shape)}"
            )
        value = fromarray(value)
    file = io.BytesIO()
    (value if value.mode in ("RGB", "RGBA", "L", "P", "1", "LA") else value.convert("RGB")).save(file, "PNG")
    return file.getvalue()


def _content(modality: str, item: Text | Media) -> bytes:
    """What makes two items the same to a model."""
    if isinstance(item, Text):
        content = item.text.encode("utf8", "surrogatepass")
    else:
        content = item.data if item.data is not None else f"\0{item.path}".encode("utf8", "surrogateescape")
    return hashlib.blake2b(content, digest_size=16, key=modality.encode()).digest()
