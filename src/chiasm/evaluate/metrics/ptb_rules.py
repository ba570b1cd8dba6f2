"""The rules of the Penn Treebank scanner of `metric_ptb`: what a piece of text looks like, and the tokens it becomes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Act = Callable[[str], tuple[str, ...]]

_BEGINNINGS = (
    "A|About|According|Additionally|After|An|As|At|But|Earlier|He|Her|Here|However|If|In|It|Last|Many|More|Now|Once|One|Other|Our|She|"
    "Mr\\.|Ms\\.|Since|So|Some|Such|That|The|Their|Then|There|These|They|This|We|What|When|While|Yet|You"
)
"""Words that begin a sentence: before them a letter with a full stop ends one."""


def _names(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_CLOSING = _names(
    "al ala apr ariz ark assn aug az bancorp bhd bldg blvd bros calif co colo conn corp cos ct dak dec del esq est etc ext feb fla "
    "fri ga ill inc ind intl jan jr jul jun kan kans ky la ltd mar mass md mich minn miss mo mon mont neb nev nov oct okla ore pa "
    "penn plc pptys pte ptes pty ptys rd rt sep sept seq sq sr sys tel tenn tex thu thurs tue tues univ va vt wash wed wis wisc wyo"
)
"""Abbreviations that keep their full stop, also where a letter follows it."""

_TITLES = _names(
    "adj adm adv alex assoc asst atty attys ave brig capt cf cie cmdr col comdr cpl dept det dr drs elec ens ft gen gov govs hon invt "
    "jos lieut lt maj messrs mfg mlle mme mr mrs ms msgr mt mtg natl pfc ph pres prof profs pvt rep reps rev sen sens sfc sgt spc st "
    "ste supt supts treas vs wm"
)
"""Abbreviations that keep their full stop."""

_CAPITAL = _names("ark az del ill la mass miss ore pa tex wash")
"""Of these, those that are words as well and so must begin with a capital."""
_MIXED = _names("mfg mtg pte ptes pty ptys pptys")
"""Of these, those that are not known in capitals alone."""

NUMBERED = "art|ca|figs?|nos?|op|pp|prop"
"""Abbreviations that keep their full stop before a number."""

ABBREVIATIONS = _CLOSING | _TITLES | frozenset(NUMBERED.replace("?", "").split("|")) | {"fig", "no"}
"""All words, in lower case, that may keep their full stop."""

CONTRACTED = _names("cannot gonna gotta lemme gimme wanna")
"""Words that are two."""


def _ranges(wanted: Callable[[str], bool]) -> str:
    """The characters of the basic plane that are wanted, as the inside of a regular expression's class."""
    found: list[str] = []
    first: int | None = None
    for code in range(0x10000):
        there = wanted(chr(code))
        if there and first is None:
            first = code
        elif not there and first is not None:
            found.append(f"\\u{first:04x}-\\u{code - 1:04x}")
            first = None
    return "".join(found)


_MARKS = (
    "\u02c2-\u02c5\u02d2-\u02df\u02e5-\u02eb\u02ed\u02ef-\u036f\u0375\u0378-\u0379\u0384-\u0385\u03f6\u0483-\u0487\u055a-\u055f\u0591-\u05bd"
    "\u05bf\u05c1-\u05c2\u05c4-\u05c5\u05c7\u0615-\u061a\u064b-\u065e\u0670\u06d6-\u06e4\u06e7-\u06ed\u06fd-\u06fe\u070f\u0711\u0730-\u074c"
    "\u07a6-\u07b0\u07eb-\u07f3\u0900-\u0903\u093c\u093e-\u094e\u0951-\u0955\u0962-\u0963\u0981-\u0983\u09bc\u09be-\u09c4\u09c7-\u09c8"
    "\u09cb-\u09cd\u09d7\u09e2-\u09e3\u0a01-\u0a03\u0a3c\u0a3e-\u0a4f\u0a81-\u0a83\u0abc\u0abe-\u0acf\u0b82\u0bbe-\u0bc2\u0bc6-\u0bc8"
    "\u0bca-\u0bcd\u0c01-\u0c03\u0c3e-\u0c56\u0d3e-\u0d44\u0d46-\u0d48\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd"
)
"""Marks that are written on letters, and what else stands in words."""

