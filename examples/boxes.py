"""Image → boxes (detection) and → a mask (segmentation by labels of patches).

python examples/boxes.py
"""

from __future__ import annotations

from small import folder, learn, table

TASKS = {"boxes": "{given: [image], wanted: boxes, order: parallel}", "mask": "{given: [image], wanted: mask}"}

with folder() as root:
    data = table(root, "emoji-scenes")
    model = learn(data, root / "run", TASKS, steps=16)
    picture = data.read(data.records([0])[0].image[0])
    boxes = model.convert(image=picture, to="boxes").boxes or ()
    print(f"boxes: {len(boxes)}")
    for box in boxes:
        print(f"  {box.label} {box.score:.2f}: {box.x0:.2f} {box.y0:.2f} – {box.x1:.2f} {box.y1:.2f}")
    found = model.convert(image=picture, to="mask")
    assert found.mask is not None
    shares = {found.names[k]: float((found.mask == k).mean()) for k in set(found.mask.flatten().tolist())}
    print(
        f"mask: {found.mask.shape[0]} × {found.mask.shape[1]} cells:",
        ", ".join(f"{n} {s:.0%}" for n, s in shares.items()),
    )
