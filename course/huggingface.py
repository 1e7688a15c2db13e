"""Other people's weights: GPT-2 and Llama checkpoints of Hugging Face, in and out of the course's GPT.

A checkpoint is two things: the shape (config.json) and a list of named tensors (model.safetensors). Their
models compute what ours computes, so that loading one is a matter of names: the table in `weights` says,
tensor by tensor, what each is called there, and where several of theirs are one of ours.

    ours                    GPT-2                              Llama
    attention.qkv           attn.c_attn (fused, transposed)    self_attn.q_proj, k_proj, v_proj
    mlp.up                  mlp.c_fc (transposed)              mlp.gate_proj, mlp.up_proj

Only safetensors are read: the older *.bin files are pickles, and opening a pickle can run any program.
Radford et al. 2019 (GPT-2); Touvron et al. 2023, "LLaMA", arXiv:2302.13971.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save_file
from torch import Tensor

from course.runtime import pick_device
from course.transformer import GPT, GPTConfig

INDEX = "model.safetensors.index.json"  # of a checkpoint in several files
WEIGHTS = "model.safetensors"
# Not weights: the causal mask and the rotary frequencies, which early checkpoints stored beside them.
CONSTANTS = re.compile(r"(^|\.)(attn\.bias|attn\.masked_bias|rotary_emb\.inv_freq)$")


@dataclass(frozen=True)
class Weight:
    """One tensor of ours and what it is made of there: `theirs`, one below the other.

    rows: the height of each of theirs, when they are several.
    transposed: theirs is (in, out), where ours is (out, in).
    """

    ours: str
    theirs: tuple[str, ...]
    rows: tuple[int, ...] = ()
    transposed: bool = False


def weights(config: GPTConfig) -> Iterator[Weight]:
    """The table of names for a GPT of this shape. Raises ValueError as `model_type`."""
    return gpt2_weights(config) if model_type(config) == "gpt2" else llama_weights(config)


def gpt2_weights(config: GPTConfig) -> Iterator[Weight]:
    """GPT-2's names. Its "Conv1D" computes x W + b with W as (in, out): our matrices, transposed."""
    yield Weight("token_embedding.weight", ("transformer.wte.weight",))
    yield Weight("position_embedding.weight", ("transformer.wpe.weight",))
    for i in range(config.n_layer):
        ours, theirs = f"blocks.{i}", f"transformer.h.{i}"
        for part in ("weight", "bias"):
            matrix = part == "weight"
            yield Weight(f"{ours}.norm1.{part}", (f"{theirs}.ln_1.{part}",))
            yield Weight(f"{ours}.attention.qkv.{part}", (f"{theirs}.attn.c_attn.{part}",), transposed=matrix)
            yield Weight(f"{ours}.attention.out.{part}", (f"{theirs}.attn.c_proj.{part}",), transposed=matrix)
            yield Weight(f"{ours}.norm2.{part}", (f"{theirs}.ln_2.{part}",))
            yield Weight(f"{ours}.mlp.up.{part}", (f"{theirs}.mlp.c_fc.{part}",), transposed=matrix)
            yield Weight(f"{ours}.mlp.down.{part}", (f"{theirs}.mlp.c_proj.{part}",), transposed=matrix)
    yield Weight("norm.weight", ("transformer.ln_f.weight",))
    yield Weight("norm.bias", ("transformer.ln_f.bias",))
    if not config.tie_embeddings:
        yield Weight("head.weight", ("lm_head.weight",))


