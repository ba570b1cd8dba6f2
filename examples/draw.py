"""Text → image: a quantiser learns to write pictures in codes, and a small model learns which codes follow which words.

python examples/draw.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image
from small import folder, learn, learn_codes, table

import chiasm

SIZE = (
    "change.side=32",
    "change.width=32",
    "change.fine_width=16",
    "change.depth=1",
    "change.fine_depth=1",
    "train.threads=1",
)
"""Of a quantiser that is trained in a second: its pictures are blurs. Leave these out for your own data."""

with folder() as root:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else root
    data = table(root, "emoji", voices=())
    codes = learn_codes(data, root / "codes", "image_quantizer", steps=12, settings=SIZE)
    # blank: a tenth of the examples show nothing of the words: what guidance needs. word_dropout: half of the codes written so far
    # are hidden from the writer in training, so that it looks at the words.
    model = learn(
        data,
        root / "run",
        {"draw": "{given: [text.en], wanted: image, blank: 0.1, word_dropout: 0.5}"},
        steps=12,
        settings=[f"conversion.quantizers={{image: {codes}}}"],
    )
    decoding = chiasm.DecodingConfig(kind="sample", temperature=0.9, top_p=0.95, guidance=2, seed=1)
    drawn = model.convert(text="A button (blood type)", to="image", decoding=decoding).image
    assert drawn is not None
    Image.fromarray(drawn).save(out / "drawn.png")
    print(f"{drawn.shape[1]} × {drawn.shape[0]} pixels: {(out / 'drawn.png').name}")
