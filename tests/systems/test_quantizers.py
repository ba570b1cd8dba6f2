"""The quantisers of pictures and sounds: losses that fall, codes that are an item's own, shapes that fit, a run from end to end."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image

from chiasm.config import BuildConfig, SystemRunConfig, load_config
from chiasm.dataset.build import build
from chiasm.errors import ConfigError
from chiasm.evaluate.comparison.measured import measure_run
from chiasm.modalities.audio import encode_audio
from chiasm.systems.audio_quantizer import AudioQuantizer
from chiasm.systems.catalogue import find
from chiasm.systems.image_quantizer import ImageQuantizer
from chiasm.systems.system import System
from chiasm.train.distributed import World
from chiasm.train.named import SystemJob, resolve, weighted
from chiasm.train.optimizer import Optimizer
from chiasm.train.run import train
from chiasm.types import Media, Record, Text

SMALL: dict[str, dict[str, Any]] = {
    "image_quantizer": {
        "side": 16, "patch": 4, "width": 24, "fine_width": 16, "depth": 1, "fine_depth": 1, "levels": [5, 4],
    },
    "audio_quantizer": {"width": 48, "depth": 1, "groups": 2, "levels": [8, 5], "crop": 32, "seconds": 1.0},
}  # fmt: skip
NAMES = tuple(SMALL)


class Squares:
    """Squares of one colour, and tones of one pitch in two voices."""

    name, attribution, root, total = "squares", "", None, 80
    rule: Literal["groups", "forms"] = "groups"
    checked = frozenset({"image", "audio"})
    found = ""

    def prepare(self, progress: object = None) -> None: ...

    def records(self) -> Iterator[Record]:
        for index in range(self.total):
            random = np.random.default_rng(index)
            canvas = np.full((16, 16, 3), 255, np.uint8)
            y, x = random.integers(0, 9, 2)
            canvas[y : y + 7, x : x + 7] = random.integers(0, 256, 3)
            file = io.BytesIO()
            Image.fromarray(canvas).save(file, "PNG")
            t = np.arange(2000 + 100 * (index % 9)) / 16_000
            tones = [
                encode_audio((0.3 * np.sin(2 * np.pi * f * (200 + 40 * (index % 20)) * t)).astype(np.float32))
                for f in (1, 2)
            ]
            yield Record(
                f"s{index}", (Text(f"square {index}", "en"),), (Media(file.getvalue()),), tuple(map(Media, tones))
            )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("squares")
    config = BuildConfig(validation=0.2, test=0.2, workers=1)
    return build(Squares(), folder / "squares.lance", config).path


def configured(name: str, table: Path, steps: int = 40) -> SystemRunConfig:
    base = {
        "system": name,
        "change": SMALL[name],
        "data": {"table": str(table), "vocabulary": 300},
        "optimizer": {"learning_rate": 5e-3},
        "train": {"batch": 16, "steps": steps, "precision": "fp32", "threads": 1, "device": "cpu"},
    }
    return load_config(SystemRunConfig, base=base)


def make_job(name: str, table: Path, folder: Path) -> SystemJob:
    job = SystemJob(configured(name, table), folder, World(), torch.device("cpu"), torch.float32, None, None)
    job.calibrate(torch.device("cpu"))
    return job


@pytest.mark.parametrize("name", NAMES)
def test_losses_fall_on_one_batch(name: str, table: Path, tmp_path: Path) -> None:
    job = make_job(name, table, tmp_path)
    batch = job.make(0, 0, 1)
    optimizer = Optimizer(job.model, job.config.optimizer)
    sums: list[float] = []
    for step in range(25):
        optimizer.set_progress(0.2 + step / 50)
        optimizer.clear()
        loss = weighted(job.model.losses(batch, torch.float32), job.model)
        loss.backward()
        optimizer.step()
        sums.append(loss.item())
    assert sums[-1] < 0.9 * sums[0], sums  # of a log: the error itself falls to less than a half
    assert all(p.grad is not None for p in job.model.parameters()), "every parameter takes part"


def image_quantizer() -> ImageQuantizer:
    model = fresh("image_quantizer")
    assert isinstance(model, ImageQuantizer)
    return model


def audio_quantizer() -> AudioQuantizer:
    model = fresh("audio_quantizer")
    assert isinstance(model, AudioQuantizer)
    return model


def fresh(name: str) -> System:
    """Seeded weights. Blocks begin as the identity; here they must not be."""
    torch.manual_seed(0)
    spec, size = resolve(configured(name, Path("none.lance")))
    model = spec.make(size, spec.published.facts)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("mix.weight"):
                parameter.normal_(0, 0.1)
    return model


def test_pictures_to_codes_and_back() -> None:
    model = image_quantizer()
    pictures = torch.randint(0, 256, (6, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    codes = model.encode(pictures)
    assert codes.shape == (6, model.steps, 2) == (6, 16, 2) and codes.dtype == torch.int64
    assert model.sizes == (20, 20) and int(codes.min()) >= 0 and int(codes.max()) < 20
    assert len(codes.flatten(0, 1).unique(dim=0)) > 4, "what it says depends on what it sees"
    back = model.decode(codes)
    assert back.shape == pictures.shape and back.dtype == torch.uint8
    for one in range(6):
        # Another batch size is another kernel: a latent on the edge of two codes may fall either way.
        assert (model.encode(pictures[one : one + 1])[0] != codes[one]).float().mean() < 0.1
        assert int((model.decode(codes[one : one + 1])[0].int() - back[one].int()).abs().max()) <= 1
    with pytest.raises(ValueError, match="0 to 19"):
        model.decode(codes + 20)


def test_sounds_to_codes_and_back_whatever_stands_beside_them() -> None:
    model = audio_quantizer()
    drawn = torch.Generator().manual_seed(1)
    value = torch.randint(0, 256, (3, 24, 80), dtype=torch.uint8, generator=drawn)
    valid = torch.ones(3, 24, dtype=torch.bool)
    valid[1, 10:] = False
    valid[2, 1:] = False
    codes = model.encode(value, valid)
    assert codes.shape == (3, 6, 2) and model.sizes == (40, 40) and model.frames_per_step == 4
    assert not codes[1, 3:].any() and not codes[2, 1:].any()
    back = model.decode(codes, valid)
    assert back.shape == value.shape and back.dtype == torch.uint8 and not back[~valid].any()
    alone = model.encode(value[1:2, :12], valid[1:2, :12])
    assert torch.equal(alone[0], codes[1, :3]), "neither neighbours nor padding change a code"
    shorter = model.decode(alone, valid[1:2, :12])
    assert int((shorter[0].int() - back[1, :12].int()).abs().max()) <= 1
    noise = torch.where(valid[..., None], value, 255 - value)
    assert torch.equal(model.encode(noise, valid), codes)


@pytest.mark.parametrize("name", NAMES)
def test_the_tiny_size_is_within_its_budget(name: str) -> None:
    spec = find(name)
    with torch.device("meta"):
        model = spec.make(spec.tiny, spec.published.facts)
    most = {"image_quantizer": 1_600_000, "audio_quantizer": 800_000}
    assert sum(p.numel() for p in model.parameters()) <= most[name]


def test_sizes_that_do_not_fit_are_refused(table: Path) -> None:
    for change in ({"patch": 3}, {"side": 18}, {"levels": [1]}, {"levels": []}):
        config = configured("image_quantizer", table)
        with pytest.raises(ConfigError):
            resolve(config.model_copy(update={"change": {**config.change, **change}}))


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_measured_against_the_mean(name: str, table: Path, tmp_path: Path) -> None:
    train(configured(name, table, steps=60), tmp_path / "run")
    found = measure_run(tmp_path / "run", device="cpu")
    assert found.beats_chance and found.n == 16
    assert found.name == ("PSNR (dB)" if name.startswith("image") else "log-mel distance, negated (dB)")
    shares = {key: value for key, value in found.beside.items() if key.startswith("share")}
    assert len(shares) == 2 and all(0 < value <= 1 for value in shares.values())
    if name.startswith("image"):
        assert found.value > 10 and 0 < found.beside["SSIM"] < 1
    else:
        assert found.chance < found.low < found.value < 0
