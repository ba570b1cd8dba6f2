"""Speech → text, and speech or text → what is meant: three tasks in one small model.

python examples/command.py
"""

from __future__ import annotations

from small import folder, learn, table

TASKS = {
    "hear": "{given: [audio], wanted: text}",
    "obey": '{given: [audio], wanted: "label:intent"}',
    "read": '{given: [text], wanted: "label:intent"}',
}

with folder() as root:
    data = table(root, "spoken-commands", limit=40, voices=("en-us",))
    model = learn(data, root / "run", TASKS, steps=16)
    record = data.records([0])[0]
    heard = data.read(record.audio[0])
    print("said:  ", record.texts[0].text)
    print("heard: ", model.convert(audio=heard).text)
    for given in ({"audio": heard}, {"text": record.texts[0].text}):
        meant = model.convert(**given, to="label")
        print(f"meant, by {next(iter(given))}: {meant.text}")