def llama_weights(config: GPTConfig) -> Iterator[Weight]:
    """Llama's names. Its rotary pairs are (i, i + d_head/2), as ours, so q and k need no reordering."""
    n_q, n_kv = config.n_head * config.d_head, config.kv_heads * config.d_head
    yield Weight("token_embedding.weight", ("model.embed_tokens.weight",))
    for i in range(config.n_layer):
        ours, theirs = f"blocks.{i}", f"model.layers.{i}"
        q, k, v = (f"{theirs}.self_attn.{name}_proj.weight" for name in "qkv")
        gate, up = (f"{theirs}.mlp.{name}_proj.weight" for name in ("gate", "up"))
        yield Weight(f"{ours}.norm1.weight", (f"{theirs}.input_layernorm.weight",))
        yield Weight(f"{ours}.attention.qkv.weight", (q, k, v), rows=(n_q, n_kv, n_kv))
        yield Weight(f"{ours}.attention.out.weight", (f"{theirs}.self_attn.o_proj.weight",))
        yield Weight(f"{ours}.norm2.weight", (f"{theirs}.post_attention_layernorm.weight",))
        yield Weight(f"{ours}.mlp.up.weight", (gate, up), rows=(config.width_ff, config.width_ff))
        yield Weight(f"{ours}.mlp.down.weight", (f"{theirs}.mlp.down_proj.weight",))
    yield Weight("norm.weight", ("model.norm.weight",))
    if not config.tie_embeddings:
        yield Weight("head.weight", ("lm_head.weight",))


