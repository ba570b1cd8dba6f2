"""Which split a record belongs to: pure functions of ids, groups and contents, the same for the same seed.

Two rules:

*groups* — train / validation / test. A group is held out whole, and records with equal content are one group.

*forms* — for sources whose groups hold several forms of one concept (an emoji in its skin tones and
genders): *concept* holds groups that training never sees; *variation* holds forms of groups that training
sees in another form; validation is drawn as variation is.

Under the rule of groups, shares may be stratified (stratify.py), and under both, pairs that a step found to be nearly equal are tied together.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from chiasm.dataset.joining import Key, Rows
from chiasm.dataset.stratify import stratified

TRAIN, VALIDATION, TEST = "train", "validation", "test"
VARIATION, CONCEPT = "variation", "concept"

SMALLEST_TEST = 2
ENOUGH_GROUPS = 10
"""From so many groups on, test holds at least SMALLEST_TEST rows, however small its share."""

Prescribed = Literal["keep", "repair", "ignore"]
"""What becomes of the splits that a source brings."""

_ALIASES = {"val": VALIDATION, "valid": VALIDATION, "dev": VALIDATION, "training": TRAIN, "testing": TEST}


@dataclass(frozen=True, slots=True)
class Assignment:
    """Split and joined group of each record, in their order, and every leak that is left (only a source's
    own splits can leak).
    """

    splits: tuple[str, ...]
    groups: tuple[str, ...]
    leaks: tuple[str, ...]


def normalise_split(name: str) -> str:
    """The usual names for the usual splits: val, valid and dev are validation; anything else stays, in
    lower case.
    """
    name = name.strip().lower()
    return _ALIASES.get(name, name)


def assign(
    keys: Sequence[Key],
    *,
    rule: Literal["groups", "forms"],
    validation: float,
    test: float,
    seed: int,
    shares: Mapping[str, float] | None = None,
    tied: Sequence[tuple[int, int]] = (),
    strata: Sequence[Sequence[str]] | None = None,
    prescribed: Prescribed = "keep",
) -> Assignment:
    """Split `keys`; `validation` and `test` are shares of all rows. Splits that the source prescribes are
    kept.

    A record without a prescribed split goes with prescribed ones of its group where there are any.

    shares: the held-out splits by name instead of validation and test (groups only) · tied: pairs of indices that are as good as one content ·
    strata: what each record is to be held out in proportion by (groups only), row for row · prescribed: `repair` takes a group that lies
    in several prescribed splits to train, whole; `ignore` assigns every row anew.
    """
    held = {TEST: test, VALIDATION: validation} if shares is None else dict(shares)
    rows = Rows.of(keys)
    units = rows.join(by_group=False, tied=tied) if rule == "forms" else []
    groups = rows.join(by_group=True, tied=tied)
    splits: list[str | None] = [
        None if split is None or prescribed == "ignore" else normalise_split(split) for split in rows.splits
    ]
    if prescribed == "repair":
        _repair(splits, groups)
    _follow_prescribed(splits, groups)
    free = [index for index, split in enumerate(splits) if split is None]
    if rule == "forms":
        chosen = _by_forms(free, units, groups, validation, test, seed)
    elif strata is not None:
        members = _members(free, groups)
        found = stratified([(members[group], group) for group in _shuffled(members, seed)], strata, held, TRAIN)
        chosen = {index: found[group] for group in members for index in members[group]}
    else:
        least = SMALLEST_TEST if len(free) == len(rows.ids) and len(set(groups)) >= ENOUGH_GROUPS else 0
        chosen = _by_groups(free, groups, held, seed, least)
    whole = tuple(chosen.get(index, TRAIN) if split is None else split for index, split in enumerate(splits))
    leaks = _leaks(rows.ids, whole, rule, units, groups)
    return Assignment(whole, tuple(groups), tuple(leaks))


def too_small(
    splits: Sequence[str], *, rule: Literal["groups", "forms"], validation: float, test: float
) -> tuple[str, ...]:
    """The held-out splits that were asked for, or are there, and have fewer than 2 rows: no figure comes of
    one row. Where the source prescribes test splits of other names, no `test` is missed.
    """
    counts = Counter(splits)
    tests = (CONCEPT, VARIATION) if rule == "forms" else (TEST,)
    wanted = list(tests) if test and not set(counts) - {TRAIN, VALIDATION, *tests} else []
    wanted += [VALIDATION] if validation else []
    return tuple(name for name in dict.fromkeys((*wanted, *sorted(counts))) if name != TRAIN and counts[name] < 2)


def join(keys: Sequence[Key], *, by_group: bool, tied: Sequence[tuple[int, int]] = ()) -> list[str]:
    """`joining.Rows.join` of `keys`."""
    return Rows.of(keys).join(by_group=by_group, tied=tied)


def check_splits(
    keys: Sequence[Key],
    splits: Sequence[str],
    *,
    rule: Literal["groups", "forms"],
    tied: Sequence[tuple[int, int]] = (),
) -> list[str]:
    """Every way in which `splits` leak, as sentences; empty where they do not.

    groups: no joined group lies in two splits. forms: no content lies in two splits, no group of *concept*
    lies elsewhere, and every group in *variation* or *validation* has a form in train.
    """
    rows = Rows.of(keys)
    units = rows.join(by_group=False, tied=tied) if rule == "forms" else []
    return _leaks(rows.ids, splits, rule, units, rows.join(by_group=True, tied=tied))


def _leaks(
    ids: Sequence[str], splits: Sequence[str], rule: str, units: Sequence[str], groups: Sequence[str]
) -> list[str]:
    if rule == "groups":
        return [
            f"group in {' and '.join(sorted(found))}: {', '.join(members)}"
            for found, members in _spread(groups, ids, splits, lambda found: len(found) > 1)
        ]
    leaks = [
        f"equal content in {' and '.join(sorted(found))}: {', '.join(members)}"
        for found, members in _spread(units, ids, splits, lambda found: len(found) > 1)
    ]

    def astray(found: frozenset[str]) -> bool:
        return CONCEPT in found and len(found) > 1

    def alone(found: frozenset[str]) -> bool:
        return bool(found & {VARIATION, VALIDATION}) and TRAIN not in found

    for found, members in _spread(groups, ids, splits, lambda found: astray(found) or alone(found)):
        if astray(found):
            leaks.append(f"concept also in {' and '.join(sorted(found - {CONCEPT}))}: {', '.join(members)}")
        if alone(found):
            leaks.append(f"variation without a form in train: {', '.join(members)}")
    return leaks


def _spread(
    components: Sequence[str], ids: Sequence[str], splits: Sequence[str], wrong: Callable[[frozenset[str]], bool]
) -> list[tuple[frozenset[str], list[str]]]:
    """Splits and the first three ids of each component whose splits are wrong."""
    alone = {split: frozenset((split,)) for split in set(splits)}
    found: dict[str, frozenset[str]] = {}  # nearly all share the few of one split each
    for component, split in zip(components, splits, strict=True):
        known = found.setdefault(component, alone[split])
        if split not in known:
            found[component] = known | alone[split]
    members: dict[str, list[str]] = {component: [] for component, those in found.items() if wrong(those)}
    for component, key in zip(components, ids, strict=True) if members else ():
        if component in members and len(members[component]) < 3:
            members[component].append(key)
    return [(found[component], some) for component, some in members.items()]


def _follow_prescribed(splits: list[str | None], groups: Sequence[str]) -> None:
    if None not in splits:
        return
    prescribed: dict[str, str] = {}
    for split, group in zip(splits, groups, strict=True):
        if split is not None:
            known = prescribed.setdefault(group, split)
            prescribed[group] = TRAIN if TRAIN in (known, split) else min(known, split)
    for index, group in enumerate(groups):
        if splits[index] is None:
            splits[index] = prescribed.get(group)


def _repair(splits: list[str | None], groups: Sequence[str]) -> None:
    """Groups in several prescribed splits go to train, so that what is left of the others tests honestly."""
    first: dict[str, str] = {}
    several = {
        group
        for split, group in zip(splits, groups, strict=True)
        if split is not None and first.setdefault(group, split) != split
    }
    for index, group in enumerate(groups):
        if group in several:
            splits[index] = TRAIN


def _by_groups(
    free: Sequence[int], groups: Sequence[str], shares: Mapping[str, float], seed: int, least: int
) -> dict[int, str]:
    """Whole groups in the order of their hash: to test until its share of rows, and `least` rows, are full,
    then to validation, in the order of `shares`.
    """
    members = _members(free, groups)
    chosen: dict[int, str] = {}
    order = _shuffled(members, seed)
    for split, share in shares.items():
        at_least = least if split == TEST and share else 0
        taken = _take_groups(order, members, max(round(share * len(free)), at_least))
        held = set(taken)
        if sum(len(members[group]) for group in taken) < at_least:
            # Where every group is larger than the share, the smallest ones.
            rest = sorted((group for group in order if group not in held), key=lambda group: len(members[group]))
            while sum(len(members[group]) for group in held) < at_least:
                held.add(rest.pop(0))
        for group in held:
            chosen.update(dict.fromkeys(members[group], split))
        order = [group for group in order if group not in held]
    return chosen


def _by_forms(
    free: Sequence[int],
    units: Sequence[str],
    groups: Sequence[str],
    validation: float,
    test: float,
    seed: int,
) -> dict[int, str]:
    members = _members(free, groups)
    rows = round(test * len(free))
    # A family of dozens of skin tones would be most of the split by itself; an eighth of it is the most for
    # one.
    small = {group: found for group, found in members.items() if len(found) <= max(1, rows // 8)}
    held = set(_take_groups(_shuffled(small, seed), small, rows))
    chosen = {index: CONCEPT for group in held for index in members[group]}
    seen = {group: found for group, found in members.items() if group not in held}
    forms = {group: _forms(found, units, seed) for group, found in seen.items()}
    forms = {group: found for group, found in forms.items() if len(found) >= 2}
    taken: dict[str, int] = dict.fromkeys(forms, 0)
    # A form may be several rows that look the same: shares are of rows, quotas of forms.
    per_row = sum(map(len, forms.values())) / max(1, sum(len(seen[group]) for group in forms))
    for split, share in ((VARIATION, test), (VALIDATION, validation)):
        count = round(share * len(free) * per_row)
        for group, number in _quotas(forms, taken, count, seed, split).items():
            for form in forms[group][taken[group] : taken[group] + number]:
                chosen.update(dict.fromkeys(form, split))
            taken[group] += number
    return chosen


def _forms(rows: Sequence[int], units: Sequence[str], seed: int) -> list[list[int]]:
    """The rows of one group as forms, in hashed order; rows with equal content are one form."""
    found = _members(rows, units)
    return [found[unit] for unit in _shuffled(found, seed, "form")]


def _quotas(
    forms: Mapping[str, Sequence[Sequence[int]]], taken: Mapping[str, int], rows: int, seed: int, split: str
) -> dict[str, int]:
    """How many forms each group gives, about `rows` in all.

    The share of a group grows with the square root of its number of forms, so that families of dozens
    neither dominate nor vanish. A group gives at most half its forms over all splits. Fractions are settled
    by systematic sampling along the hashed order of the groups: each gets its expectation rounded down or
    up, and the total is kept.
    """
    room = {group: len(found) // 2 - taken[group] for group, found in forms.items()}
    order = _shuffled({group: found for group, found in forms.items() if room[group] > 0}, seed, split)
    wanted = min(rows, sum(room[group] for group in order))
    low, high = 0.0, float(max((room[group] for group in order), default=0) + 1)
    for _ in range(60):  # the factor at which the capped shares add up to `wanted`
        factor = (low + high) / 2
        total = sum(min(room[group], factor * len(forms[group]) ** 0.5) for group in order)
        low, high = (factor, high) if total < wanted else (low, factor)
    quotas: dict[str, int] = {}
    passed = 0.5
    for group in order:
        before = int(passed)
        passed += min(room[group], high * len(forms[group]) ** 0.5)
        quotas[group] = min(room[group], int(passed) - before)
    return quotas


def _take_groups(order: Sequence[str], members: Mapping[str, Sequence[int]], rows: int) -> list[str]:
    """Groups in order until about `rows` rows; one that would overshoot by more than a tenth is passed
    over.
    """
    taken: list[str] = []
    total = 0
    for group in order:
        if total >= rows:
            break
        if total + len(members[group]) <= max(rows * 1.1, 1):
            taken.append(group)
            total += len(members[group])
    return taken


def _members(indices: Iterable[int], names: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for index in indices:
        found[names[index]].append(index)
    return dict(found)


def _shuffled(groups: Iterable[str], seed: int, purpose: str = "hold out") -> list[str]:
    return sorted(groups, key=lambda group: _hash(seed, purpose, group))


def _hash(seed: int, *parts: str) -> bytes:
    text = "\0".join((str(seed), *parts))
    return hashlib.blake2b(text.encode("utf8", "surrogatepass"), digest_size=16).digest()
