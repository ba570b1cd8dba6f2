"""Image + question → answer: several questions about one picture, each answered from the answers that training saw.

python examples/answer.py
"""

from __future__ import annotations

from small import folder, learn, table

with folder() as root:
    data = table(root, "emoji-scenes")
    # together: four questions of a scene share the encoding of its picture, in one training example.
    task = "{given: [image, question], wanted: answer, together: 4}"
    model = learn(data, root / "run", {"answer": task}, steps=12)
    scene = data.records([0])[0]
    picture = data.read(scene.image[0])
    for asked in scene.questions[:4]:
        found = model.convert(image=picture, text=asked.question, to="answer")
        print(
            f"{asked.question} {found.text} (told: {asked.answers[0]}; probability {found.scores[found.text or '']:.2f})"
        )
    chosen = model.convert(image=picture, text="Can you see a cow?", to="answer", choices=["yes", "no"])
    print("yes or no:", chosen.text, dict(chosen.scores))
