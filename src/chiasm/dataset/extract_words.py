"""The built-in gazetteers and word classes of English that text extraction goes by."""

from __future__ import annotations

from collections.abc import Mapping


def _ordered(text: str) -> list[str]:
    return text.split()


def _words(text: str) -> frozenset[str]:
    return frozenset(_ordered(text))


GAZETTEERS: Mapping[str, frozenset[str]] = {
    "colour": _words(
        "red orange yellow green blue purple violet pink brown black white grey gray gold golden silver beige tan cyan magenta "
        "turquoise teal maroon navy olive crimson scarlet indigo lavender khaki ivory"
    ),
    "animal": _words(
        "dog puppy cat kitten horse pony cow bull calf sheep lamb goat pig chicken hen rooster duck goose swan bird eagle owl parrot "
        "pigeon penguin fish shark whale dolphin frog toad snake lizard turtle tortoise crocodile elephant giraffe zebra lion tiger "
        "leopard bear panda wolf fox deer moose rabbit hare squirrel mouse rat hamster monkey ape gorilla camel kangaroo koala bat "
        "bee butterfly ant spider beetle fly ladybird ladybug snail octopus crab lobster seal otter beaver hedgehog donkey dragonfly "
        "flamingo peacock ostrich crow raven seagull dinosaur"
    ),
    "food": _words(
        "apple banana orange pear grape cherry strawberry lemon peach melon watermelon pineapple tomato potato carrot onion pepper "
        "mushroom corn cucumber lettuce salad bread cake pie cookie biscuit pizza sandwich burger hamburger pasta spaghetti rice soup "
        "cheese egg meat steak sausage bacon chocolate candy icecream donut doughnut croissant pancake waffle honey butter coffee tea "
        "juice milk wine beer"
    ),
    "vehicle": _words(
        "car truck lorry bus van taxi train tram bicycle bike motorcycle motorbike scooter boat ship ferry yacht canoe kayak submarine "
        "airplane aeroplane plane aircraft jet helicopter rocket tractor ambulance skateboard sled wagon cart caravan"
    ),
    "place": _words(
        "africa america antarctica asia australia europe argentina austria belgium brazil canada chile china colombia cuba denmark egypt "
        "england finland france germany greece hungary india indonesia iran iraq ireland israel italy japan kenya korea mexico morocco "
        "netherlands nigeria norway pakistan peru poland portugal russia scotland spain sweden switzerland thailand turkey ukraine "
        "vietnam wales amsterdam athens barcelona beijing berlin boston cairo chicago delhi dublin hamburg helsinki istanbul london "
        "madrid melbourne milan moscow mumbai munich oslo paris prague rome shanghai singapore stockholm sydney tokyo toronto vienna "
        "warsaw washington zurich"
    ),
}
"""Single words by kind, in the singular."""

NUMBERS: Mapping[str, int] = {
    word: value
    for value, word in enumerate(
        _ordered(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen "
            "twenty"
        )
    )
} | {
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "seventy": 70,
    "eighty": 80,
    "ninety": 90,
    "dozen": 12,
    "hundred": 100,
}

MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
WEEKDAYS = _words("monday tuesday wednesday thursday friday saturday sunday")

DETERMINERS = _words(
    "a an the this that these those his her its their my our your some many several another each every no"
)
PRONOUNS = _words("he she it they we i you who him them us me himself herself")
AUXILIARIES = _words("is are was were be been being has have had am gets get got can could will would")
CONJUNCTIONS = _words("and or but while as then because so that which who where when if")
ADVERBS = _words(
    "very quickly slowly together alone away down up out outside inside happily not just also there here too forward nearby high low off open"
)

PREPOSITIONS: tuple[tuple[str, ...], ...] = (
    ("on", "top", "of"), ("in", "front", "of"), ("on", "the", "left", "of"), ("on", "the", "right", "of"), ("to", "the", "left", "of"),
    ("to", "the", "right", "of"), ("next", "to"), ("close", "to"), ("left", "of"), ("right", "of"), ("out", "of"), ("inside", "of"),
    *((word,) for word in _ordered("on in at under above below behind beside near over inside outside between by with without of from to into onto "
      "through across along around against towards toward beneath atop for like during after before")),
)  # fmt: skip
"""Longest first where one begins another."""

RELATING = _words(
    "on in under above below behind beside near over inside between with of into onto through across along around against beneath atop at "
    "by"
)
"""Single prepositions that say how two things stand to each other."""

