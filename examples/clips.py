"""Text ↔ clip: the clip that words mean, and the words that a clip means, out of clips that training never saw.

python examples/clips.py
"""

from __future__ import annotations

from small import folder, learn, table

with folder() as root:
    data = table(root, "emoji-motion", limit=48)
    model = learn(data, root / "run", {"clips": "{given: [text.en, video], wanted: space}"}, steps=40)
    new = table(root, "emoji-motion", limit=12, name="new", seed=1)  # another seed draws other clips
    new.index(model)
    records = new.records()
    clips = [new.search(record.texts[0].text, to="video", k=3) for record in records]
    words = [new.search(video=new.read(record.video[0]), to="text", k=3) for record in records]
    print(f"{records[0].texts[0].text} → clips {', '.join(hit.id for hit in clips[0])} (told: {records[0].id})")
    print(f"clip {records[0].id} → {' / '.join(hit.record.texts[0].text for hit in words[0])}")
    for name, found in (("text → clip", clips), ("clip → text", words)):
        first = sum(hits[0].id == record.id for hits, record in zip(found, records, strict=True))
        print(f"{name}: R@1 {first / len(records):.2f} of {len(records)} new clips (chance {1 / len(records):.2f})")
