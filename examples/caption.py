"""Image → text: a picture gets its name.

python examples/caption.py
"""

from __future__ import annotations

from small import folder, learn, table

with folder() as root:
    data = table(root, "emoji", voices=())
    model = learn(data, root / "run", {"caption": "{given: [image], wanted: text.en}"}, steps=80)
    for record in data.records(range(3)):
        found = model.convert(image=data.read(record.image[0]))
        print(f"{record.texts[0].text} → {found.text} ({found.score:.2f} nats)")
