"""Hugging Face checkpoints: the same weights must give the same logits."""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load, save_file
from torch import Tensor

from course import huggingface
from course.transformer import GPT, GPTConfig

GPT2_CASES: list[dict[str, Any]] = [
    {},
    {"tie_word_embeddings": False},
    {"n_inner": 40, "layer_norm_epsilon": 1e-3},
    {"activation_function": "gelu_pytorch_tanh", "n_head": 1, "n_layer": 1},
]
LLAMA_CASES: list[dict[str, Any]] = [
    {},
    {"num_key_value_heads": 2},
    {"num_key_value_heads": 1, "tie_word_embeddings": True},
    {"rms_norm_eps": 1e-3, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
    {"intermediate_size": 24, "num_hidden_layers": 1},
]


def peer(kind: str, seed: int = 0, **settings: Any) -> Any:
    """A randomly initialised model of `transformers`, every weight and bias away from its initial 0 or 1."""
    if kind == "gpt2":
        shape = dict(vocab_size=71, n_positions=20, n_embd=32, n_layer=2, n_head=4, resid_pdrop=0.0)
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**{**shape, **settings}))
    else:
        shape = dict(
            vocab_size=71,
            max_position_embeddings=20,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            intermediate_size=48,
        )
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**shape, **settings}))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.2)
    return model.eval()


@torch.no_grad()
def logits_of(model: Any, tokens: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    result = model.to(dtype)(tokens)
    return result if isinstance(result, Tensor) else result.logits


def random_tokens(seed: int) -> Tensor:
    return torch.randint(71, (3, 20), generator=torch.Generator().manual_seed(seed))


def assert_equal_logits(ours: Any, theirs: Any, seed: int = 0) -> None:
    """float64; the rotary angles are float32 in both, hence not closer than 1e-5 of the largest logit."""
    tokens = random_tokens(seed)
    wanted = logits_of(theirs, tokens)
    torch.testing.assert_close(logits_of(ours, tokens), wanted, rtol=0, atol=1e-5 * wanted.abs().max().item())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("settings", GPT2_CASES)
def test_gpt2_weights_give_the_logits_of_transformers(settings: dict[str, Any], seed: int, tmp_path: Path) -> None:
    theirs = peer("gpt2", seed, **settings)
    theirs.save_pretrained(tmp_path)
    assert_equal_logits(huggingface.load(tmp_path, "cpu"), theirs, seed)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("settings", LLAMA_CASES)
def test_llama_weights_give_the_logits_of_transformers(settings: dict[str, Any], seed: int, tmp_path: Path) -> None:
    theirs = peer("llama", seed, **settings)
    theirs.save_pretrained(tmp_path)
    assert_equal_logits(huggingface.load(tmp_path, "cpu"), theirs, seed)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_checkpoint_in_several_files_is_put_together(kind: str, tmp_path: Path) -> None:
    theirs = peer(kind)
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert_equal_logits(huggingface.load(tmp_path, "cpu"), theirs)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_half_precision_checkpoints_are_loaded_as_float32(kind: str, tmp_path: Path) -> None:
    theirs = peer(kind)
    for weight in theirs.parameters():
        weight.data = weight.data.bfloat16().float()
    copy.deepcopy(theirs).to(torch.bfloat16).save_pretrained(tmp_path)
    ours = huggingface.load(tmp_path, "cpu")
    assert {weight.dtype for weight in ours.parameters()} == {torch.float32}
    assert not ours.training
    assert_equal_logits(ours, theirs)


def test_the_names_of_early_gpt2_files_are_understood() -> None:
    """openai-community/gpt2 has no leading "transformer.", and stores the causal mask among the weights."""
    theirs = peer("gpt2")
    early = {name.removeprefix("transformer."): tensor for name, tensor in theirs.state_dict().items()}
    early["h.0.attn.bias"] = torch.ones(1, 1, 20, 20).tril()
    early["h.0.attn.masked_bias"] = torch.tensor(-1e4)
    ours = GPT(huggingface.from_config(theirs.config.to_dict()))
    ours.load_state_dict(huggingface.from_state(ours.config, early))
    assert_equal_logits(ours, theirs)


def test_a_config_from_before_version_5_of_transformers_is_understood() -> None:
    """rope_theta stood at the top, rope_scaling was null; Llama 1 named neither, nor key and value heads."""
    new = peer("llama").config.to_dict()
    old = {key: value for key, value in new.items() if key not in ("rope_parameters", "head_dim")}
    assert huggingface.from_config({**old, "rope_theta": 500.0, "rope_scaling": None}).rope_base == 500.0
    del old["num_key_value_heads"]
    assert huggingface.from_config(old).rope_base == 10000.0
    assert huggingface.from_config(old).kv_heads == 4


OURS = [
    GPTConfig.gpt2(vocab_size=71, context_length=20, n_layer=2, d_model=32),
    GPTConfig.gpt2(vocab_size=71, context_length=20, n_layer=1, d_model=32, d_ff=40, tie_embeddings=False),
    GPTConfig.llama(vocab_size=71, context_length=20, n_layer=2, d_model=32, n_kv_head=2, rope_base=300.0),
    GPTConfig.llama(vocab_size=71, context_length=20, n_layer=1, d_model=32, tie_embeddings=True, norm_eps=1e-3),
]


@pytest.mark.parametrize("config", OURS)
def test_transformers_loads_what_the_course_saves(config: GPTConfig, tmp_path: Path) -> None:
    ours = GPT(config, torch.Generator().manual_seed(3))
    huggingface.save(ours, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert sum(weight.numel() for weight in theirs.parameters()) == ours.n_parameters
    assert_equal_logits(ours, theirs)


@pytest.mark.parametrize("config", OURS)
def test_from_state_turns_to_state_back(config: GPTConfig) -> None:
    ours = GPT(config, torch.Generator().manual_seed(3))
    back = huggingface.from_state(config, huggingface.to_state(ours))
    assert back.keys() == ours.state_dict().keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in ours.state_dict().items())
    assert huggingface.from_config(huggingface.to_config(config)) == replace(
        config, d_ff=config.width_ff, n_kv_head=config.kv_heads if config.norm == "rms" else None
    )


@pytest.mark.parametrize(
    "settings",
    [{"position": "rotary"}, {"norm": "rms"}, {"bias": False}, {"n_kv_head": 2}, {"activation": "swiglu"}],
)
def test_a_model_that_is_neither_gpt2_nor_llama_is_not_written(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither GPT-2 nor Llama"):
        huggingface.save(GPT(GPTConfig(vocab_size=30, d_model=32, n_layer=1, n_head=4, **settings)), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("kind", "change", "named"),
    [
        ("gpt2", {"model_type": "bert"}, "model_type='bert'"),
        ("gpt2", {"model_type": None}, "model_type=None"),
        ("gpt2", {"activation_function": "gelu"}, "activation_function='gelu'"),
        ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights=False"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention=True"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act='gelu'"),
        ("llama", {"attention_bias": True}, "attention_bias=True"),
        ("llama", {"mlp_bias": True}, "mlp_bias=True"),
        ("llama", {"head_dim": 16}, "head_dim=16"),
        ("llama", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "rope_type='llama3'"),
        (
            "llama",
            {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": None},
            "rope_type='linear'",
        ),
        ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor=0.5"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config="),
        ("llama", {"num_attention_heads": 5, "head_dim": None}, "n_head=5"),
    ],
)
def test_a_config_that_would_give_other_logits_is_refused_by_name(
    kind: str, change: dict[str, Any], named: str, tmp_path: Path
) -> None:
    peer(kind).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **change}), encoding="utf-8")
    with pytest.raises(ValueError, match=named.replace("{", r"\{")):
        huggingface.load(tmp_path, "cpu")


