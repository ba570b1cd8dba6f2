"""Splits: the right sizes, the same every time, and no leak; a planted leak is found."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from chiasm.dataset.joining import SHARED_TEXT
from chiasm.dataset.split import Key, assign, check_splits, join, normalise_split, too_small


def forms(seed: int = 0) -> list[Key]:
    """Families as emoji has them: many singles, some of 6 and 18 forms, a few of a hundred; some look the same."""
    rng = random.Random(seed)
    sizes = [1] * 900 + [6] * 50 + [18] * 60 + [104] * 3
    keys = [
        Key(f"{group}-{form}", f"g{group}", contents=(f"pixels:{group}-{form}",))
        for group, size in enumerate(sizes)
        for form in range(size)
    ]
    for _ in range(40):  # equal pictures, within and across groups
        a, b = rng.sample(range(len(keys)), 2)
        keys[b] = replace(keys[b], contents=keys[a].contents)
    rng.shuffle(keys)
    return keys


def test_forms_rule_has_the_sizes_and_no_leak() -> None:
    keys = forms()
    found = assign(keys, rule="forms", validation=0.04, test=0.1, seed=0)
    assert found.leaks == ()
    counts = Counter(found.splits)
    rows = len(keys)
    assert abs(counts["concept"] - 0.1 * rows) <= 0.012 * rows
    assert abs(counts["variation"] - 0.1 * rows) <= 0.012 * rows
    assert abs(counts["validation"] - 0.04 * rows) <= 0.012 * rows
    by_group: dict[str, Counter[str]] = defaultdict(Counter)
    for group, split in zip(found.groups, found.splits, strict=True):
        by_group[group][split] += 1
    for split in by_group.values():
        if split["concept"]:
            assert set(split) == {"concept"}
        held = split["variation"] + split["validation"]
        assert held == 0 or split["train"] > 0


def test_forms_rule_is_fair_to_families() -> None:
    found = assign(forms(), rule="forms", validation=0.0, test=0.1, seed=1)
    sizes = Counter(found.groups)
    given: Counter[str] = Counter(
        group for group, split in zip(found.groups, found.splits, strict=True) if split == "variation"
    )
    held = {group for group, split in zip(found.groups, found.splits, strict=True) if split == "concept"}
    open_groups = [group for group, size in sizes.items() if size in (6, 18) and group not in held]
    assert min(given[group] for group in open_groups) >= 1
    assert max(given.values()) < 0.1 * given.total()
    assert max(sizes[group] for group in held) < len(found.splits) / 40


def test_groups_rule_keeps_groups_whole() -> None:
    rng = random.Random(1)
    keys = [Key(str(n), f"g{rng.randrange(300)}" if n % 3 else None) for n in range(1000)]
    found = assign(keys, rule="groups", validation=0.05, test=0.2, seed=0)
    assert found.leaks == ()
    counts = Counter(found.splits)
    assert 180 <= counts["test"] <= 220
    assert 40 <= counts["validation"] <= 60
    where: dict[str, set[str]] = defaultdict(set)
    for key, split in zip(keys, found.splits, strict=True):
        where[key.group or key.id].add(split)
    assert all(len(splits) == 1 for splits in where.values())


@pytest.mark.parametrize("rule", ["groups", "forms"])
def test_the_seed_decides_and_the_order_does_not(rule: str) -> None:
    keys = forms()
    options = {"rule": rule, "validation": 0.04, "test": 0.1}
    first = assign(keys, seed=3, **options)  # type: ignore[arg-type]
    again = assign(keys, seed=3, **options)  # type: ignore[arg-type]
    other = assign(keys, seed=4, **options)  # type: ignore[arg-type]
    assert first == again
    assert first.splits != other.splits
    mixed = list(keys)
    random.Random(9).shuffle(mixed)
    moved = assign(mixed, seed=3, **options)  # type: ignore[arg-type]
    by_id = {key.id: split for key, split in zip(mixed, moved.splits, strict=True)}
    assert [by_id[key.id] for key in keys] == list(first.splits)


def test_join_is_transitive() -> None:
    keys = [
        Key("a", "g", contents=("bytes:1",)),
        Key("b", None, contents=("bytes:1", "pixels:2")),
        Key("c", "h", contents=("pixels:2",)),
        Key("d", "h"),
        Key("e"),
    ]
    assert join(keys, by_group=True) == ["g", "g", "g", "g", "e"]
    by_content = join(keys, by_group=False)
    assert by_content[0] == by_content[1] == by_content[2] != by_content[3]


def components(keys: list[Key], tied: list[tuple[int, int]], by_group: bool) -> list[str]:
    """Names of components by going from neighbour to neighbour."""

    def holds(key: Key) -> set[str]:
        texts = {c for c in key.contents if c.startswith("text:")}
        common = {c for c in texts if sum(c in other.contents for other in keys) > SHARED_TEXT}
        return set(key.contents) - common | ({f"group {key.group}"} if by_group and key.group else set())

    held = [holds(key) for key in keys]
    near = [
        {j for j in range(len(keys)) if held[i] & held[j] or (i, j) in tied or (j, i) in tied} for i in range(len(keys))
    ]
    names: list[str] = []
    for i in range(len(keys)):
        found, new = {i}, {i}
        while new:
            new = set().union(*(near[j] for j in new)) - found
            found |= new
        groups = [g for j in found if by_group and (g := keys[j].group) is not None]
        names.append(min(groups) if groups else min(keys[j].id for j in found))
    return names


@pytest.mark.parametrize("seed", range(3))
def test_join_finds_the_components_of_a_naive_search(seed: int) -> None:
    draw = random.Random(seed)
    keys = [
        Key(
            f"r{draw.randrange(10**6)}",
            draw.choice([None, None, f"g{draw.randrange(90)}"]),
            contents=tuple(f"{kind}:{draw.randrange(n)}" for kind, n in (("bytes", 400), ("pixels", 400), ("text", 5))),
        )
        for _ in range(120)
    ]
    tied = [(draw.randrange(120), draw.randrange(120)) for _ in range(8)]
    for by_group in (False, True):
        assert join(keys, by_group=by_group, tied=tied) == components(keys, tied, by_group)
    assert len(set(join(keys, by_group=True, tied=tied))) > 5


def test_a_text_of_a_whole_class_ties_nothing() -> None:
    few = [Key(f"a{n}", contents=("text:dog",)) for n in range(SHARED_TEXT)]
    many = [Key(f"b{n}", contents=("text:cat",)) for n in range(SHARED_TEXT + 1)]
    assert len(set(join([*few, *many], by_group=True))) == 1 + len(many)


def test_planted_leaks_are_found() -> None:
    copies = [Key("a", contents=("bytes:1",)), Key("b", contents=("bytes:1",))]
    assert check_splits(copies, ["train", "test"], rule="groups") == ["group in test and train: a, b"]
    family = [Key("a", "g"), Key("b", "g"), Key("c", "h")]
    assert check_splits(family, ["train", "test", "test"], rule="groups")
    assert check_splits(family, ["train", "variation", "concept"], rule="forms") == []
    assert "concept also in train" in check_splits(family, ["train", "concept", "concept"], rule="forms")[0]
    assert "without a form" in check_splits(family, ["variation", "variation", "train"], rule="forms")[0]
    twins = [Key("a", "g", contents=("pixels:1",)), Key("b", "g", contents=("pixels:1",)), Key("c", "g")]
    assert "equal content" in check_splits(twins, ["train", "variation", "train"], rule="forms")[0]


def test_prescribed_splits_are_kept_and_their_leaks_told() -> None:
    keys = [
        Key("a", split="Train", contents=("bytes:1",)),
        Key("b", split="dev", contents=("bytes:2",)),
        Key("c", split="val", contents=("bytes:1",)),
        Key("d", contents=("bytes:2",)),
    ]
    found = assign(keys, rule="groups", validation=0.1, test=0.5, seed=0)
    assert found.splits == ("train", "validation", "validation", "validation")
    assert len(found.leaks) == 1


def test_names() -> None:
    assert [normalise_split(name) for name in ("VAL", "dev", " valid ", "test", "training", "extra")] == [
        "validation",
        "validation",
        "validation",
        "test",
        "train",
        "extra",
    ]


def test_small_sets_still_train() -> None:
    for count in (1, 2, 5):
        found = assign([Key(str(n)) for n in range(count)], rule="groups", validation=0.04, test=0.1, seed=0)
        assert "train" in found.splits


@pytest.mark.parametrize("size", [1, 3, 7])
def test_ten_groups_are_enough_for_a_test_of_two_rows(size: int) -> None:
    keys = [Key(f"{group}-{n}", f"g{group}") for group in range(10) for n in range(size)]
    options = {"rule": "groups", "validation": 0.0, "seed": 0}
    found = assign(keys, test=0.01, **options)  # type: ignore[arg-type]
    assert Counter(found.splits)["test"] == max(2, size)
    assert found.leaks == ()
    assert found == assign(keys, test=0.01, **options)  # type: ignore[arg-type]
    assert set(assign(keys, test=0.0, **options).splits) == {"train"}  # type: ignore[arg-type]
    assert set(assign(keys[: 9 * size], test=0.01, **options).splits) == {"train"}  # type: ignore[arg-type]
    prescribed = [replace(keys[0], split="train"), *keys[1:]]
    assert set(assign(prescribed, test=0.01, **options).splits) == {"train"}  # type: ignore[arg-type]


def test_splits_too_small_to_measure_on() -> None:
    def few(splits: list[str], rule: str = "groups", validation: float = 0.1) -> tuple[str, ...]:
        return too_small(splits, rule=rule, validation=validation, test=0.1)  # type: ignore[arg-type]

    assert few(["train"] * 5) == ("test", "validation")
    assert few(["train", "test", "test"], validation=0) == ()
    assert few(["train", "test", "test", "validation"]) == ("validation",)
    assert few(["train", "unseen", "unseen", "validation", "validation"]) == ()
    assert few(["train", "variation", "variation", "concept"], "forms", 0) == ("concept",)
