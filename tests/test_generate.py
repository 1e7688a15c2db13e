"""Generation against brute force: one token at a time, everything computed anew."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from course import generate as generating
from course.generate import GREEDY, Sampling, draw, generate, next_token_distribution, stream
from course.transformer import GPT, GPTConfig

SHAPE: dict[str, Any] = dict(vocab_size=23, context_length=24, n_layer=2, d_model=32, tie_embeddings=False)
CONFIGS = [
    GPTConfig.gpt2(**SHAPE),
    GPTConfig.llama(**SHAPE, n_kv_head=2),
    GPTConfig(**SHAPE, position="sinusoidal", activation="swiglu", bias=False),
]
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10], [11, 12, 13], [1]]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model_for(config: GPTConfig = CONFIGS[0], seed: int = 0) -> GPT:
    """In float64 and with large weights: the likeliest token hangs on the context and is no near tie."""
    model = GPT(config, seeded(seed)).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=seeded(seed + 1), dtype=torch.float64))
    return model


@torch.no_grad()
def greedily(model: GPT, prompt: list[int], n: int, stop: tuple[int, ...] = ()) -> list[int]:
    """The oracle: the whole text through the model for every token."""
    text = list(prompt)
    for _ in range(n):
        token = int(model(torch.tensor([text]))[0, -1].argmax())
        if token in stop:
            break
        text.append(token)
    return text[len(prompt) :]


# --- the distribution ---


def by_brute_force(logits: list[float], sampling: Sampling) -> list[float]:
    weights = [math.exp(x / sampling.temperature) for x in logits]
    ranked = sorted(range(len(logits)), key=lambda i: -weights[i])
    if sampling.top_k is not None:
        ranked = ranked[: sampling.top_k]
    total = sum(weights[i] for i in ranked)
    if sampling.top_p is not None:
        kept, mass = [], 0.0
        for i in ranked:  # the fewest that hold p together
            kept.append(i)
            mass += weights[i] / total
            if mass >= sampling.top_p:
                break
        ranked = kept
        total = sum(weights[i] for i in ranked)
    return [weights[i] / total if i in ranked else 0.0 for i in range(len(logits))]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(0.7),
        Sampling(2.5),
        Sampling(1.0, top_k=1),
        Sampling(0.8, top_k=5),
        Sampling(1.0, top_k=99),
        Sampling(1.0, top_p=0.01),
        Sampling(1.3, top_p=0.6),
        Sampling(1.0, top_p=1.0),
        Sampling(1.5, top_k=6, top_p=0.7),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_the_distribution_is_that_of_brute_force(seed: int, sampling: Sampling) -> None:
    logits = 2 * torch.randn(3, 12, generator=seeded(seed), dtype=torch.float64)
    found = next_token_distribution(logits, sampling)
    expected = torch.tensor([by_brute_force(row, sampling) for row in logits.tolist()], dtype=torch.float64)
    torch.testing.assert_close(found, expected)


def test_temperature_0_puts_everything_on_the_likeliest_token() -> None:
    logits = torch.randn(4, 9, generator=seeded(0))
    found = next_token_distribution(logits, GREEDY)
    assert torch.equal(found.argmax(-1), logits.argmax(-1))
    assert torch.equal(found.sum(-1), torch.ones(4))
    assert (found.max(-1).values == 1).all()
    near = next_token_distribution(logits.double(), Sampling(1e-3))
    torch.testing.assert_close(near, found.double())  # the limit from above


def test_a_dart_hits_the_token_on_whose_stretch_it_falls() -> None:
    probs = torch.tensor([[0.0, 0.5, 0.0, 0.25, 0.25, 0.0]]).expand(6, -1)
    darts = torch.tensor([0.0, 0.49, 0.5, 0.74, 0.76, 1 - 2**-24])
    assert draw(probs, darts).tolist() == [1, 1, 3, 3, 4, 4]


def test_a_dart_beyond_a_sum_that_rounding_made_smaller_still_hits_a_token_that_has_a_stretch() -> None:
    probs, dart = torch.tensor([[0.3, 0.3, 0.3999, 0.0]]), torch.tensor([1 - 2**-24])
    assert draw(probs, dart).tolist() == [2]
    assert draw(probs.bfloat16(), dart).item() < 4


def test_draws_come_as_often_as_their_probabilities_say() -> None:
    """20,000 draws: four standard errors are at most 4 · √(¼ / 20000) = 0.014."""
    probs = torch.tensor([0.5, 0.2, 0.0, 0.3])
    tokens = draw(probs.expand(20_000, 4), torch.rand(20_000, generator=seeded(0)))
    torch.testing.assert_close(torch.bincount(tokens, minlength=4) / 20_000, probs, rtol=0, atol=0.014)


# --- generation ---


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("config", CONFIGS)
def test_greedy_generation_of_a_batch_is_brute_force_for_each_prompt(config: GPTConfig, use_cache: bool) -> None:
    model = model_for(config)
    expected = [greedily(model, prompt, 12) for prompt in PROMPTS]
    assert len({tuple(reply) for reply in expected}) >= 4  # the prompts matter
    assert generate(model, PROMPTS, 12, use_cache=use_cache) == expected
    for prompt, reply in zip(PROMPTS, expected, strict=True):
        assert generate(model, [prompt], 12, use_cache=use_cache) == [reply]
        assert list(stream(model, prompt, 12)) == reply


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("config", CONFIGS)
def test_each_row_ends_at_its_own_stop_token(config: GPTConfig, use_cache: bool) -> None:
    model = model_for(config)
    lengths = set()
    for stop in [(token, (token + 1) % 23) for token in range(23)]:
        expected = [greedily(model, prompt, 12, stop) for prompt in PROMPTS]
        assert generate(model, PROMPTS, 12, stop_tokens=stop, use_cache=use_cache) == expected
        lengths |= {len(reply) for reply in expected}
    assert len(lengths) >= 5 and {0, 12} <= lengths  # at once, on the way, never


@pytest.mark.parametrize("sampling", [Sampling(1.0), Sampling(0.8, top_k=4), Sampling(1.2, top_p=0.8)])
@pytest.mark.parametrize("config", CONFIGS)
def test_the_same_seed_gives_the_same_text_with_and_without_the_cache(config: GPTConfig, sampling: Sampling) -> None:
    model = model_for(config)
    texts = [
        generate(model, PROMPTS, 12, sampling, {3}, seeded(seed), use_cache)
        for seed in (0, 1)
        for use_cache in (True, False)
    ]
    assert texts[0] == texts[1]
    assert texts[2] == texts[3]
    assert texts[0] != texts[2]


@pytest.mark.parametrize("seed", range(5))
def test_a_rows_draws_do_not_depend_on_the_other_rows(seed: int) -> None:
    """Also when some of them end early and are dropped from the batch."""
    model, stop = model_for(), set(range(8))
    others = [[9, 9], [9], [8, 7], [6, 5, 4]]
    one = generate(model, [*PROMPTS[:4], [1]], 12, Sampling(2.0), stop, seeded(seed))
    other = generate(model, [*others, [1]], 12, Sampling(2.0), stop, seeded(seed))
    assert one[4] == other[4]
    assert one[:4] != other[:4]


def test_sampled_texts_follow_the_models_probabilities() -> None:
    """3,000 texts of two tokens: the share of each text is within four standard errors of its chance."""
    model = model_for()
    texts = generate(model, [[1, 2]] * 3000, 2, Sampling(0.5), generator=seeded(0))
    with torch.no_grad():
        first = (model(torch.tensor([[1, 2]]))[0, -1] / 0.5).softmax(-1)
        table = torch.stack([(model(torch.tensor([[1, 2, i]]))[0, -1] / 0.5).softmax(-1) for i in range(23)])
    joint = (first[:, None] * table).flatten()
    found = torch.bincount(torch.tensor([23 * a + b for a, b in texts]), minlength=23 * 23) / 3000
    error = 4 * (joint * (1 - joint) / 3000).sqrt() + 2 / 3000
    assert ((found - joint).abs() < error).all()


def test_generation_ends_where_the_context_ends() -> None:
    model = model_for()
    assert [len(reply) for reply in generate(model, [[1] * 20, [2] * 20], 100)] == [4, 4]
    assert len(generate(model, [[1] * 23], 100)[0]) == 1
    assert len(list(stream(model, [1] * 20, 100))) == 4


def test_nothing_asked_gives_nothing() -> None:
    assert generate(model_for(), [], 5) == []
    assert generate(model_for(), [[1], [2, 3]], 0) == [[], []]


def test_generation_leaves_the_model_as_it_was() -> None:
    model = model_for().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    generate(model, PROMPTS, 5)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    loss: Tensor = model(torch.tensor([[1, 2, 3]])).sum()
    loss.backward()  # and training can go on
    assert model.head.weight.grad is not None


# --- sentences ---


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperature": -0.1}, "temperature=-0.1 must be 0"),
        ({"temperature": math.nan}, "temperature=nan must be 0"),
        ({"top_k": 0}, "top_k=0 leaves no token"),
        ({"top_p": 0.0}, "top_p=0.0 is not a probability"),
        ({"top_p": 1.5}, "top_p=1.5 is not a probability"),
    ],
)
def test_sampling_that_makes_no_sense_gives_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Sampling(**settings)


def test_prompts_that_cannot_be_continued_give_a_sentence() -> None:
    with pytest.raises(ValueError, match="Prompt 1 is empty"):
        generate(model_for(), [[1], []])
    with pytest.raises(ValueError, match="A prompt of 24 tokens leaves no room in the model's context of 24"):
        generate(model_for(), [[1] * 24])


# --- prompts of different lengths, and of the wrong kind ---


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.position)
def test_a_short_prompt_is_continued_as_far_beside_a_long_one_as_alone(config: GPTConfig, use_cache: bool) -> None:
    """Padding is no text: each prompt has the room in the context that it has when it is alone."""
    model, context = model_for(config), config.context_length
    prompts = [[1] * (context - 2), [3, 4], [5] * (context // 2), [7] * (context - 1)]
    for new in (1, 2, 9, context):
        alone = [generate(model, [prompt], new, use_cache=use_cache)[0] for prompt in prompts]
        assert [len(ids) for ids in alone] == [min(new, context - len(prompt)) for prompt in prompts]
        assert generate(model, prompts, new, use_cache=use_cache) == alone
    stop = {alone[1][4]}
    alone = [generate(model, [prompt], context, stop_tokens=stop, use_cache=use_cache)[0] for prompt in prompts]
    assert generate(model, prompts, context, stop_tokens=stop, use_cache=use_cache) == alone


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.position)
def test_one_of_many_that_fills_the_context_leaves_the_others_alone(config: GPTConfig, use_cache: bool) -> None:
    """One in seven that has ended is too few to make a smaller batch worth it: it stays in the batch."""
    model = model_for(config)
    prompts = [[1] * 23, [2], [3, 4], [5], [6], [7, 8], [9]]
    alone = [generate(model, [prompt], 24, use_cache=use_cache)[0] for prompt in prompts]
    assert generate(model, prompts, 24, use_cache=use_cache) == alone


@pytest.mark.parametrize(
    ("prompts", "sentence"),
    [([[1, 99]], "Token 99 does not exist"), ([[23]], "Token 23 does not exist"), ([1, 2], "Give a list of prompts")],
)
def test_prompts_that_are_none_give_a_sentence(prompts: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        generate(model_for(CONFIGS[0]), prompts, 2)


def test_a_tensor_of_prompts_is_as_good_as_a_list() -> None:
    prompts = torch.tensor([[1, 2], [3, 4]])
    model = model_for(CONFIGS[0])
    assert generate(model, prompts, 3) == generate(model, prompts.tolist(), 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [1e-40, math.inf, math.nan, -1.0])
def test_a_temperature_that_no_softmax_can_follow_gives_a_sentence(temperature: float) -> None:
    with pytest.raises(ValueError, match=r"must be 0 \(greedy\), or a number from 0\.0001 up"):
        Sampling(temperature)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.position)
def test_generating_within_autocast_works(config: GPTConfig) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert [len(ids) for ids in generate(model_for(config).float(), [[1, 2], [3]], 5)] == [5, 5]


def test_top_k_keeps_k_tokens_also_when_several_are_equally_likely():
    probs = next_token_distribution(torch.zeros(2, 10), Sampling(1.0, top_k=3))
    assert (probs > 0).sum(dim=-1).tolist() == [3, 3]


def test_top_p_stops_where_the_tokens_hold_exactly_p():
    probs = next_token_distribution(torch.zeros(1, 4, dtype=torch.float64), Sampling(1.0, top_p=0.5))
    assert probs.count_nonzero() == 2  # a quarter and a quarter


def test_a_model_in_bfloat16_is_drawn_from_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()

    def noting(logits: Tensor, sampling: Sampling) -> Tensor:
        seen.add(logits.dtype)
        return next_token_distribution(logits, sampling)

    monkeypatch.setattr(generating, "next_token_distribution", noting)
    generate(model_for().bfloat16(), [[1, 2], [3]], 4, Sampling(1.0), generator=seeded(0))
    assert seen == {torch.float32}


@pytest.mark.parametrize("fails", [False, True])
def test_a_short_prompt_is_read_in_one_thread_and_a_long_one_in_all(fails: bool, monkeypatch) -> None:
    """Also when it fails, the number of threads is afterwards what it was."""
    model = GPT(GPTConfig(vocab_size=40, context_length=32, n_layer=1, n_head=2, d_model=16)).eval()
    seen = []

    def look(*_: object) -> None:
        seen.append(torch.get_num_threads())
        if fails:
            raise KeyboardInterrupt

    model.norm.register_forward_hook(look)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        for bound in (model.n_parameters * 3 * 8 + 1, model.n_parameters * 3 * 8):
            monkeypatch.setattr(generating, "SMALL_PROMPT", bound)
            try:
                generate(model, [[1] * 8] * 3, 2)
            except KeyboardInterrupt:
                assert fails
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 2], "three prompts of eight tokens: below the bound, and at it"
