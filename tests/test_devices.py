"""No module may assume that its numbers live in the processor's memory.

Two kinds of checks. The first run everywhere: on torch's `meta` device, where tensors have a shape and a
place but no numbers, inside `FakeTensorMode`, which refuses to mix places as a GPU does. What such tensors
cannot do (be read, be drawn from) is in the second kind, which runs on the CPU. Both run on a GPU as well,
where there is one. The lists of checks must name every module of the course that uses torch.
"""

from __future__ import annotations

import ast
import copy
import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

from course import (
    chat,
    checkpoint,
    dpo,
    evaluate,
    grpo,
    huggingface,
    induction,
    loop,
    lora,
    ngram,
    optimizer,
    reward,
    rl,
    runtime,
    sft,
)
from course.attention import KVCache, MultiHeadAttention, attention, causal_mask, rotary_angles, rotate
from course.chain import own_text, recipe, store
from course.decode import Decoder
from course.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from course.generate import GREEDY, Sampling, draw, generate, next_token_distribution, stream
from course.practice import check, compare, exercise, exercises, plain
from course.tokenizer import Tokenizer
from course.train import OPTIMIZERS, TokenBatches, TrainConfig, evaluate_loss, next_token_loss, train
from course.transformer import GPT, GPTConfig

COURSE = Path(__file__).parent.parent / "course"
ROOMS = ("world", "chain", "practice", "show")
BYTES = Tokenizer([])
SMALL = GPTConfig(vocab_size=260, context_length=48, n_layer=2, n_head=2, d_model=16)
CONFIGS = [
    SMALL,
    GPTConfig.llama(
        **{
            **SMALL.to_dict(),
            **dict(norm="rms", activation="swiglu", position="rotary", bias=False, n_kv_head=1),
        }
    ),
    replace(SMALL, position="sinusoidal", tie_embeddings=False),
]


# --- shapes and places, no numbers ---


def moved(place: str, make: Callable[..., Any], *arguments: Any) -> Any:
    """A model that is made on the CPU, as in the course, and moved: its constants have to move along."""
    with unset_fake_temporarily():
        return make(*arguments).to(place)


def ids(place: torch.device | str, *shape: int) -> Tensor:
    return torch.randint(260, shape, device=place)


def learns(place: str, loss: Tensor, *models: nn.Module) -> None:
    """The loss is where it belongs, and so is a gradient for each weight."""
    assert loss.device.type == place and loss.shape == ()
    loss.backward()
    for model in models:
        for name, weight in model.named_parameters():
            assert weight.grad is not None and weight.grad.device.type == place, name


def shapes_attention(place: str) -> None:
    x = torch.randn(2, 2, 5, 8, device=place)
    cos, sin = rotary_angles(torch.arange(5, device=place), 8)
    assert attention(rotate(x, cos, sin), x, x, causal_mask(5, device=x.device)).device.type == place
    module = moved(place, MultiHeadAttention, 16, 2, 1)
    cache = KVCache(1, 2, 1, 9, 8, device=place)
    y = torch.randn(2, 5, 16, device=place)
    for causal in (True, False):
        with torch.no_grad():
            y = module(y, causal=causal, cache=cache, rotary=(cos, sin))
        cache.keep(torch.zeros(2, dtype=torch.long, device=place))
    learns(place, module(y, causal_mask(5, device=y.device), memory=y).sum(), module)


def shapes_transformer(place: str) -> None:
    for config in CONFIGS:
        model = moved(place, GPT, config)
        tokens = ids(place, 3, 12)
        learns(place, F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()), model)
        positions = torch.arange(12, device=place).expand(3, 12)
        mask = causal_mask(12, device=tokens.device)[None, None]
        assert model(tokens, mask=mask, positions=positions).device.type == place
        cache = model.new_cache(3)
        with torch.no_grad():
            for T in (5, 1, 3):  # into an empty cache, then behind it
                assert model(ids(place, 3, T), cache=cache).shape == (3, T, 260)
        with torch.device(place):  # made there, not moved there
            assert GPT(config)(tokens).device.type == place


def shapes_encoder_decoder(place: str) -> None:
    model = moved(place, EncoderDecoder, EncoderDecoderConfig(260))
    real = torch.ones(2, 9, dtype=torch.bool, device=place)
    learns(place, model(ids(place, 2, 9), ids(place, 2, 7), real).sum(), model)


