"""BERT, RoBERTa, GPT-2 and T5 read from what Hugging Face's library writes, held against that library: tiny, random, float32, padded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from chiasm.heads.tokens import tied_words
from chiasm.nn.cache import Cache
from chiasm.systems.bert import Bert
from chiasm.systems.gpt import Gpt
from chiasm.systems.public import Public, read_public
from chiasm.systems.roberta import Roberta
from chiasm.systems.system import System
from chiasm.systems.t5 import T5
from chiasm.types import IGNORE, Batch, Items

transformers = pytest.importorskip("transformers")

WORDS = 60
VALID = torch.arange(9)[None] < torch.tensor([9, 5, 2])[:, None]


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def shake(model: nn.Module) -> Any:
    """Weights large enough that a missing scale or bias shows, gains and biases included."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return model.eval()


def ours(model: Any, folder: Path) -> tuple[System, Public]:
    """The model through its public files."""
    model.save_pretrained(folder)
    public = read_public(folder)
    system = public.spec.make(public.size, public.facts).eval()
    system.load_state_dict(dict(public.tensors))
    assert not public.left_over
    return system, public


def items(value: Tensor, valid: Tensor, **more: Tensor) -> Items:
    return Items(value, valid, torch.arange(len(value)), **more)


def batch(**parts: Items) -> Batch:
    count = len(next(iter(parts.values())).value)
    return Batch(tuple(map(str, range(count))), torch.arange(count), parts)


def everywhere(valid: Tensor) -> Tensor:
    """A target at every valid token, so that `predict` gives the words of all of them."""
    return torch.zeros(valid.shape, dtype=torch.int64).masked_fill(~valid, IGNORE)


@torch.no_grad()
def test_bert(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=WORDS, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
        max_position_embeddings=16,
    )  # fmt: skip
    reference = shake(transformers.BertForPreTraining(config))
    model, public = ours(reference, tmp_path)
    assert isinstance(model, Bert)
    assert not public.fresh
    ids, segment = torch.randint(WORDS, (3, 9)), (torch.arange(9) > 3).long().expand(3, 9)
    expected = reference(ids, VALID.long(), token_type_ids=segment)
    found = model.predict(batch(text=items(ids, VALID, segment=segment, target=everywhere(VALID))), torch.float32)
    close(found["words"], expected.prediction_logits[VALID])
    close(found["next"], expected.seq_relationship_logits.flip(1))  # theirs says "follows" first
    base = reference.bert(ids, VALID.long(), token_type_ids=segment)
    features = model.trunk(model.embed(items(ids, VALID, segment=segment), torch.float32)).x
    close(features[VALID], base.last_hidden_state[VALID])
    close(model.pool(features), base.pooler_output)


@pytest.mark.parametrize("head", [True, False])
@torch.no_grad()
def test_roberta(tmp_path: Path, head: bool) -> None:
    config = transformers.RobertaConfig(
        vocab_size=WORDS, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
        max_position_embeddings=18, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1,
    )  # fmt: skip
    reference = shake((transformers.RobertaForMaskedLM if head else transformers.RobertaModel)(config))
    model, public = ours(reference, tmp_path)
    assert isinstance(model, Roberta)
    assert {name.split(".")[0] for name in public.fresh} == ({"pool"} if head else {"head_words"})
    ids = torch.randint(2, WORDS, (3, 9)).masked_fill(~VALID, 1)
    expected = reference(ids, VALID.long())
    found = model.predict(batch(text=items(ids, VALID, target=everywhere(VALID))), torch.float32)
    if head:
        close(found["words"], expected.logits[VALID])
    else:
        close(found["features"], expected.pooler_output)


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Gpt]:
    config = transformers.GPT2Config(n_embd=24, n_layer=2, n_head=3, n_inner=40, vocab_size=WORDS, n_positions=32)
    reference = shake(transformers.GPT2LMHeadModel(config))
    model, public = ours(reference, tmp_path_factory.mktemp("gpt"))
    assert isinstance(model, Gpt)
    assert not public.fresh
    return reference, model


