"""Names spoken by eSpeak NG voices, in parallel processes, kept in the cache after the first time."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from chiasm.errors import ConfigError, MachineError
from chiasm.modalities.audio import RATE
from chiasm.sources.cache import Blobs, cache_folder, load_blobs, store_blobs
from chiasm.sources.espeak import VERSION
from chiasm.sources.source import Progress

WORDS_A_MINUTE = 200
JOB = 500
"""Texts spoken by one process. Jobs are cut from the whole list of a language, so that a limited build and
a full one hear the same.
"""


class Speech(Mapping[str, bytes]):
    """What one voice says: FLAC bytes by text. A text that came out silent is not in it."""

    def __init__(self, parts: Sequence[Blobs]) -> None:
        self._by_text = {text: part for part in parts for text in part}

    def __getitem__(self, text: str) -> bytes:
        data = self._by_text[text][text]
        if not data:
            raise KeyError(text)
        return data

    def __iter__(self) -> Iterator[str]:
        return (text for text, part in self._by_text.items() if part[text])

    def __len__(self) -> int:
        return sum(1 for _ in self)


def speak(
    texts: Mapping[str, Sequence[str]],
    *,
    first: int | None = None,
    workers: int = 2,
    progress: Progress | None = None,
) -> dict[str, Speech]:
    """Let each voice speak its texts: {voice: texts} → {voice: Speech}. Jobs found in the cache are not
    spoken again.

    first: only so many texts of each voice are needed (rounded up to whole jobs). Raises ConfigError for a
    voice that eSpeak NG does not have, MachineError where it is not installed or fails.
    """
    if find_spec("espeakng_loader") is None:
        raise MachineError("speech needs eSpeak NG: pip install 'chiasm[demo]'")
    folder = cache_folder() / "speech"
    jobs = [(voice, job) for voice, names in texts.items() for job in _jobs(names, first)]
    done: dict[tuple[str, int], Blobs] = {}
    missing: list[int] = []
    for index, (voice, names) in enumerate(jobs):
        found = load_blobs(folder / _file(voice, names), names)
        if found is None:
            missing.append(index)
        else:
            done[voice, index] = found
    total = sum(len(jobs[index][1]) for index in missing)
    spoken = 0
    with ThreadPoolExecutor(workers, "speak") as pool:  # the threads only wait for their processes
        futures = {pool.submit(_speak_job, folder, *jobs[index]): index for index in missing}
        try:
            for future in as_completed(futures):
                index = futures[future]
                done[jobs[index][0], index] = future.result()
                spoken += len(jobs[index][1])
                if progress is not None:
                    progress("speak", spoken, total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {
        voice: Speech([done[voice, index] for index, (owner, _) in enumerate(jobs) if owner == voice])
        for voice in texts
    }


def _jobs(names: Sequence[str], first: int | None) -> list[list[str]]:
    stop = len(names) if first is None else min(first, len(names))
    return [list(names[start : start + JOB]) for start in range(0, stop, JOB)]


def _file(voice: str, names: Sequence[str]) -> str:
    """The cache's file of a job; its name changes with everything that the sound depends on."""
    engine = metadata.version("espeakng-loader")
    parts = [engine, str(VERSION), str(WORDS_A_MINUTE), str(RATE), voice, *names]
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=10).hexdigest()
    return f"{engine}/{voice}/{digest}.arrow"


def _speak_job(folder: Path, voice: str, names: Sequence[str]) -> Blobs:
    path = folder / _file(voice, names)
    store_blobs(path, names, _run(voice, names))
    found = load_blobs(path, names)
    if found is None:
        raise MachineError(f"{path}: the cache does not hold what was written to it")
    return found


def _run(voice: str, names: Sequence[str]) -> list[bytes]:
    """One job in its own process."""
    command = [sys.executable, "-m", "chiasm.sources.espeak"]
    job = json.dumps({"voice": voice, "rate": WORDS_A_MINUTE, "texts": list(names)}).encode()
    done = subprocess.run(command, input=job, capture_output=True, check=False)
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode == 3:
        raise ConfigError(f"voices: {said}")
    if done.returncode != 0:
        last = said.splitlines()[-1] if said else "no message"
        raise MachineError(f"eSpeak NG ended with code {done.returncode} in voice {voice!r}: {last}")
    return list(_unpack(done.stdout, len(names)))


def _unpack(data: bytes, count: int) -> Iterator[bytes]:
    start = 0
    for _ in range(count):
        (length,) = struct.unpack_from("<I", data, start)
        yield data[start + 4 : start + 4 + length]
        start += 4 + length
