"""Clips through the whole of it: a folder of them is built, trained on, evaluated, indexed, searched and reported."""

from __future__ import annotations

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
from train_cases import COLOURS, run_config
from train_cases import picture as still
from typer.testing import CliRunner

import chiasm
from chiasm.cli.main import app
from chiasm.config import BuildConfig, ModelConfig, RunConfig, dump_config, load_config
from chiasm.dataset.build import build
from chiasm.errors import ConfigError, MediaError
from chiasm.evaluate.pages.report import write_report
from chiasm.evaluate.retrieval.raw import read_raw
from chiasm.modalities.audio import RATE, read_audio
from chiasm.modalities.prepare import decoder
from chiasm.modalities.video import write_video
from chiasm.train.model import load
from chiasm.train.run import train

WAYS = ("left", "right", "up", "down", "nowhere")
TINY = ("model.video.size=16", "model.video.patch=8", "model.video.frames=4", "train.steps=6")


def clip(colour: str, way: str) -> bytes:
    frames = np.full((8, 32, 32, 3), 255, np.uint8)
    step = {"left": (0, -2), "right": (0, 2), "up": (-2, 0), "down": (2, 0)}.get(way, (0, 0))
    for k in range(8):
        y, x = (12 + (2 * k - 7) * part // 2 for part in step)
        frames[k, y : y + 8, x : x + 8] = COLOURS[colour]
    return write_video(frames, 8)


def spoken(colour: str) -> bytes:
    """A Matroska of pictures and a tone of one second."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        pictures = container.add_stream("mpeg4", rate=8)
        assert isinstance(pictures, av.VideoStream)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        sound = container.add_stream("flac", rate=RATE)
        assert isinstance(sound, av.AudioStream)
        sound.layout = "mono"
        for _ in range(8):
            frame = np.full((32, 32, 3), COLOURS[colour], np.uint8)
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(pictures.encode(None))
        wave = (8000 * np.sin(np.arange(RATE) / 5)).astype(np.int16)[None]
        heard = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        heard.sample_rate, heard.pts = RATE, 0
        container.mux(sound.encode(heard))
        container.mux(sound.encode(None))
    return file.getvalue()


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 clips with their captions, half of them with a picture; one has a sound track."""
    folder = tmp_path_factory.mktemp("moving")
    source = folder / "clips"
    source.mkdir()
    for c, colour in enumerate(COLOURS):
        for w, way in enumerate(WAYS):
            stem = source / f"{way}-{colour}"
            stem.with_suffix(".mp4").write_bytes(clip(colour, way))
            stem.with_suffix(".txt").write_text(f"a {colour} block goes {way}", encoding="utf8")
            if (c + w) % 2:
                stem.with_suffix(".png").write_bytes(still(colour, "small"))
    (source / "nowhere-red.mp4").unlink()
    (source / "nowhere-red.mkv").write_bytes(spoken("red"))
    (source / "broken.mp4").write_bytes(clip("red", "up")[:-700])
    return build(str(source), folder / "moving.lance", BuildConfig(validation=0.2, test=0.3, workers=1)).path


@pytest.fixture(scope="module")
def watched(moving: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "moving"
    train(run_config(moving, *TINY), run)
    return run


def test_a_folder_of_clips_is_built_with_their_sound(moving: Path) -> None:
    table = chiasm.Dataset(moving)
    assert table.metadata["reasons"] == {"truncated": 1}
    assert table.modalities == ("text", "image", "audio", "video")
    records = {record.id: record for record in table.records()}
    assert len(records) == 20
    assert all(len(record.video) == 1 for record in records.values())
    (track,) = records["nowhere-red"].audio
    assert (track.kind, track.path) == ("track", None)
    samples = read_audio(track.data or b"")
    assert abs(len(samples) - RATE) < 100
    assert abs(float(samples.std()) - 8000 / 32768 / 2**0.5) < 0.01
    assert not any(record.audio for name, record in records.items() if name != "nowhere-red")


def test_clips_are_learned_embedded_and_found(moving: Path, watched: Path) -> None:
    model, table = load(watched), chiasm.Dataset(moving)
    assert {"text", "image", "video"} <= set(model.modalities)
    wanted = table.records([0, 1])
    vectors = model.embed(video=[record.video[0] for record in wanted])
    assert vectors.shape == (2, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(model.embed(video=wanted[0].video[0].data or b"")[0], vectors[0], atol=1e-5)
    with pytest.raises(MediaError):
        model.embed(video=b"no clip")
    with pytest.raises(ConfigError, match="one modality at a time"):
        model.embed(video=b"", text="x")
    info = table.index(model)
    assert info.vectors["video"] == 20
    first = table.search(video=wanted[0].video[0], to="video", k=3)[0]
    assert first.id == wanted[0].id
    assert first.score > 0.999
    assert len(table.search("a red block", to="video", k=4)) == 4
    assert len(table.search("red", video=wanted[1].video[0], to="any", k=4)) == 4


def test_the_command_line_searches_by_clip(moving: Path, watched: Path, tmp_path: Path) -> None:
    table = chiasm.Dataset(moving)
    table.index(load(watched))
    (tmp_path / "clip.mp4").write_bytes(clip("blue", "up"))
    asked = ["search", str(moving), "--video", str(tmp_path / "clip.mp4"), "--to", "video", "-k", "1", "--json"]
    done = CliRunner().invoke(app, [*asked, "--run", str(watched)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["results"][0]["id"] == "up-blue"


def test_every_pair_with_clips_is_evaluated_and_shown(moving: Path, watched: Path, tmp_path: Path) -> None:
    model, table = load(watched), chiasm.Dataset(moving)
    found = table.evaluate(model).to_json()
    pairs = found["retrieval"]["test"]
    assert {"text->video", "video->text", "image->video", "video->image"} <= set(pairs)
    assert pairs["text->video"]["gallery"] == pairs["text->video"]["n"]
    assert "unreadable" not in found["left_out"]
    assert read_raw("video", clip("red", "up")).shape == (4 * 16 * 16 * 3,)
    page = write_report(watched, table, model, found, tmp_path / "report.html").read_text(encoding="utf8")
    assert 'alt="Clip: a ' in page
    assert "text → clip" in page


def test_the_same_run_twice_and_in_chunks(moving: Path, watched: Path, tmp_path: Path) -> None:
    train(run_config(moving, *TINY), tmp_path / "again")
    again, model = load(tmp_path / "again"), load(watched)
    assert again.identity == model.identity
    train(run_config(moving, *TINY, "train.accumulate=2"), tmp_path / "chunks")


def test_configurations_from_before_there_was_video_still_load(moving: Path) -> None:
    old = load_config(RunConfig, base={"data": {"table": str(moving)}, "train": {"steps": 1}}).model_dump(mode="json")
    del old["model"]["video"]
    old["data"]["modalities"] = ["text", "image", "audio"]
    config = load_config(RunConfig, base=old)
    assert config.data.modalities == ("text", "image", "audio")
    assert load_config(RunConfig, base=config.model_dump(mode="json")) == config
    assert "video" in dump_config(config)
    load_config(RunConfig, base=old, overrides=["objective.weights={text-video: 0.5}"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("model.video.patch=24", "not a multiple of patch"),
        ("model.video.frames=7", "not a multiple of tubelet"),
        ("model.video.layers=9", "more than the model's layers"),
        ("objective.weights={text-vidoe: 1}", "did you mean 'text-video'"),
    ],
)
def test_what_cannot_be_is_said(moving: Path, change: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run_config(moving, change)


def test_the_decoder_gives_the_store_what_it_declares() -> None:
    model = ModelConfig()
    decode, shape, most = decoder("video", model)
    array = decode(clip("red", "left"))
    assert array.shape == (model.video.frames, *shape)
    assert array.nbytes == most
