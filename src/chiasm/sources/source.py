"""What every source is: somewhere that Records come from, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Protocol

from chiasm.types import Record, Rejected

Progress = Callable[[str, int, int | None], None]
"""Called with the stage's name, what is done and the total where it is known."""


class Source(Protocol):
    """A place that records come from.

    `records` yields every input once, in an order that does not change between runs: a Record, or a
    Rejected with part "record" where the input cannot become one. A Rejected with another part is a remark
    on a record that follows or was given, and is not an input. Media are not opened here; the build reads
    and checks them.
    """

    @property
    def name(self) -> str: ...
    @property
    def attribution(self) -> str:
        """Whom to credit wherever the data is shown; "" where nobody is known."""
        ...

    @property
    def found(self) -> str:
        """What the source was recognised as, and by what; "" where it was named."""
        ...

    @property
    def root(self) -> Path | None:
        """Where relative media paths start, and what they must not leave."""
        ...

    @property
    def total(self) -> int | None:
        """Inputs that `records` will give, where that is known beforehand."""
        ...

    @property
    def rule(self) -> Literal["groups", "forms"]:
        """How its records are split; see dataset/split.py."""
        ...

    @property
    def checked(self) -> frozenset[str]:
        """Modalities whose media the source made itself and vouches for: the build does not decode them
        again.
        """
        ...

    def prepare(self, progress: Progress | None = None) -> None:
        """Make what must be there before the first record, such as speech. Called once by the build."""
        ...

    def records(self) -> Iterator[Record | Rejected]: ...