def shapes_decode(place: str) -> None:
    for config in CONFIGS:
        model = moved(place, GPT, config)
        with torch.no_grad():
            for padding in (None, torch.zeros(3, dtype=torch.long, device=place)):
                cache = model.new_cache(3)
                model.hidden(ids(place, 3, 5), cache=cache)
                decoder = Decoder(model, cache, padding)
                assert decoder.step(ids(place, 3)).device.type == place
                decoder.keep(torch.zeros(2, dtype=torch.long, device=place))
                assert decoder.step(ids(place, 2)).shape == (2, 260)


def shapes_generate(place: str) -> None:
    logits = torch.randn(3, 260, device=place)
    for sampling in (GREEDY, Sampling(0.7, top_k=5), Sampling(1.0, top_p=0.9)):
        probs = next_token_distribution(logits, sampling)
        assert draw(probs, torch.rand(3, device=place)).device.type == place


def shapes_train(place: str) -> None:
    model = moved(place, GPT, SMALL)
    learns(place, next_token_loss(model, ids(place, 3, 12), ids(place, 3, 12)), model)


def shapes_optimizer(place: str) -> None:
    tall, wide = torch.randn(12, 8, device=place), torch.randn(8, 12, device=place)
    assert optimizer.orthogonalise(tall).device.type == place
    assert [x.shape for x in optimizer.orthogonalise_all([tall, wide])] == [(12, 8), (8, 12)]


def shapes_huggingface(place: str) -> None:
    for config in CONFIGS[:2]:
        model = moved(place, GPT, config)
        back = huggingface.to_state(model)
        assert all(tensor.device.type == place for tensor in back.values())


def shapes_reward(place: str) -> None:
    model = moved(place, lambda: reward.RewardModel(GPT(SMALL)))
    rewards = model(ids(place, 6, 12), torch.full((6,), 12, device=place))
    loss = reward.bradley_terry_loss(rewards.view(2, 3))
    learns(place, loss, model.head, model.gpt.blocks)
    model.normalise(torch.randn(6, device=place))
    assert reward.bradley_terry_loss(torch.randn(2, 4, device=place)).device.type == place


def shapes_rl(place: str) -> None:
    model = moved(place, lambda: rl.ActorCritic(GPT(SMALL)))
    tokens, mask = ids(place, 4, 12), torch.ones(4, 11, dtype=torch.bool, device=place)
    score = torch.randn(4, device=place)
    log_probs, values = model(tokens)
    old, old_values = log_probs.detach(), values.detach()
    rewards = rl.token_rewards(score, old, old, mask, 0.1)
    advantages, returns = rl.gae(rewards, old_values, mask)
    policy_part = rl.ppo_policy_loss(log_probs, old, rl.whiten(advantages, mask), mask)
    learns(place, policy_part + rl.value_loss(values, old_values, returns, mask), model)
    assert rl.kl_estimate(old, old, mask).device.type == place
    assert rl.reinforce_loss(old.sum(1), score).device.type == place


SHAPES: dict[str, Callable[[str], None]] = {
    "attention": shapes_attention,
    "transformer": shapes_transformer,
    "encoder_decoder": shapes_encoder_decoder,
    "decode": shapes_decode,
    "generate": shapes_generate,
    "train": shapes_train,
    "optimizer": shapes_optimizer,
    "huggingface": shapes_huggingface,
    "reward": shapes_reward,
    "rl": shapes_rl,
}


@pytest.mark.parametrize("module", SHAPES)
def test_on_the_meta_device_every_tensor_stays_where_it_belongs(module: str) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):  # models are moved outside of it
        SHAPES[module]("meta")


def test_a_tensor_on_the_cpu_among_others_would_be_found() -> None:
    x = torch.randn(3, 3)
    for mixed in (
        lambda there: there @ x,
        lambda there: there.masked_fill(x > 0, 0.0),
        lambda there: there.gather(1, torch.zeros(3, 1, dtype=torch.long)),
    ):
        with (
            FakeTensorMode(allow_non_fake_inputs=True),
            pytest.raises(
                (RuntimeError, AssertionError),
                match=r"same device|different devices",  # torch's versions say it each in their way
            ),
        ):
            mixed(torch.randn(3, 3, device="meta"))


