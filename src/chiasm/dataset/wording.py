"""Texts that say nothing: placeholders and file names, addresses, and how much of a text is words at all."""

from __future__ import annotations

import re

_NOTHING = frozenset(
    {
        "image", "picture", "photo", "photograph", "photography", "figure", "fig", "img", "pic", "icon", "logo", "thumbnail", "banner",
        "screenshot", "untitled", "unnamed", "unknown", "none", "null", "nan", "na", "undefined", "default", "placeholder", "test", "todo",
        "tbd", "lorem", "title", "caption", "description", "text", "file", "document", "page", "slide", "scan", "copy", "new",
    }
)  # fmt: skip
_DEVICE = re.compile(
    r"^(img|dsc|dscn|dscf|pict|mvi|vid|gopr|screenshot|screen shot|p|photo|image|pic|scan)[ _-]?\d[\d _.-]*$"
)
_FILE = re.compile(r"^\S+\.(png|jpe?g|gif|webp|bmp|tiff?|svg|wav|flac|ogg|mp3|mp4|mov|mkv|webm|avi|txt|pdf|html?)$")
_ADDRESS = re.compile(r"^(\S+\s)?(https?://|www\.)\S+$|^\S+@\S+\.\w+$")
_STOCK = re.compile(
    r"\b(click here|all rights reserved|subscribe|cookie policy|terms of (use|service)|lorem ipsum|buy now|add to cart|stock (photo|image|vector))\b"
)
_TRIM = re.compile(r"^[\W_]+|[\W_]+$")


def is_placeholder(text: str) -> bool:
    """Whether the whole text is a stand-in ("image", "untitled 3"), a camera's or a file's name ("IMG_1234.JPG"), an address, or has no letter
    and no more than two characters or digits that could be a name ("-", "…")."""
    plain = text.strip().casefold()
    if _ADDRESS.match(plain) or _FILE.match(plain):
        return True
    bare = _TRIM.sub("", plain)
    if not bare:
        return plain.isascii()  # an emoji or a symbol can be a name
    words = [word for word in re.split(r"[\W_]+", bare) if not word.isdigit()]
    return bool(_DEVICE.match(bare)) or (bool(words) and all(word in _NOTHING for word in words))


def text_quality(text: str) -> float:
    """How much like language a text is, 0 … 1: the product of four shares, each of them 1 for an ordinary caption.

    After the rules of C4 (arXiv 1910.10683, section 2.2) and Gopher (arXiv 2112.11446, table A1): letters among what is not white space (1 from
    .6 on) · words that are not the same few over and over (1 from .4 different ones on) · words of ordinary length (scripts with spaces) · no
    stock phrases of web pages (each costs half).
    """
    solid = [letter for letter in text if not letter.isspace()]
    if not solid:
        return 0.0
    # Marks belong to the letters of Indic and other scripts, and count as they do.
    letters = sum(letter.isalpha() or (ord(letter) > 0x2FF and not letter.isnumeric()) for letter in solid) / len(solid)
    words = text.casefold().split()
    different = len(set(words)) / len(words)
    longest = sum(len(word) for word in words if len(word) > 30 and word.isascii()) / len(solid)
    stock = len(_STOCK.findall(text.casefold()))
    varied = min(1.0, different / 0.4) if len(words) >= 4 else 1.0
    return float(min(1.0, letters / 0.6) * varied * max(0.0, 1.0 - longest) * 0.5**stock)
