"""A dialogue over several turns with pictures among the turns → the next answer.

python examples/dialogue.py
"""

from __future__ import annotations

from small import folder, learn, table

from chiasm import Media, Question, Record

with folder() as root:
    data = table(root, "emoji-dialogue", voices=())  # with voices, a third of the questions are spoken as well
    model = learn(
        data, root / "run", {"talk": "{given: [turns], wanted: answer}"}, steps=12, settings=["model.text.length=64"]
    )
    told = data.records([0])[0]
    for turn in told.questions[:-1]:
        print(f"– {turn.question}\n  {turn.answers[0]}")
    found = model.convert(record=told, to="answer")
    print(f"– {told.questions[-1].question}\n  {found.text} (told: {told.questions[-1].answers[0]})")

    # The same from parts: a medium of kind "turn:k" belongs to the k-th question, from 0.
    picture = Media(data=data.read(told.image[0]), kind="turn:0")
    asked = Record(
        "mine", image=(picture,), questions=(Question("How many pictures are there?", ("3",)), Question("Which?", ()))
    )
    print("– Which?\n ", model.convert(record=asked, to="answer").text)