@torch.no_grad()
def test_gpt_with_and_without_the_cache(gpt: tuple[Any, Gpt]) -> None:
    reference, model = gpt
    ids = torch.randint(WORDS, (3, 9))
    expected = reference(ids, attention_mask=VALID.long()).logits
    found = model.predict(batch(text=items(ids, VALID, target=everywhere(VALID))), torch.float32)["words"]
    close(found, expected[VALID])
    cache, parts = Cache(), []
    for start, stop in ((0, 4), (4, 5), (5, 9)):
        chunk = items(ids[:, start:stop], VALID[:, start:stop])
        features = model.trunk(model.embed(chunk, torch.float32, cache.next_positions(chunk.valid)), cache=cache).x
        parts.append(tied_words(features, model.embed.table))
    close(torch.cat(parts, 1)[VALID], expected[VALID])


def ends_early(free: Tensor) -> int:
    """A token that some of these rows come to before others."""
    return int(free[0, 2])


def padded(rows: Tensor, length: int) -> Tensor:
    return nn.functional.pad(rows, (0, length - rows.shape[1]))


@pytest.mark.parametrize("side", ["left", "right"])
def test_gpt_generates_what_the_reference_does(gpt: tuple[Any, Gpt], side: str) -> None:
    reference, model = gpt
    ids, valid = torch.randint(2, WORDS, (3, 9)), VALID.flip(1)
    keep = [row[mask] for row, mask in zip(ids, valid, strict=True)]

    def expected(end: int) -> Tensor:
        whole = reference.generate(
            ids, attention_mask=valid.long(), max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=end
        )
        return padded(whole[:, 9:], 12)

    prompt = items(ids, valid)
    if side == "right":
        prompt = items(nn.utils.rnn.pad_sequence(keep, batch_first=True), VALID)
    free = expected(WORDS + 1)
    for end in (WORDS + 1, ends_early(free)):
        assert torch.equal(padded(model.continued(prompt, torch.float32, 12, end), 12), expected(end))


@pytest.fixture(scope="module", params=[False, True], ids=["t5", "t5 1.1"])
def t5(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, T5]:
    config = transformers.T5Config(
        vocab_size=WORDS, d_model=24, d_kv=5, d_ff=40, num_layers=3, num_decoder_layers=2, num_heads=3,
        feed_forward_proj="gated-gelu" if request.param else "relu", tie_word_embeddings=not request.param,
        decoder_start_token_id=0, initializer_factor=0.3,
    )  # fmt: skip
    reference = shake(transformers.T5ForConditionalGeneration(config))
    model, public = ours(reference, tmp_path_factory.mktemp("t5"))
    assert isinstance(model, T5)
    assert not public.fresh
    return reference, model


@torch.no_grad()
def test_t5_with_and_without_the_cache(t5: tuple[Any, T5]) -> None:
    reference, model = t5
    source, target = torch.randint(WORDS, (3, 9)), torch.randint(WORDS, (3, 6))
    seen = torch.arange(6)[None] < torch.tensor([3, 6, 4])[:, None]
    expected = reference(
        input_ids=source, attention_mask=VALID.long(), decoder_input_ids=target, decoder_attention_mask=seen.long()
    ).logits
    parts = {"source": items(source, VALID), "target": items(target, seen, target=everywhere(seen))}
    close(model.predict(batch(**parts), torch.float32)["words"], expected[seen])
    memory = model.trunk_encoder(model.embed(parts["source"], torch.float32))
    cache, found = Cache(), []
    for start, stop in ((0, 1), (1, 2), (2, 6)):
        chunk = model.embed(items(target[:, start:stop], seen[:, start:stop]), torch.float32)
        features = model.trunk_decoder(chunk, memory=memory, cache=cache).x
        head = model.embed.table * features.shape[-1] ** -0.5 if model.head is None else model.head.weight
        found.append(tied_words(features, head))
    close(torch.cat(found, 1)[seen], expected[seen])


def test_t5_generates_what_the_reference_does(t5: tuple[Any, T5]) -> None:
    reference, model = t5
    source = torch.randint(2, WORDS, (3, 9))

    def expected(end: int) -> Tensor:
        whole = reference.generate(
            source, attention_mask=VALID.long(), max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=end
        )
        return padded(whole[:, 1:], 12)

    free = expected(WORDS + 1)
    for end in (WORDS + 1, ends_early(free)):
        found = model.generate(items(source, VALID), torch.float32, 12, start=0, end=end)
        assert torch.equal(padded(found, 12), expected(end))