def from_state(config: GPTConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors under our names, in our layout, for `GPT.load_state_dict`.

    state: tensors by their names, with or without the leading "transformer." or "model.".
    Raises ValueError that names the tensor when one is missing, left over or of another shape.
    """
    with torch.device("meta"):  # shapes alone, no memory
        shapes = {name: tuple(tensor.shape) for name, tensor in GPT(config).state_dict().items()}
    rest = {name: tensor for name, tensor in state.items() if not CONSTANTS.search(name)}
    found: dict[str, Tensor] = {}
    for weight in weights(config):
        height, *width = shapes[weight.ours]
        parts = []
        for name, rows in zip(weight.theirs, weight.rows or (height,), strict=True):
            shape = (rows, *width)
            parts.append(_take(rest, name, shape[::-1] if weight.transposed else shape))
        parts = [part.t() for part in parts] if weight.transposed else parts
        found[weight.ours] = parts[0] if len(parts) == 1 else torch.cat(parts)
    if config.tie_embeddings:
        embedding = found["token_embedding.weight"]
        head = rest.pop("lm_head.weight", embedding)  # some files hold the shared matrix twice
        if not torch.equal(head, embedding):
            raise ValueError(
                "The checkpoint's config.json sets tie_word_embeddings, but its lm_head.weight is another "
                "matrix than the embedding; set tie_word_embeddings to false there."
            )
        found["head.weight"] = embedding
    if rest:
        raise ValueError(
            f"The checkpoint holds {len(rest)} tensors that its config.json does not explain, such as "
            f"{min(rest)}; is it a GPT-2 or Llama language model, unchanged?"
        )
    return found


def _take(rest: dict[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    short = name.removeprefix("transformer.").removeprefix("model.")
    tensor = rest.pop(name) if name in rest else rest.pop(short, None)
    if tensor is None:
        raise ValueError(
            f"The checkpoint has no tensor {name}; it is incomplete, or its config.json is another model's."
        )
    if tuple(tensor.shape) != shape:
        raise ValueError(
            f"The checkpoint's {name} is {tuple(tensor.shape)}, but its config.json asks for {shape}; "
            "the two files belong to different models."
        )
    return tensor


def to_state(model: GPT) -> dict[str, Tensor]:
    """Our weights under their names, in their layout: what `from_state` turns back.

    Raises ValueError for a model that is neither GPT-2 nor Llama.
    """
    ours = model.state_dict()
    state: dict[str, Tensor] = {}
    for weight in weights(model.config):
        tensor = ours[weight.ours].t() if weight.transposed else ours[weight.ours]
        parts = tensor.split(weight.rows) if weight.rows else (tensor,)
        state.update({name: part.contiguous() for name, part in zip(weight.theirs, parts, strict=True)})
    return state


def model_type(config: GPTConfig) -> str:
    """ "gpt2" or "llama". Raises ValueError for a mixture of both, which no Hugging Face model computes."""
    parts = (config.norm, config.activation, config.position, config.bias)
    if parts == ("layer", "gelu", "learned", True) and config.kv_heads == config.n_head:
        return "gpt2"
    if parts == ("rms", "swiglu", "rotary", False):
        return "llama"
    raise ValueError(
        f"norm={config.norm}, activation={config.activation}, position={config.position}, "
        f"bias={config.bias}, n_kv_head={config.kv_heads} is neither GPT-2 nor Llama; make the model with "
        "GPTConfig.gpt2 or GPTConfig.llama."
    )


# What a config.json may say, and what it means when it says nothing. Anything else would give other logits.
SUPPORTED: dict[str, dict[str, tuple[Any, ...]]] = {
    "gpt2": {
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "add_cross_attention": (False,),
    },
    "llama": {"hidden_act": ("silu", "swish"), "attention_bias": (False,), "mlp_bias": (False,)},
}


def from_config(theirs: Mapping[str, Any]) -> GPTConfig:
    """The GPTConfig that a config.json describes. Raises ValueError that names the entry we cannot follow."""
    kind = theirs.get("model_type")
    if not isinstance(kind, str) or kind not in SUPPORTED:
        raise ValueError(f"model_type={kind!r} in config.json is not supported; the course reads gpt2 and llama.")
    for key, accepted in {**SUPPORTED[kind], "quantization_config": (None,)}.items():
        if theirs.get(key, accepted[0]) not in accepted:
            raise ValueError(
                f"{key}={theirs[key]!r} in config.json is not supported for {kind}; the course computes "
                f"{key}={accepted[0]!r} only."
            )
    try:
        return _from_gpt2(theirs) if kind == "gpt2" else _from_llama(theirs)
    except KeyError as missing:
        raise ValueError(f"config.json has no {missing.args[0]}, which a {kind} model needs.") from None
    except (TypeError, ZeroDivisionError) as problem:
        raise ValueError(f"config.json holds an entry of a wrong type ({problem}); fetch it again.") from None


def _from_gpt2(theirs: Mapping[str, Any]) -> GPTConfig:
    return GPTConfig.gpt2(
        vocab_size=theirs["vocab_size"],
        context_length=theirs["n_positions"],
        n_layer=theirs["n_layer"],
        n_head=theirs["n_head"],
        d_model=theirs["n_embd"],
        d_ff=theirs.get("n_inner"),
        tie_embeddings=theirs.get("tie_word_embeddings", True),
        norm_eps=float(theirs.get("layer_norm_epsilon", 1e-5)),
    )


def _from_llama(theirs: Mapping[str, Any]) -> GPTConfig:
    # Since version 5 of transformers, rope_parameters holds what were rope_theta and rope_scaling.
    rope = {**(theirs.get("rope_scaling") or {}), **(theirs.get("rope_parameters") or {})}
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    partial = rope.get("partial_rotary_factor", theirs.get("partial_rotary_factor")) or 1.0
    if rope_type != "default" or partial != 1.0:
        raise ValueError(
            f"rope_type={rope_type!r} (partial_rotary_factor={partial}) in config.json's rope_parameters or "
            "rope_scaling is not supported; the course computes plain rotary positions only."
        )
    d_head = theirs["hidden_size"] // theirs["num_attention_heads"]
    if (theirs.get("head_dim") or d_head) != d_head:
        raise ValueError(
            f"head_dim={theirs['head_dim']} in config.json is not supported; the course divides hidden_size="
            f"{theirs['hidden_size']} among {theirs['num_attention_heads']} heads, which gives {d_head}."
        )
    return GPTConfig.llama(
        vocab_size=theirs["vocab_size"],
        context_length=theirs.get("max_position_embeddings", 2048),
        n_layer=theirs["num_hidden_layers"],
        n_head=theirs["num_attention_heads"],
        n_kv_head=theirs.get("num_key_value_heads"),
        d_model=theirs["hidden_size"],
        d_ff=theirs["intermediate_size"],
        tie_embeddings=theirs.get("tie_word_embeddings", False),
        norm_eps=float(theirs.get("rms_norm_eps", 1e-6)),
        rope_base=float(rope.get("rope_theta", theirs.get("rope_theta", 10000.0))),
    )


def to_config(config: GPTConfig) -> dict[str, Any]:
    """The entries of config.json for this shape: what `from_config` turns back."""
    if model_type(config) == "gpt2":
        return {
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "vocab_size": config.vocab_size,
            "n_positions": config.context_length,
            "n_layer": config.n_layer,
            "n_head": config.n_head,
            "n_embd": config.d_model,
            "n_inner": config.width_ff,
            "layer_norm_epsilon": config.norm_eps,
            "tie_word_embeddings": config.tie_embeddings,
        }
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.kv_heads,
        "hidden_size": config.d_model,
        "intermediate_size": config.width_ff,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_base},
        "tie_word_embeddings": config.tie_embeddings,
    }


def load(source: str | Path, device: torch.device | str | None = None) -> GPT:
    """A GPT-2 or Llama checkpoint as a course GPT, in float32, ready to be asked.

    source: a folder with config.json and model.safetensors (or several files and their index), else the name
    of a model on huggingface.co, such as "openai-community/gpt2", where there is internet.
    device: default as `runtime.pick_device`.
    Raises FileNotFoundError, ValueError, ConnectionError or ModuleNotFoundError with what to do.
    """
    folder = Path(source) if Path(source).is_dir() else download(str(source))
    theirs, tensors = _read_json(folder / "config.json"), read_tensors(folder)
    try:
        config = from_config(theirs)
        state = from_state(config, tensors)
    except ValueError as problem:
        raise ValueError(f"The model in {folder} cannot be loaded: {problem}") from None
    model = GPT(config)
    model.load_state_dict(state)  # float16 becomes float32 here
    return model.to(pick_device(None if device is None else str(device))).eval()


def save(model: GPT, folder: str | Path) -> Path:
    """Write config.json and model.safetensors into `folder`, so that `transformers` can load the model.

    Raises ValueError for a model that is neither GPT-2 nor Llama.
    """
    folder = Path(folder)
    config, state = to_config(model.config), to_state(model)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.cpu() for name, tensor in state.items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return folder


def download(name: str) -> Path:
    """Fetch a model's config.json and safetensors, nothing else, into Hugging Face's cache: their folder."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        raise FileNotFoundError(f"There is no folder {name}; give one that holds config.json and {WEIGHTS}.")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import RepositoryNotFoundError
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f'There is no folder "{name}", and to fetch the model of this name the package huggingface_hub '
            "is needed; give a folder, or install it: pip install huggingface_hub."
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=["config.json", "model*.safetensors", INDEX]))
    except RepositoryNotFoundError:
        raise FileNotFoundError(
            f'There is neither a folder "{name}" here nor an open model of this name on huggingface.co; '
            "check the spelling."
        ) from None
    except Exception as problem:  # offline, proxy, timeout: of many types
        raise ConnectionError(
            f'There is no folder "{name}", and huggingface.co did not send the model of this name '
            f"({type(problem).__name__}); check the internet connection, or give a folder."
        ) from problem


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint's safetensors, on the CPU. Raises FileNotFoundError or ValueError."""
    names = [WEIGHTS]
    if (folder / INDEX).exists() and not (folder / WEIGHTS).exists():
        listed = _read_json(folder / INDEX).get("weight_map")
        if not isinstance(listed, dict) or not all(
            isinstance(name, str) and name == PurePath(name).name for name in listed.values()
        ):
            raise ValueError(f'{folder / INDEX} has no "weight_map" of tensors to files beside it; fetch it again.')
        names = sorted(set(listed.values()))
    tensors: dict[str, Tensor] = {}
    for name in names:
        file = folder / name
        if not file.exists():
            pickles = sorted(folder.glob("*.bin"))
            if pickles:
                raise ValueError(
                    f"{folder} holds its weights as {pickles[0].name}, a pickle, and opening a pickle can "
                    f"run any program; get the model as {WEIGHTS}."
                )
            raise FileNotFoundError(f"{file} is missing; fetch the model's files again.")
        try:
            tensors.update(tensors_of(file.read_bytes()))  # not mapped: Windows locks a file while its tensors live
        except SafetensorError as problem:
            raise ValueError(f"{file} is damaged or no safetensors file ({problem}); fetch it again.") from None
    return tensors


def _read_json(file: Path) -> dict[str, Any]:
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing; a checkpoint needs it to say the model's shape.")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ValueError(f"{file} is damaged: it holds no JSON object; fetch it again.")
    return content
