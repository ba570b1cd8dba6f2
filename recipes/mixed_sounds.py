"""One manifest of the sounds of several tables: what an audio quantiser that is to write all of them learns from.

    python recipes/mixed_sounds.py OUT_FOLDER emoji.lance commands.lance fsdd.lance
    chiasm build OUT_FOLDER sounds.lance
    chiasm train sounds.lance system=audio_quantizer train.minutes=10 --out runs/audio_quantizer

Of each record of the train and validation splits one sound is taken, another voice each time.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from chiasm.dataset.table import Table


def main(out: Path, tables: list[str]) -> None:
    rows: list[dict[str, Any]] = []
    for path in tables:
        table = Table(path)
        for split in ("train", "validation"):
            where = table.rows(f"split = '{split}'")
            for start in range(0, len(where), 256):
                for turn, record in enumerate(table.records(where[start : start + 256], ["id", "audio"])):
                    if record.audio:
                        sound = record.audio[turn % len(record.audio)]
                        name = f"{Path(path).stem}:{record.id}"
                        rows.append({"id": name, "audio": table.read(sound), "speaker": sound.by, "split": split})
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), out / "manifest.parquet")
    print(f"{len(rows):,} sounds: {out / 'manifest.parquet'}")  # noqa: T201


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