_SYMBOLS = (
    "$%&;=\\\\^|~\u00a1\u00a5-\u00a9\u00ac\u00ae-\u00b1\u00b4\u00b6-\u00b8\u00bf\u00d7\u00f7\u037e\u0387\u0589\u05be\u05c0\u05c3\u05c6"
    "\u05f3-\u05f4\u0600-\u0603\u0606-\u060c\u0614\u061b\u061e-\u061f\u066a\u066d\u06d4\u0700-\u070d\u07f6-\u07f8\u0964-\u0965\u0e3f\u0e4f"
    "\u1fbd\u2016-\u2017\u2020-\u2023\u2030-\u2038\u203b\u203e-\u2042\u2044\u207a-\u207e\u208a-\u208e\u20a4\u2100-\u2101\u2103-\u2106"
    "\u2108-\u2109\u2114\u2116-\u2118\u211e-\u2123\u2125\u2127\u2129\u212e\u213a-\u213b\u2140-\u2144\u214a-\u214d\u214f\u2155-\u215e"
    "\u2190-\u2bff\u3001-\u3002\u3012\u30fb\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0-\uffe1\uffe5-\uffe6"
    "\u201a\u201e-\u201f'*<>`+/,:."
)
"""Characters that are tokens by themselves; any other that no rule takes is dropped, emoji among them."""

_SINGLE = {
    "\u00a2": "cents", "\u00a3": "#", "\u0080": "$", "\u00a4": "$", "\u20a0": "$", "\u20ac": "$",
    "\u00bc": "1/4", "\u00bd": "1/2", "\u00be": "3/4", "\u2153": "1/3", "\u2154": "2/3",
    "(": "-LRB-", ")": "-RRB-", "[": "-LSB-", "]": "-RSB-", "{": "-LCB-", "}": "-RCB-", "\u2026": "...", "\u0085": "...",
}  # fmt: skip
"""What single characters become."""

