"""The 2017 transformer against torch's own layers with the same weights."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from course.transformer import sinusoidal_positions

CONFIG = EncoderDecoderConfig(vocab_size=41, context_length=12, n_layer=2, n_head=4, d_model=32, d_ff=48)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(seed: int) -> EncoderDecoder:
    """In float64, with biases and norms away from 0 and 1."""
    model = EncoderDecoder(CONFIG, seeded(seed)).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=seeded(seed), dtype=torch.float64))
    return model.eval()


def tokens(seed: int, T: int) -> Tensor:
    return torch.randint(41, (2, T), generator=seeded(seed))


def peer(ours: EncoderDecoder) -> nn.Transformer:
    """torch's layers with our weights: post-norm, ReLU, no dropout, no norm behind the last layer."""
    shape = dict(d_model=32, nhead=4, dim_feedforward=48, dropout=0.0, batch_first=True)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(**shape), 2, enable_nested_tensor=False)
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(**shape), 2)
    theirs = nn.Transformer(32, 4, custom_encoder=encoder, custom_decoder=decoder, batch_first=True).double()
    names = {
        "attention.qkv.": "self_attn.in_proj_",
        "attention.out.": "self_attn.out_proj.",
        "cross_attention.qkv.": "multihead_attn.in_proj_",
        "cross_attention.out.": "multihead_attn.out_proj.",
        "feed_forward.0.": "linear1.",
        "feed_forward.2.": "linear2.",
        "norm1.": "norm1.",
        "norm2.": "norm2.",
        "norm3.": "norm3.",
    }
    state = {}
    for name, tensor in ours.state_dict().items():
        if name.startswith(("encoder", "decoder")):
            side, layer, rest = name.split(".", 2)
            old = next(old for old in names if rest.startswith(old))
            state[f"{side}.layers.{layer}.{names[old]}{rest.removeprefix(old)}"] = tensor
    theirs.load_state_dict(state)  # strict: nothing missing, nothing left over
    return theirs.eval()


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_the_2017_transformer_equals_torchs(seed: int, padded: bool) -> None:
    ours, source, target = make(seed), tokens(seed, 9), tokens(seed + 50, 7)
    real = torch.arange(9) < torch.tensor([[9], [5]]) if padded else None
    positions = sinusoidal_positions(12, 32)
    embedded = [ours.embedding(x) * math.sqrt(32) + positions[: x.size(1)] for x in (source, target)]
    y = peer(ours)(
        *embedded,
        tgt_mask=torch.ones(7, 7, dtype=torch.bool).triu(1),
        src_key_padding_mask=None if real is None else ~real,
        memory_key_padding_mask=None if real is None else ~real,
    )
    torch.testing.assert_close(ours(source, target, real), y @ ours.embedding.weight.T)


def test_the_decoder_sees_the_whole_source_and_the_past_of_the_target() -> None:
    model, source, target = make(0), tokens(0, 9), tokens(1, 7)
    with torch.no_grad():
        before = model(source, target)
        changed = target.clone()
        changed[:, 4] = (target[:, 4] + 1) % 41
        after = model(source, changed)
        torch.testing.assert_close(after[:, :4], before[:, :4], rtol=0, atol=1e-12)
        assert ((after[:, 4:] - before[:, 4:]).abs().amax(-1) > 1e-9).all()
        for place in (0, 8):
            other = source.clone()
            other[:, place] = (source[:, place] + 1) % 41
            assert ((model(other, target) - before).abs().amax(-1) > 1e-9).all()


def test_padding_of_the_source_changes_nothing() -> None:
    model, source, target = make(2), tokens(2, 6), tokens(3, 7)
    padded = torch.cat((source, tokens(4, 5)), dim=1)
    real = (torch.arange(11) < 6).expand(2, 11)
    torch.testing.assert_close(model(padded, target, real), model(source, target), rtol=0, atol=1e-12)


def test_the_generator_alone_decides_the_initial_weights() -> None:
    torch.manual_seed(1)
    first = EncoderDecoder(CONFIG, seeded(3)).state_dict()
    torch.manual_seed(2)
    second, other = (
        EncoderDecoder(CONFIG, seeded(3)).state_dict(),
        EncoderDecoder(CONFIG, seeded(4)).state_dict(),
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["embedding.weight"], other["embedding.weight"])


def test_the_embedding_begins_as_wide_as_its_scaling_expects() -> None:
    """Scaled by the root of d_model, it has deviation 1, as the positions about have."""
    assert EncoderDecoder(CONFIG, seeded(0)).embedding.weight.std().item() == pytest.approx(32**-0.5, rel=0.1)


def test_it_learns_to_reverse_a_batch_by_heart() -> None:
    model = EncoderDecoder(replace(CONFIG, n_layer=1), seeded(0))
    source = tokens(0, 6)
    target = source.flip(1)
    begun = torch.cat((torch.zeros(2, 1, dtype=torch.long), target[:, :-1]), dim=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        loss = F.cross_entropy(model(source, begun).flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    assert torch.equal(model(source, begun).argmax(-1), target)


def test_texts_may_fill_the_whole_context() -> None:
    assert make(0)(tokens(0, 12), tokens(1, 12)).shape == (2, 12, 41)


def test_what_does_not_fit_gives_a_sentence() -> None:
    with pytest.raises(ValueError, match="13 tokens do not fit into a context of 12"):
        make(0)(tokens(0, 13), tokens(0, 5))
    with pytest.raises(ValueError, match="d_model=30 does not divide into n_head=4 heads"):
        EncoderDecoder(replace(CONFIG, d_model=30))


@pytest.mark.parametrize("setting", [{"n_head": 0}, {"n_layer": -2}, {"d_ff": 2.5}])
def test_sizes_that_are_none_give_a_sentence(setting):
    with pytest.raises(ValueError, match="must be a whole number from 1 up"):
        replace(CONFIG, **setting)