# --- on the CPU, and on a GPU where there is one: with numbers ---


def same(found: Any, expected: Any) -> None:
    """Equal but for rounding: sums are added up in another order on a GPU, and in TF32 nowhere."""
    torch.testing.assert_close(found.detach().cpu(), expected.detach().cpu(), rtol=1e-4, atol=1e-4)


def model_on(device: torch.device | str, config: GPTConfig = SMALL, seed: int = 0) -> GPT:
    """Untied, so that an untrained model does not merely repeat what it reads."""
    config = replace(config, tie_embeddings=False)
    return GPT(config, torch.Generator().manual_seed(seed)).to(device).eval()


def real_runtime(device: torch.device, tmp_path: Path) -> None:
    assert runtime.pick_device(str(device)).type == device.type
    first, second = (torch.rand(3, generator=runtime.generator(5, device), device=device) for _ in range(2))
    assert torch.equal(first, second) and first.device.type == device.type
    assert runtime.mixed_precision(device) in (torch.float32, torch.bfloat16)
    runtime.synchronize(device)


def real_transformer(device: torch.device, tmp_path: Path) -> None:
    tokens = ids("cpu", 3, 12)
    for config in CONFIGS:
        same(model_on(device, config)(tokens.to(device)), model_on(torch.device("cpu"), config)(tokens))


def real_generate(device: torch.device, tmp_path: Path) -> None:
    prompts = [[1, 2, 3], [4], [5, 6, 7, 8]]
    for config in CONFIGS:
        model = model_on(device, config)
        for sampling in (GREEDY, Sampling(1.0), Sampling(0.8, top_k=9, top_p=0.9)):
            texts = [
                generate(model, prompts, 8, sampling, {0}, torch.Generator().manual_seed(1), cached)
                for cached in (True, False)
            ]
            assert texts[0] == texts[1]
        assert len(list(stream(model, [1, 2], 5))) == 5


def real_train(device: torch.device, tmp_path: Path) -> None:
    data = TokenBatches(torch.arange(200) % 50, 4, 12)
    for name in OPTIMIZERS:
        config = TrainConfig(steps=6, learning_rate=1e-2, warmup=1, accumulate=2, optimizer=name)
        model, again = model_on(device), model_on(device)
        state = tmp_path / name
        records = list(train(model, data, config, checkpoint=state, save_seconds=0.0, progress=False))
        assert records[-1].loss < records[0].loss
        resumed = list(train(again, data, config, checkpoint=state, progress=False))
        assert all(record.replayed for record in resumed)
        for one, other in zip(model.parameters(), again.parameters(), strict=True):
            assert torch.equal(one, other) and one.device.type == device.type
        assert evaluate_loss(model, data, 2) < records[0].loss


def real_loop(device: torch.device, tmp_path: Path) -> None:
    model = model_on(device)
    state = optimizer.adamw(model.parameters(), 1e-3, 0.0)
    model(ids(device, 2, 9)).sum().backward()
    state.step()
    loop.save_state(tmp_path / "state", model, state, {}, [])
    again = model_on(device, seed=1)
    loaded = optimizer.adamw(again.parameters(), 1e-3, 0.0)
    loop.load_state(tmp_path / "state", again, loaded, {})
    assert loop.weights_fingerprint(again) == loop.weights_fingerprint(model)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert other.device.type == device.type
        assert torch.equal(state.state[one]["exp_avg"], loaded.state[other]["exp_avg"])


