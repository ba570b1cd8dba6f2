"""Text (and a picture, where there is one) → text in another language.

python examples/translate.py
"""

from __future__ import annotations

from small import folder, learn, table

import chiasm

with folder() as root:
    data = table(root, "emoji", voices=())
    tasks = {name: f'{{given: [text.en, "image?"], wanted: text.{name}}}' for name in ("de", "fr")}
    model = learn(data, root / "run", tasks, steps=16)
    record = data.records([0])[0]
    name = record.texts[0].text
    for language in tasks:
        alone = model.convert(text=name, language=language)
        seen = model.convert(text=name, image=data.read(record.image[0]), language=language)
        print(f"{name} → {language}: {alone.text}; with its picture: {seen.text}")
    beam = model.convert(text=name, language="de", decoding=chiasm.DecodingConfig(kind="beam", beams=3))
    print(f"beam search: {beam.text}")
