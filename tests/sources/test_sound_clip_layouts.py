"""Published layouts of sounds and clips, as small trees: LibriSpeech, ESC-50, AudioSet, UCF-101, Kinetics, MSVD."""

from __future__ import annotations

from pathlib import Path

import pytest
from source_trees import clip, read, sound, write

from chiasm.sources.recognise import recognise
from chiasm.types import Label, Text

SPEAKERS = """;ID  |SEX| SUBSET           |MINUTES| NAME
84   | F | dev-clean        | 8.02  | Christie Nowak
1089 | M | test-clean       | 8.03  | Peter Bobbe
"""


def test_librispeech(tmp_path: Path) -> None:
    flac = sound(1, "FLAC")
    write(tmp_path / "LibriSpeech", {
        "SPEAKERS.TXT": SPEAKERS,
        "README.TXT": "about",
        "dev-clean/84/121123/84-121123.trans.txt": "84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT IN LESS\n84-121123-0002\n",
        "dev-clean/84/121123/84-121123-0000.flac": flac,
        "dev-clean/84/121123/84-121123-0009.flac": sound(9, "FLAC"),
        "test-clean/1089/134686/1089-134686.trans.txt": "1089-134686-0000 HE HOPED\n",
        "test-clean/1089/134686/1089-134686-0000.flac": sound(2, "FLAC"),
        "train-clean-100/103/1240/103-1240.trans.txt": "103-1240-0000 CHAPTER ONE\n",
        "train-clean-100/103/1240/103-1240-0000.flac": sound(3, "FLAC"),
    })  # fmt: skip
    found = read(tmp_path)
    assert "of dev-clean, test-clean, train-clean-100" in found.source.found
    assert {name: record.split for name, record in found.records.items()} == {
        "84-121123-0000": "dev", "1089-134686-0000": "test-clean", "103-1240-0000": "train",
    }  # fmt: skip
    first = found.records["84-121123-0000"]
    assert first.texts == (Text("GO DO YOU HEAR", "en", "transcript"),)
    assert [(part.by, part.text, part.language, part.kind) for part in first.audio] == [
        ("84", "GO DO YOU HEAR", "en", "speech")
    ]
    assert first.labels == (Label("subset", "dev-clean"), Label("sex", "F"))
    assert first.group == "speaker 84"
    assert found.refused == [
        ("84-121123-0001", "missing"), ("LibriSpeech/dev-clean/84/121123/84-121123.trans.txt:3", "malformed"),
        ("LibriSpeech/dev-clean/84/121123/84-121123-0009.flac", "unlisted"),
    ]  # fmt: skip


ESC = """filename,fold,target,category,esc10,src_file,take
1-100032-A-0.wav,1,0,dog,True,100032,A
1-100038-A-14.wav,1,14,chirping_birds,False,100038,A
5-100038-B-14.wav,5,14,chirping_birds,False,100038,B
"""


def test_esc50(tmp_path: Path) -> None:
    write(tmp_path, {"meta/esc50.csv": ESC, "audio/1-100032-A-0.wav": sound(1), "audio/1-100038-A-14.wav": sound(2)})
    found = read(tmp_path)
    birds = found.records["1-100038-A-14"]
    assert birds.texts == (Text("chirping birds", "en", "name"),)
    assert birds.labels == (Label("category", "chirping_birds"), Label("fold", "1"), Label("esc10", "false"))
    assert (birds.group, birds.split, birds.licence) == ("100038", None, "CC BY-NC 3.0")
    assert found.refused == [("meta/esc50.csv:4", "missing")]
    assert found.rejected[0].message.startswith("line 4: ")
    assert set(read(tmp_path / "meta" / "esc50.csv").records) == set(found.records)


AUDIOSET = """# Segments csv created Sun Mar  5 10:54:25 2017
# num_ytids=4, num_segs=4, num_unique_labels=3, num_positive_labels=5
# YTID, start_seconds, end_seconds, positive_labels
--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"
--ZhevVpy1s, 50.500, 60.500, "/m/012xff"
--aE2O5G5WE, 0.000, 10.000, "/m/03fwl"
nothing, here
--aO5cdqSAg, 30.000, 40.000, "/t/dd00003"
"""
CLASSES = 'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/t/dd00088,"Gush"\n2,/m/012xff,"Toothbrush, electric"\n'


def test_audioset(tmp_path: Path) -> None:
    write(tmp_path, {
        "eval_segments.csv": AUDIOSET, "class_labels_indices.csv": CLASSES, "clips/--PJHxphWEs_30.wav": sound(1),
        "clips/--ZhevVpy1s_50.500_60.500.wav": sound(2), "clips/Y--aE2O5G5WE_0.000.mp4": clip(3),
        "balanced_train_segments.csv": AUDIOSET.splitlines()[2] + '\n--PJHxphWEs, 70.000, 80.000, "/m/09x0r"\n',
        "clips/--PJHxphWEs_70000_80000.wav": sound(4),
    })  # fmt: skip
    found = read(tmp_path)
    speech = found.records["--PJHxphWEs_30"]
    assert speech.labels == (Label("sound", "Speech"), Label("sound", "Gush"))
    assert speech.texts == (Text("Speech, Gush", "en", "keywords"),)
    assert (speech.group, speech.split) == ("--PJHxphWEs", "test")
    assert found.records["--PJHxphWEs_70"].split == "train"
    assert found.records["--ZhevVpy1s_50.5"].labels == (Label("sound", "Toothbrush, electric"),)
    assert found.records["--aE2O5G5WE_0"].video and not found.records["--aE2O5G5WE_0"].audio
    assert found.refused == [("eval_segments.csv:7", "malformed"), ("eval_segments.csv:8", "missing")]
    assert "; class_labels_indices.csv is absent" not in found.source.found


