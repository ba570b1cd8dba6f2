"""The converting chiasm model: one multiway trunk as a prefix-LM that turns what it is given into what is asked.

Takes in     text, image, audio, video, any mix that a task declares
Trunk        that of the embedding model (systems/chiasm.py), with the same weights: alone, a modality is embedded; together, the given
             modalities' tokens see each other freely, and what is wanted follows causally (prefix-LM, arXiv 1910.10683, 3.2.1; UniLM,
             arXiv 1905.03197) or is filled in in parallel (MaskGIT, arXiv 2202.04200)
Heads        a writer for words, codes of pictures, codes of sounds, boxes (Pix2Seq, arXiv 2109.10852); labels and boxes of cells (FCOS,
             arXiv 1904.01355); an item's vector
Objective    next codes; contrast for the tasks that want a space or an item
Differs      from its sources: codes of finite scalar quantisers in small groups a step (systems/image_quantizer.py), all tasks in one run
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chiasm.batches.conversion import TURNS, ConversionFacts
from chiasm.config import ConversionConfig, RunConfig
from chiasm.declare import TaskConfig
from chiasm.errors import ConfigError
from chiasm.heads.cells import CellHead
from chiasm.heads.project import Projection
from chiasm.heads.writers import SPREAD, Writer
from chiasm.modalities.modality import word_scale
from chiasm.modalities.text import EOS
from chiasm.nn.cache import Cache
from chiasm.nn.linear import Linear
from chiasm.nn.transformer import Transformer
from chiasm.objectives.contrastive import Contrastive
from chiasm.objectives.dense_detection import dense_detection
from chiasm.systems.chiasm import Chiasm, make_chiasm
from chiasm.types import Batch, Features, Items, Losses, Tokens

ORDER = ("video", "image", "audio", "text")
"""The order of given modalities in the sequence."""


class Converter(nn.Module):
    """space: the embedding model whose trunk this is. It has no randomness. quantizers: frozen, their weights travel with the model."""

    def __init__(
        self,
        space: Chiasm,
        tasks: Mapping[str, TaskConfig],
        facts: ConversionFacts,
        config: RunConfig,
        quantizers: Mapping[str, nn.Module],
    ) -> None:
        super().__init__()
        width = config.model.width
        self.space, self.tasks, self.facts = space, dict(tasks), facts
        self.objective = Contrastive(config.objective.contrastive, config.objective.tile, config.objective.weights)
        self.quantizers = nn.ModuleDict(dict(quantizers)).requires_grad_(False)
        self.task_tokens = nn.ParameterDict(
            {name: torch.randn(width) * SPREAD for name, task in tasks.items() if task.part_of is None}
        )
        self.languages = nn.Parameter(torch.randn(len(facts.languages) + 1, width) * 0.05)
        self.makers = nn.Parameter(torch.randn(len(facts.makers) + 1, width) * 0.05)
        self.turns = nn.Parameter(torch.randn(TURNS, width) * 0.05)
        self.text_length = config.conversion.text_length
        self.writers = nn.ModuleDict()
        wanted, settings = {task.writer for task in tasks.values()}, config.conversion
        if "text" in wanted:
            table = space.embedders["text"].table
            assert isinstance(table, nn.Parameter)
            length = max([settings.text_length, *(t.length or 0 for t in tasks.values() if t.writer == "text")])
            self.writers["text"] = Writer("text", (len(table),), length, width, EOS, table, word_scale(config.model))
        if "boxes" in wanted:
            size = settings.bins + len(facts.objects) + 1
            self.writers["boxes"] = Writer(
                "text", (size,), 5 * settings.boxes + 1, width, size - 1, scale=settings.code_scale
            )
        for modality in ("image", "audio"):
            if modality in wanted:
                self.writers[modality] = _code_writer(modality, quantizers, settings, width)
        classes = len(facts.objects) + 1
        self.mask = CellHead(width, settings.cells, classes) if "mask" in wanted else None
        self.boxes = CellHead(width, settings.cells, classes + 4) if "cells" in wanted else None
        self.item = Projection(width, config.model.embedding) if "item" in wanted else None
        self.item_token = Linear(config.model.embedding, width) if "item" in wanted else None
        self.history_mean, self.overlap = config.conversion.history_mean, config.conversion.overlap

    @property
    def trunk(self) -> Transformer:
        trunk = self.space.trunks["shared"]
        assert isinstance(trunk, Transformer)
        return trunk

    def writer(self, task: TaskConfig) -> Writer:
        writer = self.writers[task.writer]
        assert isinstance(writer, Writer)
        return writer

    def steps(self, task: TaskConfig) -> int:
        """Steps that a task writes at most, the end included: as many as its training examples have."""
        return task.length or self.text_length if task.writer == "text" else self.writer(task).length

    def losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        """The loss of the batch's task under its name; for a space, one a pair of modalities."""
        task = self.tasks[batch.task]
        if task.wanted.of == "space":
            return self._space_losses(batch, dtype)
        if task.wanted.of == "mask":
            return self._mask_losses(batch, dtype)
        if task.wanted.of == "item":
            return self._item_losses(batch, dtype)
        if task.writer == "cells":
            return self._box_losses(batch, dtype)
        writer = self.writer(task)
        wanted = batch.items["wanted"]
        features = self._wanted_features(batch, task, writer, wanted, dtype)
        known = batch.labels.get("known")
        asked = wanted.valid if known is None else wanted.valid & ~known
        rows = asked.flatten().nonzero()[:, 0]
        loss = writer.loss(
            features.flatten(0, 1).index_select(0, rows), wanted.value.flatten(0, 1).index_select(0, rows)
        )
        chance = sum(math.log(size) for size in writer.sizes) / writer.groups
        return Losses({batch.task: loss}, {batch.task: chance})

    # What is given.

    def prefix(self, batch: Batch, dtype: torch.dtype) -> Tokens:
        """The given tokens of all modalities as one sequence a record: [B, P, D]."""
        count = len(batch.ids)
        parts = [self._given(m, batch.items[m], count, dtype) for m in ORDER if m in batch.items]
        segments: list[tuple[str, int, int]] = []
        for part in parts:
            start = segments[-1][2] if segments else 0
            segments.append((part.segments[0][0], start, start + part.x.shape[1]))
        if not parts:  # not one medium of the batch could be read
            x = self.turns.new_zeros(count, 0, self.turns.shape[1], dtype=dtype)
            return Tokens(x, torch.zeros(count, 0, dtype=torch.bool, device=x.device), ())
        valid = torch.cat([part.valid for part in parts], 1)
        blank = batch.labels.get("blank")
        if blank is not None:
            valid = valid & ~blank[:, None]
        return Tokens(torch.cat([part.x for part in parts], 1), valid, tuple(segments))

    def _given(self, modality: str, items: Items, count: int, dtype: torch.dtype) -> Tokens:
        """One modality's tokens, all items of a record one after the other: [B, S·N, D]."""
        tokens = self.space.embedders[modality](items, dtype)
        return self._placed(modality, tokens.x, tokens.valid, items, count, dtype)

    def _placed(self, modality: str, x: Tensor, valid: Tensor, items: Items, count: int, dtype: torch.dtype) -> Tokens:
        """Tokens [I, N, D] of items at their records' places: [B, S·N, D]."""
        if items.segment is not None:
            x = x + F.embedding(items.segment.expand(x.shape[:2]), self.turns.to(dtype))
        owner = items.owner
        if len(owner) != count or not bool((owner == torch.arange(count, device=owner.device)).all()):
            # Several items a record, or none: each takes its record's next place.
            each = torch.bincount(owner, minlength=count)
            first = each.cumsum(0) - each
            place = torch.arange(len(owner), device=owner.device) - first[owner]
            S = int(each.max())
            index = owner * S + place
            x = x.new_zeros(count * S, *x.shape[1:]).index_copy(0, index, x).view(count, -1, x.shape[-1])
            valid = valid.new_zeros(count * S, valid.shape[1]).index_copy(0, index, valid).view(count, -1)
        return Tokens(x, valid, ((modality, 0, x.shape[1]),))

    def begin(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """The first token of what is wanted, which says what is wanted: [B, D]."""
        name = self.tasks[batch.task].part_of or batch.task
        first = self.task_tokens[name] + F.embedding(batch.labels["language"], self.languages)
        return (first + F.embedding(batch.labels["maker"], self.makers)).to(dtype)

    # Training.

    def _wanted_features(
        self, batch: Batch, task: TaskConfig, writer: Writer, wanted: Items, dtype: torch.dtype
    ) -> Tensor:
        """Features that each step of what is wanted is predicted from: [W, L, D]."""
        given = self.prefix(batch, dtype)
        begin = self.begin(batch, dtype)
        K = task.together
        if K > 1:
            begin = begin.repeat_interleave(K, 0)
        begin = begin[:, None] + writer.positions[0].to(dtype)
        if task.order == "parallel":
            inputs = begin + writer.read(wanted.value, 1, dtype, batch.labels["known"])
        else:
            recalled = batch.labels.get("recalled")
            read = writer.read(wanted.value[:, :-1], 1, dtype, None if recalled is None else recalled[:, :-1])
            inputs = torch.cat([begin, read], 1)
        slots, slots_valid, La = inputs, wanted.valid, 0
        if K > 1:
            asked = self.space.embedders["text"](batch.items["asked"], dtype)
            La = asked.x.shape[1]
            slots, slots_valid = torch.cat([asked.x, inputs], 1), torch.cat([asked.valid, wanted.valid], 1)
        B, P, T = len(given.x), given.x.shape[1], slots.shape[1]
        x = torch.cat([given.x, slots.reshape(B, K * T, -1)], 1)
        valid = torch.cat([given.valid, slots_valid.reshape(B, K * T)], 1)
        tokens = Tokens(x, valid, (*given.segments, (writer.expert, P, P + K * T)))
        allowed = prefix_mask(P, K, La, T - La, task.order == "causal").to(x.device)
        features = self.trunk(tokens, allowed=allowed).x[:, P:].reshape(B * K, T, -1)
        return features[:, La:]

    def logits_of(self, batch: Batch, wanted: Items, dtype: torch.dtype) -> Tensor:
        """Logits float32 [W, L, C] of the first group at each step of what was written."""
        task = self.tasks[batch.task]
        features = self._wanted_features(batch, task, self.writer(task), wanted, dtype)
        return self.writer(task).logits(features.flatten(0, 1), ()).view(*features.shape[:2], -1)

    def _space_losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        made = {m: self.space.embed(m, batch.items[m], dtype) for m in self.space.modalities if m in batch.items}
        output = self.space.output(made)
        identity = {m: batch.identity[batch.items[m].owner] for m in made}
        losses = self.objective(output, identity)
        chance = self.objective.chance(output, identity)
        share = 1 / max(len(losses), 1)
        return Losses(
            {f"{batch.task} {pair}": loss for pair, loss in losses.items()},
            {f"{batch.task} {pair}": value for pair, value in chance.items()},
            weights={f"{batch.task} {pair}": share for pair in losses},
        )

    def _mask_losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        logits = self.mask_logits(batch, dtype)
        loss = F.cross_entropy(logits.flatten(0, 2), batch.labels["mask"].flatten())
        return Losses({batch.task: loss}, {batch.task: math.log(logits.shape[-1])})

    def mask_logits(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """float32 [B, h, w, C] of the cells of the given picture; class 0 is background."""
        assert self.mask is not None
        return self.mask(self._patches(batch, dtype))

    def _box_losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        logits, values = self.box_cells(batch, dtype)
        made = dense_detection(logits, values, batch.labels["objects"], batch.labels["boxes"])
        named = {f"{batch.task} {name}": loss for name, loss in made.items()}
        return Losses(named, {f"{batch.task} class": math.log(logits.shape[-1])})

    def box_cells(self, batch: Batch, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """What objectives/dense_detection.py reads: logits [B, n, n, C + 1] and distances [B, n, n, 4] of the cells of the given picture."""
        assert self.boxes is not None
        found = self.boxes(self._patches(batch, dtype))
        return found[..., 4:], found[..., :4]

    def _patches(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Features of the given picture's patches: [B, N, D]."""
        features = self.trunk(self.prefix(batch, dtype))
        start, stop = next((a, b) for m, a, b in features.segments if m == "image")
        return features.x[:, start:stop]

    def _item_losses(self, batch: Batch, dtype: torch.dtype) -> Losses:
        """Every item of a history but the first is asked for by those before it, as causal models of sessions learn (SASRec, arXiv
        1808.09781, 3.5), among all items of the batch. They are embedded once, and shown to the trunk once a question."""
        if "history.image" not in batch.items:
            return Losses({}, {})
        assert self.item is not None and self.item_token is not None
        shown, last = batch.items["history.image"], self.item_vectors(batch, dtype)
        history = self._fused(shown, batch.items["history.text"], dtype)
        identity = batch.labels["item"]
        owner, n = shown.owner, len(shown.owner)
        each = torch.bincount(owner, minlength=len(batch.ids))
        first = each.cumsum(0) - each
        place = torch.arange(n, device=owner.device) - first[owner]
        # What follows item i: the next of its record, or the record's last item, which stands after all histories.
        follows = torch.where(place + 1 < each[owner], torch.arange(n, device=owner.device) + 1, n + owner)
        before = torch.arange(int(each.max()), device=owner.device)
        valid = before <= place[:, None]
        index = (first[owner, None] + before).clamp(max=n - 1)
        tokens = self.item_token(history.to(dtype))[index]
        turn = (place[:, None] - before).clamp(0, TURNS - 1)
        shown_before = Tokens(tokens + F.embedding(turn, self.turns.to(dtype)), valid, (("text", 0, tokens.shape[1]),))
        mean = (history[index] * valid[..., None]).sum(1) / (place + 1)[:, None]
        asked = self._follow(shown_before, self.begin(batch, dtype)[owner], mean)
        # Each item once, however many histories hold it: else what is popular would be pushed away for being a frequent wrong answer.
        one = torch.full((int(identity.max()) + 1,), len(identity), device=identity.device)
        one.scatter_reduce_(0, identity, torch.arange(len(identity), device=identity.device), "amin")
        output = self.space.output({"text": asked, "image": torch.cat([history, last])[one]})
        logits = output.scale * output.embedding["text"] @ output.embedding["image"].T
        return Losses({batch.task: F.cross_entropy(logits, identity[follows])}, {batch.task: math.log(len(one))})

    def _follow(self, given: Tokens, begin: Tensor, mean: Tensor) -> Tensor:
        """Item tokens [B, P, D], the token that asks [B, D] and the items' mean [B, E] → the vector of what follows: unit length, float32 [B, E]."""
        assert self.item is not None
        P = given.x.shape[1]
        x = torch.cat([given.x, begin[:, None]], 1)
        valid = torch.cat([given.valid, given.valid.new_ones(len(x), 1)], 1)
        features = self.trunk(Tokens(x, valid, (*given.segments, ("text", P, P + 1)))).x[:, P:]
        made = self.item(Features(features, valid[:, P:], (("text", 0, 1),)))
        return F.normalize(made + self.history_mean * mean, dim=-1)

    def item_query(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """The vector of what follows a history: unit length, float32 [B, E]."""
        assert self.item_token is not None
        given, begin = self.prefix(batch, dtype), self.begin(batch, dtype)
        mean = begin.new_zeros(len(begin), self.item_token.in_features, dtype=torch.float32)
        if "history.image" in batch.items:  # else not one picture could be read
            images = batch.items["history.image"]
            items = self._fused(images, batch.items["history.text"], dtype)
            x = self.item_token(items.to(dtype))[:, None]
            given = self._placed("text", x, images.valid, images, len(begin), dtype)
            each = torch.bincount(images.owner, minlength=len(begin))
            mean = mean.index_add(0, images.owner, items) / each.clamp(min=1)[:, None]
        return self._follow(given, begin, mean)

    def item_vectors(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Items as the fused embeddings of their picture and text: unit length, float32 [n, E]."""
        return self._fused(batch.items["item.image"], batch.items["item.text"], dtype)

    def _fused(self, images: Items, texts: Items, dtype: torch.dtype) -> Tensor:
        return F.normalize(self.space.embed("image", images, dtype) + self.space.embed("text", texts, dtype), dim=-1)

    # Decoding.

    def read_given(self, batch: Batch, dtype: torch.dtype, free: bool = False) -> tuple[Tensor, Cache]:
        """What decoding starts from: features [B, D] that the first step is predicted from, and the cache of what was read.

        free: the same sequences again without anything given, as rows B … 2B − 1 (for guidance)."""
        task = self.tasks[batch.task]
        writer = self.writer(task)
        given, begin = self.prefix(batch, dtype), self.begin(batch, dtype)
        asks = batch.items["asked"].value.shape[1] if task.together > 1 else 0
        cache = Cache(given.x.shape[1] + asks + 1 + self.steps(task))
        if free:
            given, begin = _with_free(given), torch.cat([begin, begin])
        self.trunk(given, cache=cache)
        if task.together > 1:
            asked = self.space.embedders["text"](batch.items["asked"], dtype)
            x, valid = (torch.cat([asked.x] * 2), torch.cat([asked.valid] * 2)) if free else (asked.x, asked.valid)
            self.trunk(Tokens(x, valid, (("text", 0, x.shape[1]),)), cache=cache)
        x = (begin + writer.positions[0].to(dtype))[:, None]
        one = torch.ones(len(x), 1, dtype=torch.bool, device=x.device)
        features = self.trunk(Tokens(x, one, ((writer.expert, 0, 1),)), cache=cache, whole=True)
        return features.x[:, 0], cache

    def filling(self, batch: Batch, dtype: torch.dtype, codes: Tensor, known: Tensor) -> list[Tensor]:
        """Parallel decoding: logits [B, L, C] of every group at every place, each group given the likeliest codes of those before it.
        Rows B … 2B − 1 of `codes`, where there are such, are without anything given."""
        task = self.tasks[batch.task]
        writer, given, begin = self.writer(task), self.prefix(batch, dtype), self.begin(batch, dtype)
        if len(codes) == 2 * len(begin):
            given, begin = _with_free(given), torch.cat([begin, begin])
        inputs = begin[:, None] + writer.positions[0].to(dtype) + writer.read(codes, 1, dtype, known)
        P, L = given.x.shape[1], inputs.shape[1]
        x = torch.cat([given.x, inputs], 1)
        valid = torch.cat([given.valid, given.valid.new_ones(len(x), L)], 1)
        allowed = prefix_mask(P, 1, 0, L, causal=False).to(x.device)
        tokens = Tokens(x, valid, (*given.segments, (writer.expert, P, P + L)))
        features = self.trunk(tokens, allowed=allowed).x[:, P:].flatten(0, 1)
        logits: list[Tensor] = []
        chosen: list[Tensor] = []
        for _ in range(writer.groups):
            made = writer.logits(features, chosen)
            chosen.append(made.max(-1).indices)
            logits.append(made.view(len(x), L, -1))
        return logits


class Reader:
    """nn/generate.py's Read for a writer over the trunk. base: tokens in the cache before the first of what is wanted."""

    def __init__(self, model: Converter, writer: Writer, base: int, dtype: torch.dtype) -> None:
        self._model, self._writer, self._base, self._dtype = model, writer, base, dtype
        self._valid: Tensor | None = None

    def __call__(self, codes: Tensor, cache: Cache) -> Tensor:
        N, start = cache.chunk, cache.length - self._base
        places = start if cache.tree is None else start + cache.tree.depth
        x = self._writer.read(codes.view(-1, N, codes.shape[1]), places, self._dtype)
        if self._valid is None or self._valid.shape != x.shape[:2]:
            self._valid = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        tokens = Tokens(x, self._valid, ((self._writer.expert, 0, N),))
        return self._model.trunk(tokens, cache=cache, whole=True).x.flatten(0, 1)


def _with_free(given: Tokens) -> Tokens:
    """The same sequences again after them, with nothing in them that may be seen: what guidance compares with."""
    valid = torch.cat([given.valid, torch.zeros_like(given.valid)])
    return Tokens(torch.cat([given.x, given.x]), valid, given.segments)


def prefix_mask(prefix: int, slots: int, asked: int, wanted: int, causal: bool) -> Tensor:
    """Who sees whom: bool [1, N, N], N = prefix + slots · (asked + wanted), True where the row may look at the column.

    The prefix sees itself; a slot's question sees the prefix and itself; what is wanted sees both and what came before it of its own."""
    size = asked + wanted
    N = prefix + slots * size
    allowed = torch.zeros(N, N, dtype=torch.bool)
    allowed[:, :prefix] = True
    inside = torch.ones(size, size, dtype=torch.bool)
    inside[:asked, asked:] = False
    if causal:
        inside[asked:, asked:] = inside[asked:, asked:].tril()
    for slot in range(slots):
        start = prefix + slot * size
        allowed[start : start + size, start : start + size] = inside
    return allowed[None]


def _code_writer(modality: str, quantizers: Mapping[str, nn.Module], settings: ConversionConfig, width: int) -> Writer:
    quantizer, scale = quantizers[modality], settings.code_scale
    sizes: tuple[int, ...] = tuple(quantizer.sizes)  # type: ignore[arg-type]
    if modality == "image":
        return Writer("image", sizes, int(quantizer.steps), width, None, scale=scale)  # type: ignore[arg-type]
    return Writer("audio", (sizes[0] + 1, *sizes[1:]), settings.audio_length + 1, width, sizes[0], scale=scale)


def check_converts(config: RunConfig, quantizers: Collection[str]) -> None:
    """Raises ConfigError for a trunk that does not convert, and for what is wanted without the quantiser of its codes."""
    if config.model.trunk != "multiway":
        raise ConfigError(
            "model.trunk=separate embeds only: conversion needs the multiway trunk that all modalities share"
        )
    for modality in ("image", "audio"):
        if modality not in quantizers and any(task.writer == modality for task in config.tasks.values()):
            raise ConfigError(
                f"conversion.quantizers: a task wants {modality}, which is written in the codes of a quantiser: train one with "
                f"`chiasm train TABLE system={modality}_quantizer --out RUN` and set conversion.quantizers.{modality}=RUN, "
                "or take that of a run that writes such: `starter` is the one that is shipped"
            )


def make_converter(
    config: RunConfig, modalities: tuple[str, ...], facts: ConversionFacts, quantizers: Mapping[str, nn.Module]
) -> Converter:
    """The configured model with fresh weights. Raises ConfigError where the configuration does not convert."""
    check_converts(config, quantizers)
    for name in modalities:
        layers = getattr(config.model, name).layers
        if layers not in (None, config.model.layers):
            raise ConfigError(
                f"model.{name}.layers={layers}: in conversion, all modalities pass all {config.model.layers} layers"
            )
    space = make_chiasm(config.model, config.objective, modalities, facts.vocabulary)
    return Converter(space, config.tasks, facts, config, quantizers)
