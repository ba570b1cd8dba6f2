"""Text → speech: a quantiser writes sounds in codes, a small model learns which follow which words, a vocoder makes them a WAV file.

python examples/speak.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

from small import folder, learn, learn_codes, table

from chiasm.modalities.vocoder import write_wav

SIZE = ("change.width=32", "change.depth=1", "train.threads=1")
"""Of a quantiser that is trained in a second: its sounds are a murmur. Leave these out for your own data."""

with folder() as root:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else root
    data = table(root, "spoken-commands", limit=40, voices=("en-us",))
    codes = learn_codes(data, root / "codes", "audio_quantizer", steps=12, settings=SIZE)
    model = learn(
        data,
        root / "run",
        {"say": "{given: [text], wanted: audio}"},
        steps=12,
        settings=[f"conversion.quantizers={{audio: {codes}}}", "conversion.audio_length=50"],
    )
    spoken = model.convert(text="play the radio now", to="audio", by="en-us").audio
    assert spoken is not None
    (out / "spoken.wav").write_bytes(write_wav(spoken))
    print(f"{len(spoken) / 16000:.2f} s of speech: {(out / 'spoken.wav').name}")
