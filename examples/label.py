"""Text → label: the sentiment of a sentence, and its topic.

python examples/label.py
"""

from __future__ import annotations

from itertools import product

from small import folder, held_out, learn, measure, own

TOPICS = {
    "films": ("film", "plot", "cast", "ending"),
    "food": ("soup", "cake", "pizza", "salad"),
    "phones": ("screen", "battery", "camera", "ringtone"),
}
SENTIMENTS = {
    "positive": ("wonderful", "a delight", "better than I had hoped"),
    "negative": ("awful", "a disappointment", "worse than I had feared"),
    "neutral": ("as expected", "neither good nor bad", "much like the last one"),
}
FRAMES = ("The {} was {}.", "If you ask me, the {} is {}.")

TASKS = {
    "sentiment": '{given: [text], wanted: "label:sentiment"}',
    "topic": '{given: [text], wanted: "label:topic"}',
}

rows = [
    {"text": frame.format(thing, said), "labels": {"sentiment": sentiment, "topic": topic}}
    for (topic, things), (sentiment, sayings) in product(TOPICS.items(), SENTIMENTS.items())
    for thing, said, frame in product(things, sayings, FRAMES)
]

with folder() as root:
    data = own(root, "reviews", rows)
    model = learn(data, root / "run", TASKS, steps=200)
    for record in held_out(data, 4):
        text = record.texts[0].text
        found = [model.convert(text=text, task=task) for task in TASKS]
        print(f"{text} → {', '.join(f'{one.text} {one.scores[one.text or str()]:.2f}' for one in found)}")
    measure(model, {"sentiment": "accuracy", "topic": "accuracy"})