VERBS = _words(
    "run walk jump sit stand lie sleep eat drink play hold carry wear ride drive fly swim climb throw catch kick hit chase follow push "
    "pull lift drop open close cut cook read write draw paint sing dance talk speak look watch see smile laugh cry kiss hug fight shake "
    "wave point touch feed wash clean build fix make take give get put use work fish skate ski surf row sail hang lean kneel bend "
    "stretch crawl roll spin turn move stop start wait rest pose perform race bark bite chew lick sniff dig graze gallop leap dive "
    "float sink fall rise burn shine grow bloom cross pass enter leave approach buy sell show teach learn pet brush shave pour fill "
    "empty load unload park travel visit celebrate march parade juggle balance swing slide splash spray shoot aim tackle block serve meet "
    "set pray strike converse snowboard examine prepare gather enjoy smoke clap jog hike dress"
)

IRREGULAR: Mapping[str, str] = {
    "ran": "run", "sat": "sit", "stood": "stand", "lay": "lie", "lying": "lie", "slept": "sleep", "ate": "eat", "eaten": "eat",
    "drank": "drink", "held": "hold", "wore": "wear", "worn": "wear", "rode": "ride", "ridden": "ride", "drove": "drive",
    "driven": "drive", "flew": "fly", "flown": "fly", "swam": "swim", "threw": "throw", "thrown": "throw", "caught": "catch",
    "spoke": "speak", "sang": "sing", "saw": "see", "seen": "see", "fought": "fight", "shook": "shake", "fed": "feed", "built": "build",
    "made": "make", "took": "take", "taken": "take", "gave": "give", "given": "give", "wrote": "write", "drew": "draw", "drawn": "draw",
    "hung": "hang", "knelt": "kneel", "bent": "bend", "spun": "spin", "bit": "bite", "bitten": "bite", "dug": "dig", "fell": "fall",
    "rose": "rise", "grew": "grow", "met": "meet", "left": "leave", "bought": "buy", "sold": "sell", "taught": "teach", "swung": "swing",
    "slid": "slide", "shot": "shoot", "worked": "work",
}  # fmt: skip

NOUNS_IN_ING = _words(
    "building ceiling clothing king ring string wing thing something nothing anything everything morning evening painting drawing "
    "wedding spring sling swing ping railing awning lightning pudding earring dressing housing"
)

NOUNS_IN_S = _words(
    "glass grass bus dress cross class gas lens tennis bass mattress compass cactus octopus this is was has his its us"
)

PLURALS: Mapping[str, str] = {
    "men": "man", "women": "woman", "children": "child", "people": "people", "mice": "mouse", "geese": "goose", "feet": "foot",
    "teeth": "tooth", "wolves": "wolf", "leaves": "leaf", "knives": "knife", "calves": "calf", "sheep": "sheep", "fish": "fish",
    "deer": "deer", "buses": "bus", "glasses": "glass", "dresses": "dress", "oxen": "ox",
    "clothes": "clothes", "jeans": "jeans", "shorts": "shorts", "pants": "pants", "sunglasses": "sunglasses",
}  # fmt: skip


_KNOWN = frozenset().union(*GAZETTEERS.values())


def singular(word: str) -> str:
    """The singular of an English noun, by rule: what is none comes back as it was, or a little short."""
    if word in PLURALS:
        return PLURALS[word]
    if word in NOUNS_IN_S or word in _KNOWN or not word.endswith("s") or len(word) < 4 or word.endswith("ss"):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes", "oes")):
        return word[:-2]
    return word[:-1]


def _inflections() -> dict[str, str]:
    """Every regular form in -s, -ing and -ed of VERBS, and the irregular ones, to the verb."""
    forms: dict[str, str] = {}
    for verb in VERBS:
        short = verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else verb
        doubled = (
            verb + verb[-1]
            if len(verb) <= 4
            and verb[-1] not in "aeiouwxyhrk"
            and verb[-2] in "aeiou"
            and verb[-3:-2] not in tuple("aeiou")
            else short
        )
        doubled = (
            doubled
            if len(verb) < 4 or verb in ("swim", "spin", "skip", "stop", "drop", "grab", "step", "chat")
            else short
        )
        third = (
            verb + "es"
            if verb.endswith(("s", "sh", "ch", "x", "o"))
            else verb[:-1] + "ies"
            if verb.endswith("ry")
            else verb + "s"
        )
        past = verb[:-1] + "ied" if verb.endswith("ry") else doubled + "ed"
        forms |= {third: verb, doubled + "ing": verb, short + "ing": verb, past: verb}
    return forms | dict(IRREGULAR)


FORMS: Mapping[str, str] = _inflections()