def real_optimizer(device: torch.device, tmp_path: Path) -> None:
    """Of all precisions the device's own: bfloat16 has 8 bits, and five rounds add their rounding up."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(shape, generator=generator) for shape in ((12, 8), (8, 12), (8, 8))]
    results = []
    for place, precision in ((torch.device("cpu"), torch.float32), (device, None)):
        there = [nn.Parameter(weight.to(place, copy=True)) for weight in weights]
        muon = optimizer.Muon(there, weight_decay=0.0, precision=precision)
        for weight, number in zip(there, weights, strict=True):
            weight.grad = number.sin().to(place)
        muon.step()
        results.append([(w.detach().cpu() - old) for w, old in zip(there, weights, strict=True)])
    for one, other in zip(*results, strict=True):
        assert (one - other).norm() < 0.05 * one.norm()


def real_chat(device: torch.device, tmp_path: Path) -> None:
    model = model_on(device)
    assert len(chat.answer(model, BYTES, ["Hi?", "What now?"], max_new_tokens=4)) == 2
    assert isinstance(chat.Conversation(model, BYTES, max_new_tokens=4).ask("Hi?"), str)


def real_sft(device: torch.device, tmp_path: Path) -> None:
    data = sft.SFTBatches(sft.examples(BYTES, [("Hi?", "No."), ("And?", "Yes.")]), 2)
    assert next_token_loss(model_on(device), *(t.to(device) for t in data[0])).device.type == device.type
    assert len(list(train(model_on(device), data, TrainConfig(steps=2), progress=False))) == 2


def real_reward(device: torch.device, tmp_path: Path) -> None:
    model = reward.RewardModel(model_on(device)).to(device)
    rankings = [reward.Ranking("Hi?", ("Hello.", "What?", "Go!"))] * 2
    data = reward.RankingBatches(BYTES, rankings, 2)
    config = TrainConfig(steps=3, learning_rate=1e-2, warmup=0)
    assert len(list(train(model, data, config, loss=reward.ranking_loss, progress=False))) == 3
    rewards = reward.score(model, BYTES, [("Hi?", answer) for answer in rankings[0].answers])
    model.normalise(rewards)  # as `score` gives them: on the CPU
    assert 0 <= reward.agreement(rewards.view(1, 3), torch.tensor([[3.0, 2.0, 1.0]])) <= 1


def real_rl(device: torch.device, tmp_path: Path) -> None:
    policy = model_on(device)
    scorer = reward.RewardModel(model_on(device, seed=1)).to(device)
    nn.init.normal_(scorer.head.weight)
    config = rl.PPOConfig(iterations=2, rollouts=8, minibatches=2, max_new_tokens=5)
    actor_critic = rl.ActorCritic(copy.deepcopy(policy)).to(device)
    how: dict[str, Any] = dict(checkpoint=tmp_path / "state", save_seconds=0.0, progress=False)
    records = list(rl.ppo(actor_critic, policy, scorer, [[1, 2], [3]], 259, config, **how))
    assert len(records) == 2 and abs(records[0].kl) < 1e-3
    assert actor_critic.policy.head.weight.device.type == device.type


def real_evaluate(device: torch.device, tmp_path: Path) -> None:
    tokens = torch.randint(9, (500,), device=device)
    assert evaluate.bigram_entropy(tokens) < evaluate.unigram_entropy(tokens) < 2.2
    assert len(evaluate.complete(model_on(device), BYTES, ["The capital of", "It"], 3)) == 2


def real_ngram(device: torch.device, tmp_path: Path) -> None:
    seen, unseen = torch.arange(60) % 9, torch.arange(20) % 7
    for loss in (ngram.unigram_loss, ngram.bigram_loss):
        assert loss(seen.to(device), unseen.to(device), 9) == pytest.approx(loss(seen, unseen, 9))


def real_dpo(device: torch.device, tmp_path: Path) -> None:
    rankings = [reward.Ranking("Hi?", ("Hello.", "Go!"))] * 4
    data = dpo.AnswerBatches(BYTES, rankings, 2)
    losses = []
    for place in (torch.device("cpu"), device):
        policy, reference = model_on(place), model_on(place, seed=1)
        tokens, mask = (part.to(place) for part in data[0])
        losses.append(dpo.rankings_loss(policy, tokens, mask, reference))
        learns(place.type, losses[-1], policy)
    same(losses[1], losses[0])
    gaps = torch.randn(2, 5)
    for loss in (dpo.dpo_loss, dpo.ipo_loss):
        same(loss(*gaps.to(device)), loss(*gaps))
    probs, rewards = torch.rand(9).softmax(0), torch.randn(9)
    same(
        dpo.best_of_n_distribution(probs.to(device), rewards.to(device), 4),
        dpo.best_of_n_distribution(probs, rewards, 4),
    )


def real_grpo(device: torch.device, tmp_path: Path) -> None:
    policy, reference = model_on(device), model_on(device)
    config = grpo.GRPOConfig(iterations=2, questions=2, tries=3, max_new_tokens=5, kl_coefficient=0.1)

    def judge(asked: Sequence[int], answers: Sequence[list[int]]) -> Tensor:
        return torch.tensor([float(len(answer)) for answer in answers])  # on the CPU, as programs judge

    how: dict[str, Any] = dict(reference=reference, checkpoint=tmp_path / "state", save_seconds=0.0, progress=False)
    records = list(grpo.grpo(policy, [[1, 2], [3]], judge, 259, config, **how))
    assert len(records) == 2 and policy.head.weight.device.type == device.type


def real_lora(device: torch.device, tmp_path: Path) -> None:
    tokens = ids("cpu", 2, 9)
    for config in CONFIGS:
        here, there = (
            lora.add_lora(model_on(d, config), rank=2, generator=runtime.generator(3)) for d in ("cpu", device)
        )
        adapter = {name: tensor + 0.1 for name, tensor in lora.adapter_of(here).items()}
        for model in (here, there):
            lora.load_adapter(model, adapter)
        same(there(tokens.to(device)), here(tokens))
        same(lora.merge(there)(tokens.to(device)), here(tokens))
        with lora.mixed(there, [lora.adapter_of(there), adapter], [1, 0]) as model:
            same(model(tokens.to(device)), here(tokens))
        loss = there(tokens.to(device)).sum()
        loss.backward()
        assert all(layer.A.grad is not None for _, layer in lora.adapted(there))


def real_induction(device: torch.device, tmp_path: Path) -> None:
    data = induction.RepeatedBatches(T=12, periods=(3, 5), vocab_size=20, batch_size=4)
    tokens, _ = data[0]
    for config in CONFIGS:
        here, there = model_on(torch.device("cpu"), config), model_on(device, config)
        moved_tokens = tokens.to(device)
        weights = induction.looked_at(there, moved_tokens)
        same(weights, induction.looked_at(here, tokens))
        same(induction.prefix_score(weights, moved_tokens), induction.prefix_score(weights.cpu(), tokens))
        same(induction.copying_score(there, moved_tokens), induction.copying_score(here, tokens))
        with induction.silenced(there, [(0, 1)]), induction.silenced(here, [(0, 1)]):
            same(induction.token_losses(there, moved_tokens), induction.token_losses(here, tokens))


def real_own_text(device: torch.device, tmp_path: Path) -> None:
    for part, there in zip(
        own_text.hold_out(torch.arange(500), 0, 16),
        own_text.hold_out(torch.arange(500, device=device), 0, 16),
        strict=True,
    ):
        assert there.device.type == device.type and torch.equal(part, there.cpu())


def real_checkpoint(device: torch.device, tmp_path: Path) -> None:
    x = torch.randn(3, 4, device=device)
    checkpoint.save(tmp_path / "some", {"x": x.t(), "y": x[:, :2]}, {"kind": "test"})
    tensors, _ = checkpoint.load(tmp_path / "some", expect="test")
    assert torch.equal(tensors["x"], x.t().cpu()) and torch.equal(tensors["y"], x[:, :2].cpu())


def real_store(device: torch.device, tmp_path: Path) -> None:
    made: dict[str, Any] = dict(seed=0, settings={}, metrics={}, seconds=1.0, where=tmp_path)
    store.save_tokenizer(BYTES, **made)
    model = model_on(device)
    store.save_model("base", model, tokenizer=BYTES, **made)
    loaded = store.load_model("base", device, where=tmp_path)
    assert loaded.head.weight.device.type == device.type
    assert torch.equal(loaded.head.weight, model.head.weight)


def real_huggingface(device: torch.device, tmp_path: Path) -> None:
    model = model_on(device)
    loaded = huggingface.load(huggingface.save(model, tmp_path / "hf"), device)
    assert loaded.head.weight.device.type == device.type
    tokens = ids(device, 2, 9)
    assert torch.equal(loaded(tokens), model(tokens))


def real_recipe(device: torch.device, tmp_path: Path) -> None:
    """`train_base` on the device that COURSE_DEVICE names (the test sets it)."""
    base = recipe.BaseRecipe(model=SMALL, training=TrainConfig(steps=3, warmup=1), batch_size=2)
    model, metrics, records = recipe.train_base(BYTES, base, ["A short text. " * 40], progress=False)
    assert model.head.weight.device.type == device.type
    assert len(records) == 3 and metrics["held_out_loss"] > 0


def real_exercise(device: torch.device, tmp_path: Path) -> None:
    mask = exercises.find("causal_mask")
    case = {"T": 3}
    (expected,) = mask.expected([case])
    assert exercise.judge(mask, [case], [expected], [expected.to(device)]).passed
    assert not exercise.judge(mask, [case], [expected], [~expected.to(device)]).passed


def real_compare(device: torch.device, tmp_path: Path) -> None:
    assert compare.difference(torch.ones(3), torch.ones(3, device=device)) is None
    assert compare.difference(torch.ones(3), torch.zeros(3, device=device)) is not None


def real_check(device: torch.device, tmp_path: Path) -> None:
    def causal_mask(T: int) -> Tensor:
        return torch.ones(T, T, dtype=torch.bool, device=device).tril()

    assert check.check(causal_mask).passed


def real_plain(device: torch.device, tmp_path: Path) -> None:
    x = torch.randn(2, 3, device=device)
    assert torch.equal(plain.from_bytes(plain.to_bytes(x)), x.cpu())


REAL: dict[str, Callable[[torch.device, Path], None]] = {
    "runtime": real_runtime,
    "transformer": real_transformer,
    "generate": real_generate,
    "loop": real_loop,
    "optimizer": real_optimizer,
    "train": real_train,
    "chat": real_chat,
    "sft": real_sft,
    "reward": real_reward,
    "rl": real_rl,
    "evaluate": real_evaluate,
    "ngram": real_ngram,
    "dpo": real_dpo,
    "grpo": real_grpo,
    "induction": real_induction,
    "lora": real_lora,
    "own_text": real_own_text,
    "checkpoint": real_checkpoint,
    "store": real_store,
    "huggingface": real_huggingface,
    "recipe": real_recipe,
    "exercise": real_exercise,
    "compare": real_compare,
    "check": real_check,
    "plain": real_plain,
}


def run_for_real(module: str, device: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_DEVICE", str(device))
    torch.manual_seed(0)
    REAL[module](device, tmp_path)


@pytest.mark.parametrize("module", REAL)
def test_with_numbers_on_the_cpu(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_for_real(module, torch.device("cpu"), tmp_path, monkeypatch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("module", REAL)
def test_with_numbers_on_a_gpu(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_for_real(module, torch.device("cuda"), tmp_path, monkeypatch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("module", SHAPES)
def test_with_shapes_on_a_gpu(module: str) -> None:
    SHAPES[module]("cuda")


# --- nothing is forgotten ---


def uses_torch(path: Path) -> bool:
    """Whether a file imports torch, at its top or in a function; imports for type checkers do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {
        node
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and ast.unparse(test.test) == "TYPE_CHECKING"
        for node in ast.walk(test)
    }
    names: set[str] = set()
    for node in set(ast.walk(tree)) - hidden:
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return any("torch" in name.split(".") for name in names)


# These only ask torch for its version, or show what others computed; the notebooks run them on a GPU.
TAUGHT_AND_ROOMS = [*COURSE.glob("*.py"), *(path for room in ROOMS for path in COURSE.glob(f"{room}/*.py"))]
ON_TOP = {"cli", "plots", "widgets", "quiz"}


def test_every_module_that_uses_torch_has_a_check() -> None:
    modules = {path.stem: path for path in TAUGHT_AND_ROOMS if uses_torch(path)}
    forgotten = set(modules) - set(SHAPES) - set(REAL) - ON_TOP
    assert not forgotten, f"write a check for {sorted(forgotten)}, and name it in SHAPES or REAL"
    for module in [*SHAPES, *REAL]:
        place = modules[module].relative_to(COURSE.parent).with_suffix("")
        importlib.import_module(".".join(place.parts))


def test_no_module_names_a_gpu_of_its_own_accord() -> None:
    """Only `runtime` may: everybody else is told where to work, or looks where the weights are."""
    for path in TAUGHT_AND_ROOMS:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        calls = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        if path.stem != "runtime":
            assert not {text for text in texts if isinstance(text, str) and text.startswith("cuda")}, path.name
            assert "cuda" not in calls, path.name