@pytest.mark.parametrize(
    ("kind", "key"),
    [("gpt2", "n_embd"), ("gpt2", "vocab_size"), ("llama", "hidden_size"), ("llama", "intermediate_size")],
)
def test_a_config_without_a_necessary_entry_is_refused_by_its_name(kind: str, key: str) -> None:
    config = peer(kind).config.to_dict()
    del config[key]
    with pytest.raises(ValueError, match=f"config.json has no {key}"):
        huggingface.from_config(config)


if Path("/proc/self/maps").exists():

    def test_tensors_that_were_read_do_not_hold_their_file(tmp_path: Path) -> None:
        """Windows locks a file that is mapped, so that nobody can replace it."""
        peer("gpt2").save_pretrained(tmp_path)
        tensors = huggingface.read_tensors(tmp_path)
        assert tensors and str(tmp_path) not in Path("/proc/self/maps").read_text(encoding="utf-8")


def change_tensors(folder: Path, change: dict[str, Tensor | None]) -> None:
    tensors = load((folder / "model.safetensors").read_bytes())  # not mapped: it is written again below
    for name, tensor in change.items():
        tensors.pop(name, None)
        if tensor is not None:
            tensors[name] = tensor
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("kind", "change", "sentence"),
    [
        (
            "gpt2",
            {"transformer.h.1.attn.c_attn.weight": None},
            "no tensor transformer.h.1.attn.c_attn.weight",
        ),
        ("llama", {"model.layers.0.mlp.up_proj.weight": None}, "no tensor model.layers.0.mlp.up_proj.weight"),
        ("llama", {"lm_head.weight": None}, "no tensor lm_head.weight"),
        (
            "gpt2",
            {"transformer.wpe.weight": torch.zeros(9, 32)},
            r"wpe.weight is \(9, 32\).* asks for \(20, 32\)",
        ),
        # transposed to Llama's layout: a square matrix would load unnoticed, this one must not
        ("gpt2", {"transformer.h.0.mlp.c_fc.weight": torch.zeros(128, 32)}, r"c_fc.weight is \(128, 32\)"),
        (
            "llama",
            {"model.layers.1.self_attn.k_proj.weight": torch.zeros(16, 32)},
            r"k_proj.weight is \(16, 32\)",
        ),
        ("llama", {"model.layers.2.input_layernorm.weight": torch.zeros(32)}, "1 tensors .*model.layers.2"),
        ("gpt2", {"lm_head.weight": torch.zeros(71, 32)}, "tie_word_embeddings"),
    ],
)
def test_tensors_that_do_not_fit_the_config_are_refused_by_name(
    kind: str, change: dict[str, Tensor | None], sentence: str, tmp_path: Path
) -> None:
    peer(kind).save_pretrained(tmp_path)
    change_tensors(tmp_path, change)
    with pytest.raises(ValueError, match=sentence):
        huggingface.load(tmp_path, "cpu")


