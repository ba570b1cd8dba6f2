"""What an emoji sequence is made of: a concept, and the form (skin tone, gender, hair) that it is shown in.

Unicode Technical Standard #51, sections 2.2 (gender), 2.4 (skin tone) and 2.5 (hair).
"""

from __future__ import annotations

from dataclasses import dataclass

_TONES = {
    0x1F3FB: "light",
    0x1F3FC: "medium-light",
    0x1F3FD: "medium",
    0x1F3FE: "medium-dark",
    0x1F3FF: "dark",
}
_HAIR = {0x1F9B0: "red", 0x1F9B1: "curly", 0x1F9B3: "white", 0x1F9B2: "bald"}
_SIGNS = {0x2640: "female", 0x2642: "male"}
_JOINER, _VARIATION, _RIGHT = 0x200D, 0xFE0F, 0x27A1

# Single characters that are the same concept in another gender → (the concept's character, gender).
_GENDERED = {
    0x1F468: (0x1F9D1, "male"),
    0x1F469: (0x1F9D1, "female"),
    0x1F9D1: (0x1F9D1, "neutral"),
    0x1F466: (0x1F9D2, "male"),
    0x1F467: (0x1F9D2, "female"),
    0x1F9D2: (0x1F9D2, "neutral"),
    0x1F474: (0x1F9D3, "male"),
    0x1F475: (0x1F9D3, "female"),
    0x1F9D3: (0x1F9D3, "neutral"),
    0x1F934: (0x1FAC5, "male"),
    0x1F478: (0x1FAC5, "female"),
    0x1FAC5: (0x1FAC5, "neutral"),
    0x1F930: (0x1F930, "female"),
    0x1FAC3: (0x1F930, "male"),
    0x1FAC4: (0x1F930, "neutral"),
    0x1F57A: (0x1F483, "male"),
    0x1F483: (0x1F483, "female"),
    0x1F385: (0x1F385, "male"),
    0x1F936: (0x1F385, "female"),
}
# Whole sequences (after the steps above) that Unicode also has as one character: couples, and Santa's
# neutral form.
_SAME: dict[tuple[int, ...], tuple[tuple[int, ...], str | None]] = {
    (0x1F46B,): ((0x1F9D1, 0x1F91D, 0x1F9D1), "female, male"),
    (0x1F46C,): ((0x1F9D1, 0x1F91D, 0x1F9D1), "male, male"),
    (0x1F46D,): ((0x1F9D1, 0x1F91D, 0x1F9D1), "female, female"),
    (0x1F9D1, 0x2764, 0x1F48B, 0x1F9D1): ((0x1F48F,), None),
    (0x1F9D1, 0x2764, 0x1F9D1): ((0x1F491,), None),
    (0x1FAF1, 0x1FAF2): ((0x1F91D,), None),
    (0x1F9D1, 0x1F430, 0x1F9D1): ((0x1F46F,), None),
    (0x1F9D1, 0x1FAEF, 0x1F9D1): ((0x1F93C,), None),
    (0x1F9D1, 0x1F384): ((0x1F385,), None),
}


@dataclass(frozen=True, slots=True)
class Form:
    """concept: code points in hexadecimal of the sequence in its neutral form. Several people give several
    values: "light, dark".
    """

    concept: str
    skin_tone: str | None
    gender: str | None
    hair: str | None


def parse_form(sequence: str) -> Form:
    """Take an emoji apart: the woman running with medium skin is the concept of the person running."""
    rest: list[int] = []
    tones: list[str] = []
    genders: list[str] = []
    hair: str | None = None
    for character in sequence:
        code = ord(character)
        if code in _TONES:
            tones.append(_TONES[code])
        elif code in _SIGNS and rest:  # alone, ♀ and ♂ are signs and not forms
            genders.append(_SIGNS[code])
        elif code in _HAIR and rest:
            hair = _HAIR[code]
            rest.append(code)
        elif code == _RIGHT and rest:  # "facing right" is a form too
            continue
        elif code in _GENDERED:
            neutral, gender = _GENDERED[code]
            rest.append(neutral)
            genders.append(gender)
        elif code not in (_JOINER, _VARIATION):
            rest.append(code)
    whole, gender = _SAME.get(tuple(rest), (tuple(rest), None))
    return Form(
        "-".join(f"{code:x}" for code in whole),
        ", ".join(tones) or None,
        gender or ", ".join(genders) or None,
        hair,
    )
