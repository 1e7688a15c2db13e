"""LoRA: the paper's formula written out, closed forms, and training."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from course import lora
from course.generate import generate
from course.train import TokenBatches, TrainConfig, train
from course.transformer import GPT, GPTConfig

SMALL = GPTConfig(vocab_size=50, context_length=24, n_layer=2, n_head=2, d_model=16)
CONFIGS = (
    SMALL,
    GPTConfig.llama(vocab_size=50, context_length=24, n_layer=2, n_head=2, d_model=16, n_kv_head=1),
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tokens(seed: int, *shape: int) -> Tensor:
    return torch.randint(50, shape, generator=seeded(seed))


def model_with(seed: int, config: GPTConfig = SMALL, **how: object) -> GPT:
    """A model whose adapters already say something."""
    model = lora.add_lora(GPT(config, seeded(0)), generator=seeded(seed), **how)  # type: ignore[arg-type]
    with torch.no_grad():
        for number, (_, low) in enumerate(lora.adapted(model)):
            low.B.copy_(0.3 * torch.randn(low.B.shape, generator=seeded(100 * seed + number)))
    return model


@pytest.mark.parametrize("config", CONFIGS)
def test_at_first_nothing_changes(config):
    plain = GPT(config, seeded(0))
    before = plain(tokens(1, 3, 9))
    assert torch.equal(lora.add_lora(plain, generator=seeded(2))(tokens(1, 3, 9)), before)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_matrix_is_w_plus_the_scaled_product(config):
    """Hu et al. 2021, equation 3, in a plain model whose matrices were changed by hand."""
    model, plain = model_with(1, config, rank=3, alpha=5.0), GPT(config, seeded(0))
    adapter = lora.adapter_of(model)
    with torch.no_grad():
        for name, layer in plain.blocks.named_modules():
            if f"{name}.A" in adapter:
                A, B = adapter[f"{name}.A"], adapter[f"{name}.B"]
                for i in range(B.size(0)):
                    for j in range(A.size(1)):
                        layer.weight[i, j] += 5.0 / 3 * sum(B[i, k] * A[k, j] for k in range(3))
    torch.testing.assert_close(model(tokens(1, 2, 9)), plain(tokens(1, 2, 9)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_gradients_are_those_of_finite_differences_and_of_the_plain_sum(config):
    model, x = model_with(1, config).double(), tokens(1, 3, 9)
    weights = [weight for weight in model.parameters() if weight.requires_grad]

    def loss() -> Tensor:
        return model(x).logsumexp(-1).sin().sum()

    found = torch.autograd.grad(loss(), weights)
    for weight, slope in zip(weights[:8], found[:8], strict=True):
        place = int(slope.abs().argmax())
        with torch.no_grad():
            kept, ends = weight.view(-1)[place].item(), []
            for step in (1e-5, -1e-5):
                weight.view(-1)[place] = kept + step
                ends.append(loss().item())
            weight.view(-1)[place] = kept
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(slope.view(-1)[place].item(), rel=1e-5)
    layer = next(layer for _, layer in lora.adapted(model))
    inputs = torch.randn(2, 5, config.d_model, generator=seeded(4), dtype=torch.float64, requires_grad=True)
    ends = [layer(inputs), torch.nn.functional.linear(inputs, layer.weight, layer.bias)]
    first, second = (torch.autograd.grad(end.sin().sum(), [inputs, layer.A, layer.B]) for end in ends)
    torch.testing.assert_close(first, second)


def test_in_bfloat16_the_step_is_nearly_the_same():
    model, x = model_with(1), tokens(1, 3, 9)
    weights, slopes = [weight for weight in model.parameters() if weight.requires_grad], []
    for low in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
            loss = model(x).float().logsumexp(-1).sum()
        slopes.append(torch.cat([slope.flatten() for slope in torch.autograd.grad(loss, weights)]))
    assert slopes[1].dtype == torch.float32
    assert torch.cosine_similarity(slopes[0], slopes[1], dim=0) > 0.99


def test_only_the_adapters_learn_and_the_base_stays_bit_for_bit():
    base = GPT(SMALL, seeded(0))
    list(train(base, TokenBatches(tokens(3, 2000), 4, 12), TrainConfig(steps=100, learning_rate=3e-2), progress=False))
    model = lora.add_lora(base, rank=2, generator=seeded(1))
    before = {name: weight.clone() for name, weight in model.named_parameters() if not weight.requires_grad}
    data = TokenBatches(torch.arange(400) % 7, 4, 12)
    config = TrainConfig(steps=60, learning_rate=3e-2, warmup=0)
    records = list(train(model, data, config, progress=False))
    assert records[-1].loss < 0.95 * records[0].loss
    after = dict(model.named_parameters())
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())
    assert all(low.B.abs().max() > 0 for _, low in lora.adapted(model))
    D, r = SMALL.d_model, 2
    assert lora.n_trainable(model) == SMALL.n_layer * r * ((D + 3 * D) + (D + D) + (D + 4 * D) + (4 * D + D))


def test_an_interrupted_training_goes_on_to_the_same_adapter(tmp_path):
    data, config = TokenBatches(torch.arange(400) % 7, 4, 12), TrainConfig(steps=8, learning_rate=1e-2, warmup=0)
    whole = lora.add_lora(GPT(SMALL, seeded(0)), generator=seeded(1))
    list(train(whole, data, config, progress=False))
    broken = lora.add_lora(GPT(SMALL, seeded(0)), generator=seeded(1))
    steps = train(broken, data, config, checkpoint=tmp_path / "state", save_seconds=0.0, progress=False)
    for _ in range(4):
        next(steps)
    steps.close()
    again = lora.add_lora(GPT(SMALL, seeded(0)), generator=seeded(1))
    records = list(train(again, data, config, checkpoint=tmp_path / "state", progress=False))
    assert records[0].replayed and not records[-1].replayed
    for name, tensor in lora.adapter_of(whole).items():
        assert torch.equal(tensor, lora.adapter_of(again)[name]), name


def test_merging_gives_a_plain_model_that_says_the_same():
    model = model_with(1)
    merged = lora.merge(model)
    assert torch.equal(merged(tokens(1, 3, 9)), model(tokens(1, 3, 9)))
    assert not list(lora.adapted(merged)) and lora.n_trainable(merged) == merged.n_parameters


@pytest.mark.parametrize("config", CONFIGS)
def test_generation_reads_the_adapted_weights_with_and_without_the_cache(config):
    model, prompts = model_with(1, config).eval(), [[1, 2, 3], [4, 5]]
    said = generate(model, prompts, 8)
    assert said == generate(model, prompts, 8, use_cache=False)
    assert said == generate(lora.merge(copy.deepcopy(model)), prompts, 8)
    with lora.without_adapter(model):
        assert generate(model, prompts, 8) == generate(GPT(config, seeded(0)).eval(), prompts, 8)
    assert generate(model, prompts, 8) == said, "after the with, it is adapted again"


def test_an_adapter_is_taken_out_and_put_in_again():
    one, other = model_with(1), model_with(2)
    x = tokens(1, 3, 9)
    first, second = one(x), other(x)
    assert not torch.allclose(first, second, atol=1e-3)
    kept = lora.adapter_of(one)
    assert torch.equal(lora.load_adapter(one, lora.adapter_of(other))(x), second)
    assert torch.equal(lora.load_adapter(one, kept)(x), first)


@pytest.mark.parametrize("config", CONFIGS)
def test_rows_of_one_batch_have_adapters_of_their_own(config):
    models = [model_with(seed, config) for seed in (1, 2, 3)]
    adapters, rows, x = [lora.adapter_of(model) for model in models], [2, 0, 1, 0, 2], tokens(1, 5, 9)
    with lora.mixed(models[0], adapters, rows) as model:
        together = model(x)
    for place, row in enumerate(rows):
        torch.testing.assert_close(together[place], models[row](x)[place], rtol=1e-4, atol=1e-4)
    assert torch.equal(lora.adapter_of(models[0])["0.mlp.up.A"], adapters[0]["0.mlp.up.A"])


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"rank=17.*1 to 16"):
        lora.add_lora(GPT(SMALL), rank=17)
    with pytest.raises(ValueError, match=r"no attention\.q; its matrices are attention\.qkv"):
        lora.add_lora(GPT(SMALL), places=("attention.q",))
    with pytest.raises(ValueError, match="has adapters already"):
        lora.add_lora(model_with(1))
    with pytest.raises(ValueError, match="call add_lora"):
        lora.adapter_of(GPT(SMALL))
    model, x = model_with(1), tokens(1, 2, 9)
    before = model(x)
    wrong = lora.adapter_of(model_with(2, rank=4))
    with pytest.raises(ValueError, match=r"does not fit.*\(8, 16\).*\(4, 16\)"):
        lora.load_adapter(model, wrong)
    with pytest.raises(ValueError, match="does not fit"):
        lora.load_adapter(model, lora.adapter_of(model_with(1, replace(SMALL, n_layer=1))))
    with pytest.raises(ValueError, match=r"name adapters \[0, 2\]"), lora.mixed(model, [wrong, wrong], [0, 2]):
        pass
    assert torch.equal(model(x), before), "and nothing has changed"