def test_ucf101(tmp_path: Path) -> None:
    write(tmp_path, {
        "ucfTrainTestlist/classInd.txt": "1 ApplyEyeMakeup\n2 YoYo\n",
        "ucfTrainTestlist/trainlist01.txt": "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\nYoYo/v_YoYo_g09_c01.avi 2\nno list\n",
        "ucfTrainTestlist/testlist01.txt": "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\r\n",
        "ucfTrainTestlist/trainlist02.txt": "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi 1\n",
        "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi": clip(1),
        "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi": clip(2),
    })  # fmt: skip
    found = read(tmp_path)
    assert found.source.found.startswith("ucf101: ucfTrainTestlist/testlist01.txt …")
    first = found.records["ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01"]
    assert first.labels == (Label("class", "ApplyEyeMakeup"), Label("list02", "train"))
    assert first.texts == (Text("apply eye makeup", "en", "name"),)
    assert (first.split, first.group) == ("test", "ApplyEyeMakeup g01")
    assert found.records["ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01"].split == "train"
    assert found.refused == [("ucfTrainTestlist/trainlist01.txt:3", "malformed"), ("YoYo/v_YoYo_g09_c01", "missing")]


def test_kinetics(tmp_path: Path) -> None:
    rows = "label,youtube_id,time_start,time_end,split\nabseiling,-7kbO0v4hag,107,117,train\nair drumming,0a4ODnEZDhw,5,15,train\n"
    write(tmp_path, {
        "kinetics_train.csv": rows + "zumba,gone,1,11,train\nzumba,bad,x,11,train\n",
        "test.csv": "youtube_id,time_start,time_end,split\nzzzzzzzzzzz,1,11,test\n",
        "train/abseiling/-7kbO0v4hag_000107_000117.mp4": clip(1),
        "train/air drumming/0a4ODnEZDhw.mp4": clip(2),
        "test/zzzzzzzzzzz_1_11.mkv": clip(3),
    })  # fmt: skip
    found = read(tmp_path)
    first = found.records["-7kbO0v4hag_000107_000117"]
    assert (first.labels, first.split, first.group) == ((Label("class", "abseiling"),), "train", "-7kbO0v4hag")
    assert found.records["0a4ODnEZDhw_000005_000015"].texts == (Text("air drumming", "en", "name"),)
    assert found.records["zzzzzzzzzzz_000001_000011"].split == "test"
    assert found.refused == [("kinetics_train.csv:4", "missing"), ("kinetics_train.csv:5", "malformed")]


MSVD = {
    "AllVideoDescriptions.txt": "# some words about it\n\nmv89psg6zh4_33_46 a bird in a sink\nmv89psg6zh4_33_46 a bird bathes\n"
    "_0nX-El-ySo_83_93 people dance\nshort line\ngone_gone_g_1_2 none\n",
    "video_corpus.csv": "VideoID,Start,End,WorkerID,Source,AnnotationTime,Language,Description\n"
    'mv89psg6zh4,33,46,1,clean,12,English,"a bird, in a sink"\nmv89psg6zh4,33,46,1,clean,12,German,ein Vogel\n'
    "_0nX-El-ySo,83,93,2,clean,12,English,people dance\ngone_gone_g,1,2,2,clean,12,English,none\n_0nX-El-ySo,83,93,2,clean,12,English,\n",
    "sents_train_lc_nopunc.txt": "vid1\ta bird in a sink\nvid1\ta bird bathes\nvid2\tpeople dance\nvid3\tnone\nbroken\n",
}


@pytest.mark.parametrize("name", MSVD)
def test_msvd(name: str, tmp_path: Path) -> None:
    write(tmp_path, {
        name: MSVD[name], "train_list.txt": "mv89psg6zh4_33_46\n", "test_list.txt": "_0nX-El-ySo_83_93\n",
        "youtube_mapping.txt": "mv89psg6zh4_33_46 vid1\n_0nX-El-ySo_83_93 vid2\ngone_gone_g_1_2 vid3\n",
        "YouTubeClips/mv89psg6zh4_33_46.avi": clip(1), "YouTubeClips/_0nX-El-ySo_83_93.avi": clip(2),
    })  # fmt: skip
    found = read(tmp_path)
    assert found.source.found.startswith(f"msvd: {name}")
    assert list(found.records) == ["mv89psg6zh4_33_46", "_0nX-El-ySo_83_93"]
    first = found.records["mv89psg6zh4_33_46"]
    assert len(first.texts) == 2 and first.texts[0].language == "en"
    assert (first.split, first.group) == ("train", "mv89psg6zh4")
    if name == "video_corpus.csv":
        assert first.texts == (Text("a bird, in a sink", "en"), Text("ein Vogel", "de"))
    assert [reason for _, reason in found.refused] == [
        "empty" if name == "video_corpus.csv" else "malformed", "missing",
    ]  # fmt: skip


def test_recognised_by_the_files_and_not_by_the_folders_name(tmp_path: Path) -> None:
    write(tmp_path / "LibriSpeech", {"a.wav": sound(1), "a.txt": "words"})
    assert recognise(tmp_path / "LibriSpeech").layout == "folder"
    write(tmp_path / "holiday", {"table.csv": ESC, "audio/1-100032-A-0.wav": sound(1)})
    found = recognise(tmp_path / "holiday")
    assert found.layout == "esc50" and found.counts == {"sounds": 1}
    assert found.others == ()