_QUOTES = {
    "\u0091": "`", "\u2018": "`", "\u201b": "`", "\u2039": "`", "\u0092": "'", "\u2019": "'", "\u203a": "'",
    "\u0093": "``", "\u201c": "``", "\u00ab": "``", "\u0094": "''", "\u201d": "''", "\u00bb": "''",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """pattern: its first group is the token, what follows that must be there too · act: the tokens it becomes."""

    pattern: re.Pattern[str]
    act: Act


def make_rules() -> list[Rule]:
    """All rules, the first of equally long matches winning."""
    return [Rule(re.compile(pattern), act) for pattern, act in _rules()]


def _same(text: str) -> tuple[str, ...]:
    return (text,)


def _word(text: str) -> tuple[str, ...]:
    """Without the places where it may be hyphenated."""
    return (text.replace("\N{SOFT HYPHEN}", "") or "-",)


def _tag(text: str) -> tuple[str, ...]:
    """The spaces of a tag stay in it, as ones that do not break."""
    return (text.replace(" ", "\N{NO-BREAK SPACE}"),)


def _solid(text: str) -> tuple[str, ...]:
    """So do those of numbers and telephone numbers; brackets are named."""
    return (text.replace(" ", "\N{NO-BREAK SPACE}").replace("(", "-LRB-").replace(")", "-RRB-"),)


def _ampersand(text: str) -> tuple[str, ...]:
    return (text.replace("&amp;", "&"),)


def _plain(text: str) -> tuple[str, ...]:
    """With the plain apostrophe."""
    return (re.sub(_APOS, "'", text),)


def _hyphens(text: str) -> tuple[str, ...]:
    return ("--" if 3 <= len(text) <= 4 else text,)


def _quotes(text: str) -> tuple[str, ...]:
    return ("".join(_QUOTES.get(one, one) for one in text),)


def _single(text: str) -> tuple[str, ...]:
    return (_SINGLE[text],)


def _entity(text: str) -> tuple[str, ...]:
    return ({"&lt;": "<", "&gt;": ">", "&amp;": "&", "&apos;": "'", "&quot;": "''"}[text.lower()],)


def _rules() -> Iterator[tuple[str, Act]]:
    yield from _word_rules()
    yield from _address_rules()
    yield from _number_rules()
    yield from _abbreviation_rules()
    yield from _compound_rules()
    yield from _mark_rules()


_L = _ranges(str.isalpha)
_ACCENT = "&[aeiouAEIOU](?:acute|grave|uml);"
_WORD = rf"(?:[{_L}{_MARKS}\u00ad]|{_ACCENT})+"
_APOS = r"(?:['\u0092\u2019]|&apos;)"
_TICK = r"(?:['\u0092\u2019`\u0091\u2018\u201b]|&apos;)"
_LD = rf"[{_L}\d]"
_END = r"(?=\s|$)"
_HYPHEN = r"[-_\u058a\u2010\u2011]"


def _word_rules() -> Iterator[tuple[str, Act]]:
    for first, second in ("can", "not"), ("gon", "na"), ("got", "ta"), ("lem", "me"), ("gim", "me"), ("wan", "na"):
        yield rf"((?i:{first}))(?i:{second})", _word
    yield r"('[tT])(?i:is|was)", _word
    name = r"[A-Za-z][A-Za-z0-9_:.\-]*"
    yield rf"(<(?:[!?][A-Za-z\-][^>\r\n]*|/{name} *|{name}(?: +{name}(?: *= *(?:'[^']*'|\"[^\"]*\"))?)* */? *)>)", _tag
    yield r"(&(?:MD|mdash|ndash);|[\u0096\u0097\u2013-\u2015])", lambda _: ("--",)
    yield r"(&amp;)", _entity
    yield r"(&(?:HT|TL|UR|LR|QC|QL|QR|odq|cdq|#[0-9]+);)", _word
    yield rf"({_WORD})(?:{_APOS}(?:[msdMSD]|re|ve|ll|RE|VE|LL))", _word
    yield rf"([A-Za-z\u00ad]*[A-MO-Za-mo-z]\u00ad*)[nN]{_TICK}[tT]", _word
    yield rf"({_WORD})", _word
    yield (
        rf"({_APOS}[nN]{_APOS}?|[lLdDjJ]{_APOS}|Dunkin{_APOS}|somethin{_APOS}|[oO]l{_APOS}|{_APOS}em|{_APOS}[2-9]0s|{_APOS}till?|{_APOS}cause)",
        _word,
    )
    yield rf"([A-HJ-XZn]{_TICK}[{_L}]{{2,}})", _word
    yield rf"([{_L}]+[aeiouyAEIOUY]{_TICK}[aeiouA-Z][{_L}]*)", _word
    yield (
        rf"((?i:cont{_APOS}d\.?|nor{_APOS}easter|c{_APOS}mon|e{_APOS}er|s{_APOS}mores|ev{_APOS}ry|li{_APOS}l|nat{_APOS}l))",
        _word,
    )
    yield rf"((?:cap|Cap){_APOS}n|c{_APOS}est)", _word
    yield rf"([yY]{_APOS})[{_L}]", _word
    dotted = rf"[{_L}{_MARKS}\u00ad][{_L}{_MARKS}\u00ad\d]*(?:[.!?][{_L}{_MARKS}\u00ad][{_L}{_MARKS}\u00ad\d]*)+"
    yield rf"({dotted}){_APOS}(?:[msdMSD]|re|ve|ll|RE|VE|LL)", _word
    yield rf"({dotted})", _word
    yield rf"({dotted}\.)[,;:\u3001]", _word


def _address_rules() -> Iterator[tuple[str, Act]]:
    tail = r"[^\s\"<>|()]+[^\s\"<>|.!?(){},\-]"
    yield rf"((?i:https?)://{tail})", _same
    yield (
        rf"((?:www\.(?:[^\s\"<>|.!?(){{}},]+\.)+[a-zA-Z]{{2,4}}|(?:[^\s\"`'<>|.!?(){{}},-_$]+\.)+(?:com|net|org|edu))(?:/{tail})?)",
        _same,
    )
    yield r"((?:&lt;|<)?[a-zA-Z0-9][^\s\"<>|()]*@(?:[^\s\"<>|(){}.]+\.)*[^\s\"<>|(){}.]+(?:&gt;|>)?)", _same
    yield r"([@\uff20][a-zA-Z_][a-zA-Z_0-9]*)", _same
    yield rf"([#\uff03][{_L}]+)", _same


def _number_rules() -> Iterator[tuple[str, Act]]:
    yield rf"({_APOS}(?:[msdMSD]|re|ve|ll|RE|VE|LL))(?:[^A-Za-z]|$)", _plain
    yield rf"([nN]{_TICK}[tT])", _plain
    yield r"(\d{1,2}[-/]\d{1,2}[-/]\d{2,4})", _word
    number = r"\d*(?:[.:,\u00ad\u066b\u066c]\d+)+"
    yield rf"([-+]?{number})", _word
    yield r"([-+]?\d+)", _word
    yield r"([\u207a\u207b\u208a\u208b]?(?:[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+|[\u2080-\u2089]+))", _word
    yield r"((?:\d{1,4}[- \u00a0])?\d{1,4}(?:\\?/|\u2044)\d{1,4})", _solid
    yield r"([\u00bc-\u00be\u2153\u2154])", _single
    yield (
        r"(-(?:RRB|LRB|RCB|LCB|RSB|LSB|rrb|lrb|rcb|lcb|rsb|lsb)-|C\.D\.s|pro-|anti-|S(?:&|&amp;)P-500|S(?:&|&amp;)Ls)",
        _ampersand,
    )
    yield rf"({_APOS}[0-9][0-9]){_END}", _word
    part = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"
    yield rf"({part}(?:\\?/{part}){{1,2}})", _word
    yield r"([A-Z]*\$|#)", _word
    yield r"([\u00a2-\u00a4\u0080\u20a0\u20ac])", _single
    phone = r"(?:\(\d{2,3}\)[ \u00a0]?|(?:\+\+?)?(?:[0-9]{2,4}[- \u00a0])?[0-9]{2,4}[- \u00a0])[0-9]{3,4}[- \u00a0]?[0-9]{3,5}"
    yield rf"({phone}|(?:(?:\+\+?)?[0-9]{{2,4}}\.)?[0-9]{{2,4}}\.[0-9]{{3,4}}\.[0-9]{{3,5}})", _solid


def _cased(names: frozenset[str]) -> str:
    """The abbreviations as they may be written, the longest first."""
    written = {*(names - _CAPITAL), *map(str.capitalize, names), *map(str.upper, names - _MIXED)}
    return "|".join(sorted(written, key=lambda name: (-len(name), name)))


def _abbreviation_rules() -> Iterator[tuple[str, Act]]:
    yield rf"((?:{_cased(_CLOSING)})\.)[\s\S]{{2}}", _word
    yield r"((?:Ph|Ed)\.D\.)[\s\S]{2}", _word
    yield rf"((?:{_cased(_CLOSING | _TITLES)})\.)", _word
    yield r"((?:Ph|Ed)\.D\.)", _word
    yield rf"((?i:{NUMBERED})\.)\s?\d", _word
    yield rf"([A-Za-z])\.[ \s]+(?:{_BEGINNINGS}){_END}", _word
    yield r"([A-Za-z]\.)", _word
    yield r"([A-Za-z](?:\.[A-Za-z])+\.)", _word
    yield rf"({_WORD}\.)[,;:\u3001]", _word


def _compound_rules() -> Iterator[tuple[str, Act]]:
    piece = rf"(?:[dDoOlL]{_TICK}{_LD})?{_LD}+"
    yield rf"({piece}(?:{_HYPHEN}{piece})*)", _word
    yield rf"({piece}(?:{_HYPHEN}{piece})*\.)[,;:\u3001]", _word
    high = r"[A-Za-z0-9][A-Za-z0-9.,\u00ad]*(?:-(?:[A-Za-z](?:\.[A-Za-z])+\.|[A-Za-z0-9\u00ad]+))+"
    yield rf"({high})", _word
    yield rf"({high}\.)[,;:\u3001]", _word
    yield r"([A-Z]+(?:(?:[+&]|&amp;)[A-Z]+)+)", _ampersand
    yield r"([CcFf]#|[Cc]\+\+)", _word
    ending = "bat|bmp|cgi|class|cpp|c|dll|docx|doc|exe|gif|gz|html|htm|h|jar|java|jpeg|jpg|mov|mp3|pdf|php|pl|png|ppt|ps|py|sql|tar|txt|wav|xml|x"
    yield rf"((?:[A-Za-z0-9]+\.)+(?:{ending}))(?:[\s.?!,]|$)", _word


def _mark_rules() -> Iterator[tuple[str, Act]]:
    yield r"([<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]])(?:[^A-Za-z0-9]|$)", _solid
    yield r"([-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\))", _solid
    yield r"(-+)", _hyphens
    yield r"(\.{3,5}|(?:\.[ \u00a0]){2,4}\.)", lambda _: ("...",)
    yield r"(@+|#+|_+)", _same
    yield r"(\*+|(?:\\\*){1,3})", _same
    yield r"([?!]+)", _same
    yield r"(<<|>>)", _same
    yield r"(&(?:lt|gt|apos|quot|LT|GT|QUOT|APOS);)", _entity
    yield r"(')[A-Za-z]\S", lambda _: ("`",)
    yield r'(")', lambda _: ("''",)
    yield rf"({_APOS}(?:[msdMSD]|re|ve|ll|RE|VE|LL))", _plain
    yield r"([`\u2018-\u201f\u0091-\u0094\u2039\u203a\u00ab\u00bb]{1,2}|''|&apos;)", _quotes
    yield rf"([{''.join(map(re.escape, _SINGLE))}])", _single
    yield rf"([{_SYMBOLS}])", _same
    yield r"(&nbsp;|\s+)", lambda _: ()
