"""Explanations: what is captured is what was computed, sums are exact, and maps of a model that learned point where they should."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluate_cases import HOSTILE, tone
from explain_cases import COLOURS, fresh, png, scene, squares, taught
from PIL import Image

from chiasm.dataset.table import Table
from chiasm.errors import ConfigError, MediaError
from chiasm.evaluate.explain.attention import contributions, gradient, pairwise, rollout
from chiasm.evaluate.explain.curves import Curves, curves
from chiasm.evaluate.explain.explain import METHODS, explain, relevance
from chiasm.evaluate.explain.occlusion import occlusion, windows
from chiasm.evaluate.explain.page import nearest, write_explanation
from chiasm.evaluate.explain.parts import open_thing, vectors_without
from chiasm.evaluate.explain.pointing import phrase, pointing, untrained
from chiasm.evaluate.explain.watch import Watch, look
from chiasm.modalities.media import read_bytes
from chiasm.nn.attention import SelfAttention
from chiasm.nn.layout import Layout
from chiasm.nn.positions import Rotary
from chiasm.systems.chiasm import Chiasm
from chiasm.train.model import EmbeddingModel
from chiasm.types import Items, Media, Text, Tokens


@pytest.fixture(scope="module")
def model() -> EmbeddingModel:
    return taught()


@pytest.fixture(scope="module")
def picture() -> bytes:
    return png(squares({"red": 5, "blue": 14}))


@pytest.mark.parametrize("kind", ["scaled_dot", "additive"])
@pytest.mark.parametrize("causal", [False, True])
def test_weights_are_those_that_forward_used(kind: str, causal: bool) -> None:
    torch.manual_seed(0)
    attention = SelfAttention(16, 2, causal=causal, kind=kind, rotary=Rotary(8))
    valid = torch.tensor([[True, True, True, True], [True, True, False, False]])
    tokens = Tokens(torch.randn(2, 4, 16), valid, (("text", 0, 4),))
    layout = Layout.of(tokens)
    bias = torch.randn(1, 2, 4, 4)
    x = layout.pack(tokens.x)
    weights, values = attention.weights(x, layout, bias)
    mixed = (weights @ values).transpose(1, 2).reshape(2, 4, 16)
    torch.testing.assert_close(attention.out(layout.pack(mixed)), attention(x, layout, bias))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 4))
    assert weights[1, :, :, 2:].abs().max() == 0
    if causal:
        assert weights[0].triu(1).abs().max() == 0


def test_watching_changes_nothing_and_leaves_nothing(model: EmbeddingModel, picture: bytes) -> None:
    items = model.prepare("image", [Media(data=picture)])
    with torch.no_grad():
        before = model.vectors("image", items)
        with Watch(model.network) as watch:
            during = model.vectors("image", items)
        seen = len(watch.looks)
        after = model.vectors("image", items)
    assert torch.equal(before, during) and torch.equal(before, after)
    assert seen == len(watch.looks) == 2
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.network.modules())


def test_gradient_is_chefers_rule_with_weights_as_variables(picture: bytes) -> None:
    """The pass once more by hand, attention weights being leaves of the graph."""
    model = fresh()
    network = model.network
    items = model.prepare("image", [Media(data=picture)])
    target = model.vectors("text", model.prepare("text", [Text("a red")])).detach()
    tokens = network.embedders["image"](items, torch.float32)
    layout = Layout.of(tokens)
    x, leaves = layout.pack(tokens.x), []
    trunk = network.trunks["shared"]
    for block in trunk.blocks:
        given = block.attention_norm(x)
        weights, values = block.attention.weights(given, layout)
        leaf = weights.detach().requires_grad_()
        leaves.append(leaf)
        x = x + block.attention.out(layout.pack((leaf @ values).transpose(1, 2).reshape(1, 16, 32)))
        x = x + block.experts["image"](block.expert_norms["image"](x))
    features = layout.unpack(trunk.norm(x))
    pool = torch.full((1, 16), 1 / 16, requires_grad=True)
    pooled = torch.einsum("in,ind->id", pool, features)
    score = (torch.nn.functional.normalize(network.heads["image"].linear(pooled), dim=-1) * target).sum()
    *pulls, last = torch.autograd.grad(score, [*leaves, pool])
    found = torch.eye(16)[None]
    for leaf, pull in zip(leaves, pulls, strict=True):
        found = found + (leaf * pull).clamp(min=0).mean(1) @ found
    expected = torch.einsum("in,inm->im", (pool * last).clamp(min=0), found)
    found = gradient(look(model, "image", items), target)
    torch.testing.assert_close(found, expected, atol=0.01 * float(expected.detach().max()), rtol=0.01)


def test_rollout_is_a_product_of_halved_attention(model: EmbeddingModel, picture: bytes) -> None:
    sight = look(model, "image", model.prepare("image", [Media(data=picture)]))
    found = rollout(sight)
    product = np.eye(16)
    for one in sight.looks:
        product = (0.5 * one.weights()[0].mean(1)[0].numpy() + 0.5 * np.eye(16)) @ product
    np.testing.assert_allclose(found[0].numpy(), product.mean(0), atol=1e-6)
    assert float(found.sum()) == pytest.approx(1)


def test_contributions_and_pairs_sum_to_the_cosine(model: EmbeddingModel, picture: bytes) -> None:
    image, text = (
        model.prepare(m, [i]) for m, i in (("image", Media(data=picture)), ("text", Text("a red and a blue")))
    )
    seen, said = look(model, "image", image), look(model, "text", text)
    cosine = float((seen.vectors * said.vectors).sum().detach())
    network = model.network
    assert isinstance(network, Chiasm)
    parts = contributions(network, "image", seen.features, said.vectors.detach())
    whole = pairwise(network, ("text", "image"), (said.features, seen.features))
    assert float(parts.sum()) == pytest.approx(cosine, abs=1e-5)
    assert float(whole.sum()) == pytest.approx(cosine, abs=1e-5)
    torch.testing.assert_close(whole.sum(0), parts[0], atol=1e-5, rtol=1e-4)


def test_taking_patches_away_is_leaving_them_out(model: EmbeddingModel, picture: bytes) -> None:
    thing = open_thing(model, "image", Media(data=picture))
    keep = np.zeros((2, 16), bool)
    keep[0, [1, 5, 9]] = keep[1] = True
    found = vectors_without(model, thing, np.concatenate([keep, np.zeros((1, 16), bool)]))
    items = model.prepare("image", [Media(data=picture)])
    with torch.no_grad():
        kept = model.vectors("image", Items(items.value, items.valid, items.owner, torch.tensor([[1, 5, 9]])))
        whole = model.vectors("image", items)
    torch.testing.assert_close(found[:2], torch.cat([kept, whole]), atol=1e-6, rtol=1e-5)
    assert not found[2].any()


def test_words_are_whole_and_can_go(model: EmbeddingModel) -> None:
    thing = open_thing(model, "text", Text("an orange  and a Red"))
    assert thing.parts.names == ("an", "orange", "and", "a", "Red")
    tokens = sorted(token for part in thing.parts.tokens for token in part)
    assert tokens == list(range(1, thing.items.value.shape[1] - 1))
    keep = np.array([[True, True, False, False, False]])
    with torch.no_grad():
        expected = model.vectors("text", model.prepare("text", [Text("an orange")]))
    torch.testing.assert_close(vectors_without(model, thing, keep), expected)
    assert open_thing(model, "text", Text("红 é")).parts.names == ("红", "é")


def test_occlusion_is_the_mean_loss_of_the_windows(model: EmbeddingModel, picture: bytes) -> None:
    thing = open_thing(model, "image", Media(data=picture))
    target = model.vectors("text", model.prepare("text", [Text("a red")])).detach()
    gone = windows((4, 4))
    assert len(gone) == 16 and windows((8, 8)).sum(1).tolist() == [4] * 49
    found = occlusion(model, thing, target)[0]
    whole = float((model.vectors("image", thing.items) * target).sum().detach())
    one = np.ones((1, 16), bool)
    one[0, 5] = False
    assert found[5] == pytest.approx(whole - float((vectors_without(model, thing, one) * target).sum()), abs=1e-6)
    assert found.argmax() == 5


@pytest.mark.parametrize("method", METHODS)
def test_curves_run_from_nothing_to_the_whole(model: EmbeddingModel, picture: bytes, method: str) -> None:
    thing = open_thing(model, "image", Media(data=picture))
    target = model.vectors("text", model.prepare("text", [Text("a blue")])).detach()
    values = relevance(model, thing, target, method)[0]
    found = curves(model, thing, target, values, seed=1)
    whole = float((model.vectors("image", thing.items) * target).sum().detach())
    assert found.shares[[0, -1]].tolist() == [0, 1]
    for line in (found.insertion, found.random):
        assert line[0] == 0 and line[-1] == pytest.approx(whole, abs=1e-6)
    assert found.deletion[0] == pytest.approx(whole, abs=1e-6) and found.deletion[-1] == 0
    if method in ("gradient", "occlusion"):  # the others name no place that the words are about
        areas = found.areas()
        assert areas["deletion"] < areas["random"] < areas["insertion"]


def test_area_is_the_trapezoid() -> None:
    line = np.array([0.0, 1.0, 1.0])
    assert Curves(np.array([0, 0.5, 1.0]), line, line, line).areas() == {
        "deletion": 0.75,
        "insertion": 0.75,
        "random": 0.75,
    }


def test_the_trained_model_points_and_the_untrained_does_not(
    model: EmbeddingModel, make_table: Callable[..., Table]
) -> None:
    table = make_table([scene(i) for i in range(24)])
    found = pointing(model, table, np.arange(24), np.arange(24), checked=10)
    assert set(found) == set(METHODS)
    for method, least in (("gradient", 0.6), ("occlusion", 0.8)):
        one = found[method]
        assert one["n"] == 48 and one["chance"] == pytest.approx(1 / 16, abs=0.01)
        assert one["interval"][0] > 2 * one["chance"] and one["accuracy"] > least
        assert one["untrained"] < 0.5 and one["other"] < 0.2
        assert one["deletion_gain"]["interval"][0] > 0 and one["insertion_gain"]["interval"][0] > 0
    again = pointing(model, table, np.arange(24), np.arange(24), checked=10)
    assert again == found


def test_pointing_passes_over_what_has_no_boxes(model: EmbeddingModel, make_table: Callable[..., Table]) -> None:
    from dataclasses import replace

    table = make_table([replace(scene(0), boxes=()), replace(scene(1), image=())])
    assert pointing(model, table, np.arange(2), np.arange(2)) == {}
    assert phrase("owl") == "an owl" and phrase("cow") == "a cow" and phrase("牛") == "牛"


def test_the_untrained_model_keeps_what_the_inputs_look_like(model: EmbeddingModel) -> None:
    other = untrained(model, 1)
    assert other.identity != model.identity
    for name, buffer in model.network.named_buffers():
        assert torch.equal(dict(other.network.named_buffers())[name], buffer)


def test_explain_speaks_of_both_sides(model: EmbeddingModel, picture: bytes, tmp_path: Path) -> None:
    found = explain(model, image=picture, text="a red", method="occlusion")
    assert found.toward == {"text": "image", "image": "text"}
    assert found.maps["image"].values.shape == (4, 4) and found.maps["image"].values.argmax() == 5
    assert found.maps["text"].names == ("a", "red")
    assert found.pairs["image"].shape == (2, 16)
    told = found.to_json()
    assert told["maps"]["image"]["curves"]["area"]["insertion"] > told["maps"]["image"]["curves"]["area"]["random"]


def test_sounds_are_explained_in_time_and_in_bands(tmp_path: Path) -> None:
    model = fresh(("text", "image", "audio"))
    sound = tone("red", "circle", 8, 1.0)
    found = explain(model, audio=sound, text="a red", method="occlusion")
    stretches = found.maps["audio"].values.shape[0]
    assert found.maps["audio"].spectrum is not None and found.maps["audio"].spectrum.shape == (stretches, 8)
    three = explain(model, audio=sound, text="a red", image=png(squares({"red": 1})))
    assert three.toward == {"text": "image", "image": "text", "audio": "text"} and set(three.pairs) == {
        "image",
        "audio",
    }


def test_what_cannot_be_explained_is_refused(model: EmbeddingModel, picture: bytes, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two of text, image and audio"):
        explain(model, text="a red")
    with pytest.raises(ConfigError, match="method"):
        explain(model, text="a red", image=picture, method="magic")
    with pytest.raises(ConfigError, match="no audio"):
        explain(model, text="a red", audio=picture)
    with pytest.raises(MediaError):
        explain(model, text="a red", image=b"no picture")


def test_the_page_and_the_picture(
    model: EmbeddingModel, picture: bytes, tmp_path: Path, make_table: Callable[..., Table]
) -> None:
    file = tmp_path / "scene.png"
    file.write_bytes(picture)
    given: dict[str, str | Path] = {"text": f"a red {HOSTILE}", "image": file}
    found = explain(model, image=file, text=str(given["text"]))
    near = nearest(model, make_table([scene(i) for i in range(6)]), given, 3)
    page = write_explanation(tmp_path / "why.html", found, given, "squares", near).read_text()
    assert "<script" not in page and "&lt;script&gt;" in page and "default-src 'none'" in page
    assert len(near["text"]) == 3 and near["text"][0]["score"] >= near["text"][1]["score"]
    drawn = Image.open(
        io.BytesIO(read_bytes(Media(path=str(write_explanation(tmp_path / "map.png", found, given, "s")))))
    )
    assert drawn.size == (320 * 2 + 12, 320)
    with pytest.raises(ConfigError, match=r"\.html"):
        write_explanation(tmp_path / "why.txt", found, given, "s")
    assert set(COLOURS)
