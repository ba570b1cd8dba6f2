"""Codes of languages: ISO 639-1 in two letters, any of ISO 639's in three, and either with a region or script (BCP 47)."""

from __future__ import annotations

import re

_TWO = """
aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr
fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li
ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg
si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""

ISO_639_1 = frozenset(_TWO.split())
"""Languages in two letters."""

_FORM = re.compile(r"([A-Za-z]{2,3})([-_][A-Za-z0-9]{1,8})*")


def is_language(code: str) -> bool:
    """Whether `code` may be ISO 639: two letters that the standard lists, or three; those, some 7,900 of 17,576 (ISO 639-3), are not looked up."""
    found = _FORM.fullmatch(code)
    return found is not None and (len(found[1]) == 3 or found[1].lower() in ISO_639_1)
