"""The types that flow through chiasm, stage by stage:

    source → Record → dataset (Lance table) → Batch → Tokens → Features → Output → losses, or a use

All are frozen: a stage hands on a new value and never changes the one it was given.

Shape legend, used in every annotation and docstring:
B records in a batch · I items of one modality in a batch (a record may bring several texts or voices, or none) ·
N tokens · D trunk width · E embedding width · H heads · V vocabulary · T audio frames · M mel bands.
A mask is True where the value is valid, everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

IGNORE = -100
"""A target that is not to be predicted (torch's default for cross-entropy)."""

MODALITIES = ("text", "image", "audio", "video")
"""Every modality that a Record can carry, in the order in which tables and reports list them."""


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a record. `kind` says what it is to the record: name, caption, keywords, transcript …"""

    text: str
    language: str | None = None
    kind: str = "caption"


@dataclass(frozen=True, slots=True)
class Media:
    """One picture, sound or clip: encoded bytes, or the path of a file that holds them (exactly one of the two).

    `by` names who made it (voice, speaker, artist), so that splits and reports can hold makers apart.
    `text` is what is said in it, where that is known.
    """

    data: bytes | None = None
    path: str | None = None
    kind: str | None = None
    language: str | None = None
    by: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Label:
    """A class the record belongs to under one naming: Label("category", "animals")."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Box:
    """A labelled rectangle in the first picture; x and y as fractions of its width and height, 0 ≤ x0 < x1 ≤ 1."""

    x0: float
    y0: float
    x1: float
    y1: float
    label: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question about the record with its accepted answers, best first."""

    question: str
    answers: tuple[str, ...]
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """subject – predicate – object, by the labels of the boxes or entities."""

    subject: str
    predicate: str
    object: str


@dataclass(frozen=True, slots=True)
class Record:
    """One thing seen through several senses. A modality that is absent is an empty tuple, and normal.

    `mask` is a picture (PNG, 8-bit grey or palette) of the first picture's size whose value is 0 for background and k for the k-th box.
    `questions` in order are the turns of a dialogue where a medium's kind is "turn:k": it belongs to the k-th of them, from 0.
    `group` ties together records that must never straddle a split (forms of one concept, copies of one file).
    `split` is what the source itself prescribes, or None to let the build decide.
    """

    id: str
    texts: tuple[Text, ...] = ()
    image: tuple[Media, ...] = ()
    audio: tuple[Media, ...] = ()
    video: tuple[Media, ...] = ()
    labels: tuple[Label, ...] = ()
    boxes: tuple[Box, ...] = ()
    mask: Media | None = None
    questions: tuple[Question, ...] = ()
    relations: tuple[Relation, ...] = ()
    group: str | None = None
    split: str | None = None
    source: str = ""
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line of the rejects ledger: an input that did not become a row, or a part of one that was dropped.

    `part` is "record" when the whole input was refused; otherwise the modality whose medium was dropped from a record that was kept.
    """

    id: str
    part: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Items:
    """One modality's part of a batch.

    value: text int64 [I, N] · image uint8 [I, H, W, 3] · audio uint8 [I, T, M] (quantised log-mel) ·
        video uint8 [I, F, S, S, 3], F frames of a clip
    valid: bool [I, N | 1 | T | F], True where the value is real and not padding
    owner: int64 [I], the record of the batch (0 … B−1) that each item belongs to
    language: int64 [I] or None, a number for each language, −1 where it is unknown (pictures have none)
    keep: int64 [I, K] or None, the tokens that a training step looks at (FLIP, arXiv 2212.00794). It is drawn with the batch, so
    that a model has no randomness of its own: the same batch gives the same output, in a second pass or after a restart.

    What pretraining tasks add (None where a task does not ask for it), regions of a picture included (value float32 [I, R, F]):
    target: int64 [I, N], what is to be predicted at each token (a token's number, a region's class), IGNORE where nothing is
    hidden: bool [I, N], True where the model must not see the value (masked regions and patches; masked words are replaced in `value`)
    segment: int64 [I, N], which part of the sequence a token belongs to (sentence A or B, words or tags, one language or another)
    boxes: float32 [I, N, 4], x0 y0 x1 y1 as fractions of the picture's sides
    classes: float32 [I, N, C], a class distribution of each region
    """

    value: Tensor
    valid: Tensor
    owner: Tensor
    keep: Tensor | None = None
    language: Tensor | None = None
    target: Tensor | None = None
    hidden: Tensor | None = None
    segment: Tensor | None = None
    boxes: Tensor | None = None
    classes: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What one training or embedding step works on.

    identity: int64 [B], equal for records that count as the same thing (e.g. equal texts), so that they are positives of each other.
    items: by modality for the chiasm model; for a named system by the role that its views give them ("text", "image", "source" …).
    labels: int64 [B, …] by name, what the records are asked as a whole ("matched", "class", "answer" …), IGNORE where it is not known.
    task: the name of the pretraining task that the batch was made for; "" where there is only one.
    """

    ids: tuple[str, ...]
    identity: Tensor
    items: Mapping[str, Items]
    labels: Mapping[str, Tensor] = field(default_factory=dict[str, "Tensor"])
    task: str = ""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A sequence for the trunk. x: [B, N, D]; valid: bool [B, N];
    segments: (modality, start, stop) slices of N in order, so that an expert is chosen by slicing and never by a mask."""

    x: Tensor
    valid: Tensor
    segments: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Features:
    """What the trunk makes of Tokens: the same layout after the last layer."""

    x: Tensor
    valid: Tensor
    segments: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Output:
    """What the heads make of Features. embedding[modality]: unit-length [I, E], row for row with the batch's items."""

    embedding: Mapping[str, Tensor]
    scale: Tensor
    bias: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Losses:
    """What a system makes of a training batch.

    losses: named float32 scalars in nats · chance: what each is where nothing is known, for those that have such a value ·
    keys: what the loop may put into the system's queues once the update is done (nothing moves before that) ·
    weights: how much each counts in the sum, 1 where silent.
    """

    losses: Mapping[str, Tensor]
    chance: Mapping[str, float] = field(default_factory=dict[str, float])
    keys: Mapping[str, Tensor] = field(default_factory=dict[str, "Tensor"])
    weights: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class ScoredBox:
    """A box that a model found: its corners as in Box, and how sure it is, 0 … 1."""

    x0: float
    y0: float
    x1: float
    y1: float
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion gives: the one field that was asked for is there, the others are None.

    text: words, an answer, a label · image: uint8 [S, S, 3] · audio: float32 [n] at 16 kHz · boxes: surest first · mask: int64 [h, w],
    indices into `names` · items: ids of the next items, likeliest first
    score: the log-probability of what was decoded, in nats, where it was written one after the other or chosen; None where all of it came
    at once · steps: how many codes that is of, the end with them · scores: the share of each choice, where there were choices ·
    task: whose result it is
    """

    text: str | None = None
    image: NDArray[np.uint8] | None = None
    audio: NDArray[np.float32] | None = None
    boxes: tuple[ScoredBox, ...] | None = None
    mask: NDArray[np.int64] | None = None
    names: tuple[str, ...] = ()
    items: tuple[str, ...] | None = None
    score: float | None = None
    steps: int = 1
    scores: Mapping[str, float] = field(default_factory=dict[str, float])
    task: str | None = None


class Embedder(Protocol):
    """What evaluation and search need of a trained model, whatever system it is."""

    @property
    def modalities(self) -> tuple[str, ...]: ...
    @property
    def dimension(self) -> int:
        """E, the embedding width."""
        ...

    @property
    def identity(self) -> str:
        """A digest of weights and configuration; equal identities give equal embeddings."""
        ...

    def embed_items(
        self, modality: str, items: Sequence[Text | Media], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Unit-length float32 [len(items), E], row for row. `progress` is called with the number of items just done.

        Raises MediaError where an item cannot be read and ConfigError for a modality the model lacks."""
        ...
