"""What becomes of copies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from measured_sheet import MeasuredSheet, drawing, encoded, sound_file, word
from PIL import Image, ImageDraw

from chiasm.building import DedupConfig
from chiasm.config import BuildConfig
from chiasm.dataset import candidates as candidate_pairs
from chiasm.dataset import copies
from chiasm.dataset.candidates import COLOURS, FEW, candidates
from chiasm.dataset.dedup import run
from chiasm.dataset.items import content_digests, media_items
from chiasm.dataset.measure import measure
from chiasm.errors import ConfigError
from chiasm.types import Media, Record, Text


def decide(records, model=None, **settings):
    sheet = MeasuredSheet(records)
    assert len(sheet.rows) == len(records)
    outcome = run(sheet, BuildConfig(dedup=DedupConfig(**settings)), model=model)
    ids = [record.id for record in records]
    gone = {ids[row]: refused for row, refused in outcome.removed.items()}
    assert all(refused.id == key and refused.part == "record" for key, refused in gone.items())
    return gone, {(ids[i], ids[j]) for i, j in outcome.tied}, outcome


def pictured(key, picture, *texts, **fields):
    return Record(key, tuple(Text(text, "en") for text in texts), (Media(data=picture),), **fields)


def small(seed):
    return encoded(drawing(seed).resize((60, 45)))


def test_nothing_is_done_where_nothing_is_asked():
    records = [pictured("a", encoded(drawing(0))), pictured("b", encoded(drawing(0)))]
    assert decide(records)[0] == {}
    assert decide(records, exact="keep")[0] == {}


def test_of_exact_copies_the_best_stays():
    same = encoded(drawing(0))
    records = [
        pictured("plain", same),
        pictured("told", same, "a drawing"),
        pictured("other", encoded(drawing(1))),
        Record("bmp", image=(Media(data=encoded(drawing(0), "BMP")),)),
    ]
    gone, _, _ = decide(records, exact="remove")
    assert sorted(gone) == ["bmp", "plain"]
    assert gone["bmp"].reason == "duplicate"
    assert "'told'" in gone["bmp"].message
    assert "the same picture" in gone["bmp"].message


@pytest.mark.parametrize("turned", [False, True])
def test_of_equal_pixels_the_larger_file_stays(turned, tmp_path):
    """A lossless WebP of a PNG has its pixels and fewer bytes: whichever comes first, and wherever the bytes lie, the original stays."""
    records = [
        pictured("webp", encoded(drawing(0), "WEBP", lossless=True), "a drawing"),
        pictured("png", encoded(drawing(0)), "a drawing"),
        pictured("jpeg", encoded(drawing(1), "JPEG", quality=95), "another"),
    ]
    assert len(records[0].image[0].data) < len(records[1].image[0].data)
    records = records[::-1] if turned else records
    gone, _, _ = decide(records, exact="remove")
    assert list(gone) == ["webp"] and "'png'" in gone["webp"].message
    sheet = MeasuredSheet(records)
    sheet.root = tmp_path
    for row, record in enumerate(sheet._records):
        (tmp_path / record.id).write_bytes(record.image[0].data)
        sheet._records[row] = replace(record, image=(Media(path=record.id),))
    removed = run(sheet, BuildConfig(dedup=DedupConfig(exact="remove"))).removed
    assert [refused.id for refused in removed.values()] == ["webp"]


def test_near_copies_go_or_are_tied():
    records = [
        pictured("whole", encoded(drawing(0))),
        pictured("small", small(0)),
        pictured("other", encoded(drawing(1))),
    ]
    gone, _, outcome = decide(records, near="remove")
    assert list(gone) == ["small"]
    assert "nearly the same picture" in gone["small"].message
    assert outcome.facts["removed"] == 1
    gone, tied, _ = decide(records, near="group")
    assert gone == {}
    assert tied == {("whole", "small")}


def test_all_that_records_share_must_agree_and_a_picture_alone_ties():
    records = [
        pictured("a", encoded(drawing(0)), "a dog on a wide green lawn"),
        pictured("b", small(0), "A DOG, on a wide green lawn"),
        pictured("c", small(0), "three ships far out at sea"),
        pictured("d", encoded(drawing(1)), "a dog on a wide green lawn"),
    ]
    gone, tied, _ = decide(records, near="remove")
    assert list(gone) == ["b"]
    assert "the same text" in gone["b"].message
    assert tied == {("a", "c"), ("a", "d")}  # d has the text of two, which may be a copied caption
    assert sorted(decide(records, near="remove", agree="any")[0]) == ["b", "c"]


def test_texts_alone_are_copies_above_the_threshold_and_with_the_same_numbers():
    texts = ["the quick brown fox jumps over the lazy dog", "The quick brown fox jumps over the lazy dogs!",
             "apollo mission report number 11 of the series", "apollo mission report number 12 of the series",
             "something else entirely is written here", "Something else, entirely, is written here"]  # fmt: skip
    records = [Record(str(number), (Text(text),)) for number, text in enumerate(texts)]
    gone, _, _ = decide(records, near="remove")
    assert sorted(gone) == ["0", "4"]  # the longer text stays
    assert "Jaccard" in gone["0"].message
    assert gone["4"].message == "a copy of '5': the same text"
    assert decide(records, near="remove", text=None)[0].keys() == {"4"}


def test_sounds_that_are_louder_or_encoded_anew_are_copies():
    records = [
        Record("flac", audio=(Media(data=sound_file(word(0))),)),
        Record("ogg", audio=(Media(data=sound_file(word(0), "OGG")),)),
        Record("quiet", audio=(Media(data=sound_file(0.3 * word(0))),)),
        Record("other", audio=(Media(data=sound_file(word(1))),)),
    ]
    gone, _, _ = decide(records, near="remove")
    assert len(gone) == 2
    assert "other" not in gone
    assert all("nearly the same sound" in refused.message for refused in gone.values())


def test_a_record_of_several_pictures_is_a_copy_where_all_of_one_are_found_in_the_other():
    def of(key, *seeds):
        return Record(key, image=tuple(Media(data=encoded(drawing(seed))) for seed in seeds))

    assert list(decide([of("two", 0, 1), of("one", 1)], exact="remove")[0]) == ["one"]
    assert decide([of("01", 0, 1), of("12", 1, 2)], exact="remove")[0] == {}


def test_a_shared_picture_with_two_captions_leaves_one_of_each():
    same = encoded(drawing(0))
    records = [
        pictured("a", same, "one caption"),
        pictured("b", same, "quite another"),
        pictured("c", same, "quite another"),
    ]
    assert list(decide(records, exact="remove")[0]) == ["c"]


def test_a_chain_removes_only_copies_of_what_stays():
    base = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu"
    chain = [
        base,
        base.replace("alpha", "alphas"),
        base.replace("alpha", "alphas").replace("kappa", "kappas"),
        base.replace("alpha", "gone"),
    ]
    gone, _, outcome = decide([Record(str(n), (Text(text),)) for n, text in enumerate(chain)], near="remove", text=0.75)
    for key, refused in gone.items():
        kept = refused.message.split("'")[1]
        assert kept not in gone
        assert key != kept
    assert outcome.facts["removed"] == len(gone) > 0


def test_blank_pictures_are_not_near_each_other():
    from PIL import Image

    white = Image.new("RGB", (40, 40), "white")
    dotted = white.copy()
    dotted.putpixel((3, 3), (200, 200, 200))
    assert decide([pictured("a", encoded(white)), pictured("b", encoded(dotted))], near="remove")[0] == {}


class Model:
    modalities = ("image",)
    dimension = 2

    def embed_items(self, modality, items):
        assert modality == "image"
        bright = np.array([len(item.data) > 0 for item in items], np.float32)
        return np.stack([bright, 1 - bright], axis=1)


def test_a_models_cosine_makes_copies_where_it_is_asked():
    records = [pictured(str(seed), encoded(drawing(seed))) for seed in range(3)]
    gone, _, _ = decide(records, Model(), near="remove", embedding=0.99)
    assert len(gone) == 2
    assert "cosine 1.000" in next(iter(gone.values())).message
    with pytest.raises(ConfigError, match="give `model`"):
        decide(records, near="remove", embedding=0.99)


def test_many_records_of_one_text_are_quick_and_stay():
    records = [pictured(str(seed), encoded(drawing(seed, 20, 20)), "cat") for seed in range(130)]
    gone, tied, _ = decide(records, exact="remove")
    assert gone == {}
    assert tied == set()


def test_variants_stay_and_are_tied():
    lined = drawing(3)
    lined.paste((150, 150, 150), (20, 10, 21, 60))
    records = [pictured("plain", encoded(drawing(3))), pictured("lined", encoded(lined))]
    gone, tied, outcome = decide([*records, pictured("other", encoded(drawing(1)))], near="remove")
    assert gone == {}
    assert tied == {("plain", "lined")}
    assert outcome.facts["copies"] == 0


def test_variants_are_tied_also_where_many_have_their_text():
    lined = drawing(3)
    lined.paste((150, 150, 150), (20, 10, 21, 60))
    records = [pictured("plain", encoded(drawing(3)), "card"), pictured("lined", encoded(lined), "CARD.")]
    records += [pictured(str(seed), encoded(drawing(seed, 20, 20)), "card") for seed in range(10, 35)]
    gone, tied, _ = decide(records, near="remove")
    assert gone == {}
    assert tied == {("plain", "lined")}


def flag(box=(0, 0, 96, 64), **options):
    whole = Image.new("RGB", (96, 64), (200, 40, 40))
    whole.paste((250, 250, 250), (0, 0, 96, 32))
    return encoded(whole.crop(box), "JPEG" if options else "PNG", **options)


def test_flat_pictures_are_found_by_their_colours():
    pictures = [pictured("flag", flag()), pictured("copy", flag((3, 2, 93, 62), quality=50))]
    one, other = (np.frombuffer(measure(record, None)["image_hash"][0], np.uint64) for record in pictures)
    assert min(np.bitwise_count(one ^ other[0]).min(), np.bitwise_count(other ^ one[0]).min()) > DedupConfig().picture
    assert list(decide(pictures, near="remove")[0]) == ["copy"]
    assert decide(pictures, near="remove", picture=None)[0] == {}


def test_pictures_of_one_text_are_compared_whatever_their_hashes_say():
    pictures = {"flag": flag(), "copy": flag((0, 4, 96, 64), quality=50)}
    assert decide([pictured(key, picture) for key, picture in pictures.items()], near="remove")[0] == {}
    told = [pictured(key, picture, "a flag") for key, picture in pictures.items()]
    assert list(decide(told, near="remove")[0]) == ["copy"]


def test_a_text_in_other_dress_ties_what_is_not_alike():
    texts = ["Café au lait, grande", "CAFE AU LAIT -- GRANDE!", "cafe aulait grande", "cafe au lait grande 2"]
    records = [pictured(str(seed), encoded(drawing(seed)), text) for seed, text in enumerate(texts)]
    gone, tied, outcome = decide(records, near="remove")
    assert gone == {}
    assert tied == {("0", "1"), ("1", "2")}
    assert outcome.facts["largest_tied"] == 3
    assert decide(records, exact="remove")[1] == set()  # only where near copies are asked for


def test_ties_of_a_removed_copy_pass_to_what_stays():
    records = [
        pictured("whole", encoded(drawing(0)), "a dog"),
        pictured("small", small(0)),
        pictured("other", encoded(drawing(1)), "A dog."),
    ]
    gone, tied, _ = decide(records, near="remove")
    assert list(gone) == ["small"]
    assert tied == {("whole", "other")}


def page(seed, width=120, height=160):
    """Lines of grey words on white: in colour like every other."""
    random = np.random.default_rng(seed)
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    for top in range(8, height - 8, 6):
        left = 8
        while left < width - 16:
            length = int(random.integers(3, 12))
            draw.rectangle((left, top, left + length, top + 1), fill=(60, 60, 60))
            left += length + int(random.integers(2, 5))
    return canvas


def test_pages_of_text_are_few_candidates(monkeypatch):
    sheet = MeasuredSheet([pictured(str(seed), encoded(page(seed))) for seed in range(90)])
    items, words = media_items(sheet.measures, "image", content_digests(sheet.keys)["image"])
    colours = np.array([np.frombuffer(row[0], np.uint8) for row in sheet.measures["image_colours"].to_pylist()], int)
    alike = np.triu(np.abs(colours[:, None] - colours).mean(axis=2) <= COLOURS, 1)
    assert alike.sum() > 20 * len(sheet.rows)
    found = candidates(items, words, sheet.measures, "image", DedupConfig().picture)
    assert len(found) <= FEW * len(sheet.rows)
    # So many hashes within a wide radius: of each picture the nearest, and no fewer of a picture that has few.
    wide = candidates(items, words, sheet.measures, "image", 20)
    monkeypatch.setattr(candidate_pairs, "CROWD", 5)
    cut = candidates(items, words, sheet.measures, "image", 20)
    assert len(cut) <= 5 * len(sheet.rows) < len(wide)
    bits = {
        (a, b): min(np.bitwise_count(words[a, 0] ^ words[b]).min(), np.bitwise_count(words[b, 0] ^ words[a]).min())
        for a, b in wide.tolist()
    }
    kept = set(map(tuple, cut.tolist()))
    for page_ in range(len(sheet.rows)):
        own = sorted(bits[pair] for pair in bits if page_ in pair)
        mine = sorted(bits[pair] for pair in kept if page_ in pair)
        assert mine[:5] == own[:5]


def test_each_picture_is_decoded_once(monkeypatch):
    monkeypatch.setattr(copies, "LOADED", 4)
    read = []

    def counted(data, *rest, decode=copies.read_image):
        read.append(data)
        return decode(data, *rest)

    monkeypatch.setattr(copies, "read_image", counted)
    records = [
        pictured(f"{seed}-{n}", small(seed) if n else encoded(drawing(seed))) for n in (0, 1) for seed in range(9)
    ]
    gone, _, _ = decide(records, near="remove")
    assert len(gone) >= 6
    assert len(read) == len(set(read)) == 18


def test_a_tie_does_not_chain_the_groups_of_the_source():
    def told(group, text):
        return Record(f"{group} {text}", (Text(text),), group=f"g{group}")

    records = [told(group, f"number {n} of {group}") for group in range(8) for n in range(8)]
    records += [told(group + n, f"a j{'oó'[n]}int of {group}") for group in range(7) for n in (0, 1)]
    _, tied, outcome = decide(records, near="group", text=None)
    assert (outcome.facts["largest_tied"], outcome.facts["untied"], len(tied)) == (20, 3, 4)
