"""A dialogue over several turns, pictures and speech among them → the next answer.

python examples/dialogue.py
"""

from __future__ import annotations

from small import folder, learn, table

from chiasm import Media, Question, Record

with folder() as root:
    # A third of the questions are spoken as well: those the model hears, and does not read.
    data = table(root, "emoji-dialogue", voices=("en-us",), objects=16)
    model = learn(
        data, root / "run", {"talk": "{given: [turns], wanted: answer}"}, steps=12, settings=["model.text.length=64"]
    )
    new = table(root, "emoji-dialogue", limit=12, name="new", seed=1, voices=("en-us",), objects=16)  # other dialogues
    told = next(record for record in new.records() if record.audio)
    spoken = {medium.kind for medium in told.audio}
    found = model.convert(record=told, to="answer")
    for number, turn in enumerate(told.questions):
        last = turn is told.questions[-1]
        print(f"– {turn.question}{' (spoken)' if f'turn:{number}' in spoken else ''}")
        print(f"  {found.text} (told: {turn.answers[0]})" if last else f"  {turn.answers[0]}")

    # The same from parts: a medium of kind "turn:k" belongs to the k-th question, from 0. What is only heard has no words.
    picture = Media(data=new.read(told.image[0]), kind="turn:0")
    voice = Media(data=new.read(told.audio[0]), kind="turn:1")
    turns = (Question("How many pictures are there?", ("3",)), Question("", ()))
    asked = Record("mine", image=(picture,), audio=(voice,), questions=turns)
    print(f"– (only heard: {told.audio[0].text})\n  {model.convert(record=asked, to='answer').text}")
