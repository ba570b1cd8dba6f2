"""Video → text, → what is done in it, and video + question → answer.

python examples/video.py
"""

from __future__ import annotations

from small import folder, learn, table

TASKS = {
    "tell": "{given: [video], wanted: text.en}",
    "act": '{given: [video], wanted: "label:action"}',
    "ask": "{given: [video, question], wanted: answer}",
}

with folder() as root:
    data = table(root, "emoji-motion", limit=32)
    model = learn(data, root / "run", TASKS, steps=12)
    record = data.records([0])[0]
    clip = data.read(record.video[0])
    print(record.texts[0].text, "→", model.convert(video=clip).text)
    print("action:", model.convert(video=clip, to="label").text)
    asked = record.questions[0]
    print(
        asked.question, model.convert(video=clip, text=asked.question, to="answer").text, f"(told: {asked.answers[0]})"
    )
