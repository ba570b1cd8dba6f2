"""A trained model, ready to embed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from chiasm.batches.maker import pad_sounds
from chiasm.config import RunConfig, load_config
from chiasm.errors import ConfigError, MediaError, ModelError
from chiasm.modalities.media import read_bytes
from chiasm.modalities.prepare import decoder
from chiasm.modalities.text import Tokenizer, clean_text
from chiasm.systems.chiasm import Chiasm, make_chiasm
from chiasm.train import checkpoint
from chiasm.train.machine import choose_device, choose_dtype, cores
from chiasm.types import Items, Media, Text

Medium = str | Path | bytes | Media
"""A file's path, its bytes, or a Media."""


class LoadedModel:
    """Embeds texts, pictures and sounds into one space: unit-length vectors whose dot product is the cosine similarity."""

    def __init__(
        self,
        config: RunConfig,
        model: Chiasm,
        tokenizer: Tokenizer,
        device: torch.device,
        path: Path,
        remember: bool = False,
    ) -> None:
        self.config, self.tokenizer, self.device, self.path = config, tokenizer, device, path
        self.model = model.eval()
        self._identity: str | None = None
        self._memory: dict[bytes, NDArray[np.float32]] | None = {} if remember else None
        # float32 unless the hardware has bfloat16: the same choice as in training, so the same embeddings as were measured there.
        self.dtype = choose_dtype(config.train.precision, device)

    @property
    def modalities(self) -> tuple[str, ...]:
        return self.model.modalities

    @property
    def dimension(self) -> int:
        return self.config.model.embedding

    @property
    def identity(self) -> str:
        """A digest of weights and configuration."""
        if self._identity is None:
            self._identity = self._digest()
        return self._identity

    def _digest(self) -> str:
        digest = hashlib.sha256(self.config.model.model_dump_json().encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]

    def embed(
        self,
        *,
        text: str | Sequence[str] | None = None,
        image: Medium | Sequence[Medium] | None = None,
        audio: Medium | Sequence[Medium] | None = None,
    ) -> NDArray[np.float32]:
        """Embed one kind of thing, one or several: float32 [n, E].

        Raises ConfigError unless exactly one of text, image and audio is given, MediaError for what cannot be read.
        """
        given = {
            name: value for name, value in (("text", text), ("image", image), ("audio", audio)) if value is not None
        }
        if len(given) != 1:
            raise ConfigError(f"embed one modality at a time; given: {', '.join(given) or 'none'}")
        ((modality, value),) = given.items()
        many = [value] if isinstance(value, (str, bytes, Path, Media)) else list(value)
        return self.embed_items(modality, [_item(modality, one) for one in many])

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

    @torch.no_grad()
    def _compute(self, modality: str, items: Sequence[Text | Media]) -> NDArray[np.float32]:
        return self.model.embed(modality, self._prepare(modality, items), self.dtype).float().cpu().numpy()

    def _prepare(self, modality: str, items: Sequence[Text | Media]) -> Items:
        config = self.config.model
        owner = torch.arange(len(items))
        if modality == "text":
            texts = [clean_text(item.text or "") for item in items]
            ids, valid = self.tokenizer.encode(texts, config.text.length)
            made = Items(torch.from_numpy(ids), torch.from_numpy(valid), owner)
        else:
            decode, _, _ = decoder(modality, config)
            media = [item for item in items if isinstance(item, Media)]
            # Decoders release the interpreter's lock; BLAS threads under each of them would only fight.
            with ThreadPoolExecutor(cores()) as pool, threadpool_limits(1, "blas"):
                arrays = list(pool.map(lambda item: decode(read_bytes(item)), media))
            if modality == "image":
                made = Items(torch.from_numpy(np.stack(arrays)), torch.ones(len(arrays), 1, dtype=torch.bool), owner)
            else:
                made = pad_sounds(arrays, owner.numpy(), config.audio.patch)
        return Items(made.value.to(self.device), made.valid.to(self.device), made.owner.to(self.device))


def load(run: Path, device: str = "auto", remember: bool = False) -> LoadedModel:
    """The newest checkpoint of a run folder, or a checkpoint folder itself, verified against its checksums.

    remember: keep every embedding in memory and never compute the same item twice, for a session that measures, indexes and reports.

    Raises ModelError where there is none, CheckpointError where it is damaged or of a later version.
    """
    path = run if (run / "state.json").is_file() else checkpoint.newest(run)
    found = checkpoint.load(path)
    config = load_config(RunConfig, path / "config.yaml")
    tokenizer = Tokenizer.load(path / "tokenizer.json")
    modalities = tuple(found.state["modalities"])
    model = make_chiasm(config.model, config.objective, modalities, tokenizer.size)
    try:
        model.load_state_dict(dict(found.model))
    except RuntimeError as error:
        raise ModelError(f"{path}: weights and configuration do not fit: {str(error).splitlines()[0]}") from None
    chosen = choose_device(device)
    return LoadedModel(config, model.to(chosen), tokenizer, chosen, path, remember)


def _item(modality: str, value: Medium) -> Text | Media:
    if modality == "text":
        if not isinstance(value, str):
            raise ConfigError(f"a text is a str, not {type(value).__name__}")
        return Text(value)
    if isinstance(value, Media):
        return value
    if isinstance(value, bytes):
        return Media(data=value)
    if not os.path.isfile(value):
        raise MediaError("missing", f"{value}: no such file")
    return Media(path=str(value))


def _content(modality: str, item: Text | Media) -> bytes:
    """What makes two items the same to a model."""
    if isinstance(item, Text):
        content = item.text.encode("utf8", "surrogatepass")
    else:
        content = item.data if item.data is not None else f"\0{item.path}".encode("utf8", "surrogateescape")
    return hashlib.blake2b(content, digest_size=16, key=modality.encode()).digest()
