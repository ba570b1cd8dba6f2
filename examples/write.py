"""Text → text: what a function does, from its code; the code from that; and a report's headline. Three tasks on two tables.

python examples/write.py
"""

from __future__ import annotations

from itertools import product

from small import folder, held_out, learn, measure, own, table

WEATHER = {"rain": "it rained", "snow": "it snowed", "sun": "the sun shone", "storms": "it stormed", "fog": "fog lay"}
TOWNS = ("Oslo", "Lima", "Kyoto", "Cairo", "Quito", "Turin")
DAYS = ("Monday", "Wednesday", "Friday", "Sunday")

reports = [
    {"description": f"On {day} {what} in {town} from morning to evening.", "title": f"{word} in {town}"}
    for day, town, (word, what) in product(DAYS, TOWNS, WEATHER.items())
]

with folder() as root:
    news = own(root, "news", reports)
    # Functions of Python's own library: the code, and the first line of what is said of it.
    code = table(root, "python-docs", limit=300, test=0.1)
    tasks = {
        "explain": '{given: ["text:code"], wanted: "text:summary"}',
        "program": '{given: ["text:summary"], wanted: "text:code"}',
        "headline": f'{{given: ["text:description"], wanted: "text:title", table: {news.path}}}',
    }
    model = learn(code, root / "run", tasks, steps=100, settings=["model.text.length=64"])
    shown = {
        "explain": (code, "code", "summary"),
        "program": (code, "summary", "code"),
        "headline": (news, "description", "title"),
    }
    for task, (data, given, wanted) in shown.items():
        texts = {text.kind: text.text for text in held_out(data, 1)[0].texts}
        print(f"{task}: {texts[given]} → {model.convert(text=texts[given], task=task).text} (told: {texts[wanted]})")
    measure(model, {"explain": "chrf", "program": "chrf", "headline": "token_f1"})