def test_a_shared_matrix_that_the_file_holds_twice_is_loaded(tmp_path: Path) -> None:
    theirs = peer("gpt2")
    theirs.save_pretrained(tmp_path)
    change_tensors(tmp_path, {"lm_head.weight": theirs.lm_head.weight.detach().clone()})
    assert_equal_logits(huggingface.load(tmp_path, "cpu"), theirs)


def test_pickled_weights_are_never_opened(tmp_path: Path) -> None:
    peer("gpt2").save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin, a pickle.* get the model as model\.safetensors"):
        huggingface.load(tmp_path, "cpu")


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.json is missing"):
        huggingface.load(tmp_path, "cpu")
    (tmp_path / "config.json").write_text("{ half", encoding="utf-8")
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        huggingface.load(tmp_path, "cpu")
    peer("llama").save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    content = weights.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"PK\x03\x04 not safetensors"):
        weights.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
            huggingface.load(tmp_path, "cpu")
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors is missing"):
        huggingface.load(tmp_path, "cpu")


def test_an_index_may_only_name_files_beside_it(tmp_path: Path) -> None:
    peer("gpt2").save_pretrained(tmp_path / "inside")
    (tmp_path / "inside" / "model.safetensors").rename(tmp_path / "outside.safetensors")
    for listed in ({"weight_map": {"a": "../outside.safetensors"}}, {"weight_map": {"a": 3}}, {}):
        (tmp_path / "inside" / "model.safetensors.index.json").write_text(json.dumps(listed), encoding="utf-8")
        with pytest.raises(ValueError, match="weight_map"):
            huggingface.load(tmp_path / "inside", "cpu")


# --- models by name ---


def test_a_name_is_fetched_without_any_file_that_could_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = peer("gpt2")
    theirs.save_pretrained(tmp_path)
    asked = {}

    def snapshot_download(name: str, allow_patterns: list[str]) -> str:
        asked[name] = allow_patterns
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert_equal_logits(huggingface.load("somebody/small-gpt2", "cpu"), theirs)
    assert list(asked) == ["somebody/small-gpt2"]
    assert all(pattern.endswith((".json", ".safetensors")) for pattern in asked["somebody/small-gpt2"])


def test_without_internet_a_name_gives_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConnectionError, match="check the internet connection, or give a folder"):
        huggingface.load("openai-community/gpt2", "cpu")


def test_a_name_that_nobody_has_gives_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    def snapshot_download(name: str, allow_patterns: list[str]) -> str:
        raise RepositoryNotFoundError.__new__(RepositoryNotFoundError)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(FileNotFoundError, match=r'neither a folder "gtp2" .* check the spelling'):
        huggingface.load("gtp2", "cpu")


def test_without_the_package_a_name_gives_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModuleNotFoundError, match="pip install huggingface_hub"):
        huggingface.load("gpt2", "cpu")


@pytest.mark.parametrize("path", ["models/gpt2/small", "/nowhere/gpt2", "./gpt2", "~/gpt2", r"C:\models\gpt2"])
def test_a_path_that_does_not_exist_is_never_looked_up_on_the_internet(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # asking it would raise ModuleNotFoundError
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        huggingface.load(path, "cpu")


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": "16"},
        {"num_attention_heads": 0},
        {"rope_parameters": "linear"},
        {"rope_parameters": None, "rope_theta": None},
        {"model_type": ["llama"]},
        {"intermediate_size": 7},
    ],
    ids=str,
)
def test_a_config_with_entries_of_the_wrong_kind_is_a_sentence_that_names_the_folder(
    change: dict[str, Any], tmp_path: Path
) -> None:
    huggingface.save(GPT(GPTConfig.llama(vocab_size=50, context_length=32, n_layer=1, d_model=16)), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(ValueError) as error:
        huggingface.load(tmp_path)
    assert str(tmp_path) in str(error.value)
