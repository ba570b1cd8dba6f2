"""Groups dealt out to splits so that every split has its share of every stratum: iterative stratification (Sechidis, Tsoumakas and Vlahavas,
"On the Stratification of Multi-Label Data", ECML PKDD 2011, algorithm 1), with whole groups in the place of single examples.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence


def stratified(
    groups: Sequence[tuple[Sequence[int], str]], strata: Sequence[Sequence[str]], shares: Mapping[str, float], rest: str
) -> dict[str, str]:
    """The split of each group, by the group's name.

    groups: (rows, name) in the order in which equals are settled (by hash) · strata: the strata of each row, by row number (several: a row of
    several labels; none is a stratum of its own) · shares: of the rows, by split; `rest` gets what is left.

    The stratum with the fewest rows left goes first, since later there is less to choose from; its groups go one after the other to the split
    that lacks most of this stratum, then of all rows. A group larger than what a split still lacks goes elsewhere, so that no held-out split
    outgrows its share; one that fits nowhere goes to `rest`.
    """
    counts = [Counter(stratum for row in rows for stratum in (strata[row] or ("",))) for rows, _ in groups]
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    rows = sum(len(members) for members, _ in groups)
    names = [rest, *(name for name in shares if name != rest)]
    share = {**shares, rest: 1 - sum(value for name, value in shares.items() if name != rest)}
    lacks = {name: share[name] * rows for name in names}
    wants = {name: {stratum: share[name] * number for stratum, number in total.items()} for name in names}
    holders: dict[str, list[int]] = defaultdict(list)
    for index, count in enumerate(counts):
        for stratum in count:
            holders[stratum].append(index)
    left = dict(total)
    found: dict[str, str] = {}
    queue = [(number, stratum) for stratum, number in left.items()]
    heapq.heapify(queue)
    while queue:
        number, stratum = heapq.heappop(queue)
        if number != left[stratum]:  # it has been queued again since
            continue
        for index in holders[stratum]:
            members, group = groups[index]
            if group in found:
                continue
            fitting = [name for name in names[1:] if lacks[name] >= len(members) - 0.5]
            split = max((rest, *fitting), key=lambda name: (wants[name][stratum], lacks[name], name == rest))
            found[group] = split
            lacks[split] -= len(members)
            for one, had in counts[index].items():
                wants[split][one] -= had
                left[one] -= had
                if one != stratum and left[one] > 0:
                    heapq.heappush(queue, (left[one], one))
    return found
