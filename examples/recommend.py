"""A history of items, each a picture with a name → what comes next, out of a catalogue.

python examples/recommend.py
"""

from __future__ import annotations

from small import folder, learn, table

from chiasm import Record
from chiasm.train.converting import ConvertingModel

with folder() as root:
    data = table(root, "emoji-sessions")
    model = learn(data, root / "run", {"next": "{given: [history], wanted: item}"}, steps=8)
    assert isinstance(model, ConvertingModel)
    sessions = data.records(range(3))
    # The catalogue: every item once, a record with its picture and its name.
    items = {
        t.text: Record(t.text, texts=(t,), image=(m,)) for s in sessions for t, m in zip(s.texts, s.image, strict=True)
    }
    found = model.recommend("next", sessions, list(items.values()), k=3, read=data.read)
    for session, one in zip(sessions, found, strict=True):
        print(f"{', '.join(t.text for t in session.texts)} → {', '.join(one.items or ())}")
