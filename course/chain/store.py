"""The chain's artifacts: what one notebook makes and the next one starts from.

    tokenizer -> base -> sft -> reward -> assistant

Each is a checkpoint in a folder of its own name: the learner's in `home()`, those that came with the course
in `shipped_home()`. Who asks for an artifact gets the learner's own if there is one, else the shipped one,
and a sentence that says which. With it lies a card: the settings, seed, metrics and parents that made it.

A model is only as good as the tokenizer that it learned to read with: with any other it speaks nonsense. So
every model carries its tokenizer along, and `load_chain` hands out both together. A learner who trains a new
tokenizer keeps models that work, and is told which of them were made before it (they are "stale").

An artifact of the learner's that is damaged is never passed over in silence: `find` and `load_model` raise an
error that says how to make it again; `load_chain` gives the shipped one instead and says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course import __version__, checkpoint
from course.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from course.reward import RewardModel
    from course.transformer import GPT

KINDS = ("tokenizer", "base", "sft", "reward", "assistant")
NAMES = dict(zip(KINDS, ("tokenizer", "base model", "SFT model", "reward model", "assistant"), strict=True))
PARENTS: dict[str, tuple[str, ...]] = {
    "tokenizer": (),
    "base": ("tokenizer",),
    "sft": ("base",),
    "reward": ("sft",),
    "assistant": ("sft", "reward"),
}
HEADLINES = {  # the metric that tells most about each kind, and how to say it
    "tokenizer": ("bytes_per_token", "{:.1f} bytes per token"),
    "base": ("recall", "recall {:.0%}"),
    "sft": ("right_greedy", "{:.0%} right"),
    "reward": ("agreement", "agreement {:.0%}"),
    "assistant": ("win_rate", "preferred to the SFT model in {:.0%}"),
}


@dataclass(frozen=True)
class Card:
    """Where an artifact comes from.

    parents: kind -> SHA-256 of what it was made from. seconds: how long it took. made: the moment (ISO 8601,
    UTC). versions: of Python, torch and the course.
    """

    kind: str
    seed: int
    settings: dict[str, Any]
    metrics: dict[str, float]
    parents: dict[str, str]
    seconds: float
    made: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Artifact:
    """An artifact on the disk, checked. origin: "yours" or "shipped". sha256: of what it holds."""

    kind: str
    origin: str
    path: Path
    sha256: str
    card: Card


@dataclass(frozen=True)
class Row:
    """One line of `status`. state: "yours", "shipped", "stale", "damaged" or "missing".

    detail: a sentence on what there is. todo: a sentence on what to do, "" when there is nothing to do.
    unfinished: a training of it was interrupted, and goes on when it is started again.
    """

    kind: str
    state: str
    detail: str
    todo: str
    unfinished: bool
    artifact: Artifact | None


def home() -> Path:
    """The folder of the learner's artifacts: the variable COURSE_HOME, else the system's place for data.

    Raises ValueError when COURSE_HOME is not a full path.
    """
    chosen = os.environ.get("COURSE_HOME")
    if chosen:
        try:
            folder = Path(chosen).expanduser()
        except RuntimeError:  # ~somebody
            folder = Path(chosen)
        if not folder.is_absolute():
            raise ValueError(
                f"COURSE_HOME={chosen} would be another folder in each working directory; give a full path, such as "
                f"{folder.absolute()}."
            )
        return folder
    import platformdirs

    return platformdirs.user_data_path("chatgpt-from-scratch", appauthor=False)


def shipped_home() -> Path:
    """The folder of the artifacts that came with the course."""
    return Path(__file__).parents[1] / "shipped"


def partial(kind: str, where: Path | None = None) -> Path:
    """Where a training of this kind keeps its state while it runs."""
    return (where or home()) / f"{_known(kind)}.partial"


# --- saving -------------------------------------------------------------------------------------------------


def save_tokenizer(
    tokenizer: Tokenizer,
    *,
    seed: int,
    settings: Mapping[str, Any],
    metrics: Mapping[str, float],
    seconds: float,
    where: Path | None = None,
) -> Artifact:
    """Save a tokenizer with its card in `where` (default: `home()`). OSError when it cannot be written."""
    card = _new_card("tokenizer", seed, settings, metrics, {}, seconds)
    return _save("tokenizer", None, {"tokenizer": tokenizer.to_dict()}, card, where)


def save_model(
    kind: str,
    model: GPT | RewardModel,
    *,
    seed: int,
    settings: Mapping[str, Any],
    metrics: Mapping[str, float],
    seconds: float,
    tokenizer: Tokenizer | None = None,
    parents: Mapping[str, str] | None = None,
    where: Path | None = None,
) -> Artifact:
    """Save a model with its card and its tokenizer, in `where` (default: `home()`).

    tokenizer: the one that the model was trained with. parents: kind -> sha256 of what it was trained from.
    Without them, those count that `load_chain` gives now. The learner's models are stored in float32, those
    to be shipped in float16. Raises ValueError when the model is of another kind, is not finite or does not
    fit the tokenizer; OSError when it cannot be written. What was there before is then unchanged.
    """
    import torch

    from course.reward import RewardModel

    if _known(kind) == "tokenizer" or isinstance(model, RewardModel) != (kind == "reward"):
        raise ValueError(f'A {type(model).__name__} cannot be saved as "{kind}"; save it as what it is.')
    if tokenizer is None or parents is None:
        found, inherited = _inherited(kind, where)
        tokenizer = tokenizer or found
        parents = inherited if parents is None else parents
    if tokenizer.vocab_size != model.config.vocab_size:
        raise ValueError(
            f"The model has vocab_size={model.config.vocab_size} and the tokenizer {tokenizer.vocab_size}: "
            "they do not belong together. Pass the one that it was trained with, as tokenizer=..."
        )
    weights = torch.float16 if _is_shipped(where) else torch.float32
    tensors = {
        name: tensor.detach().to(weights if tensor.dim() else torch.float32) for name, tensor in _state(model).items()
    }
    broken = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if broken:
        raise ValueError(
            f"The model's {broken[0]} is not finite, so it was not saved. Train it again, with a lower rate."
        )
    parents = {**parents, "tokenizer": tokenizer_hash(tokenizer)}
    card = _new_card(kind, seed, settings, metrics, parents, seconds)
    content = {"model": model.config.to_dict(), "tokenizer": tokenizer.to_dict()}
    return _save(kind, tensors, content, card, where)


def tokenizer_hash(tokenizer: Tokenizer) -> str:
    """SHA-256 of what a tokenizer has learned."""
    return hashlib.sha256(json.dumps(tokenizer.to_dict(), sort_keys=True).encode()).hexdigest()


def _new_card(
    kind: str,
    seed: int,
    settings: Mapping[str, Any],
    metrics: Mapping[str, float],
    parents: Mapping[str, str],
    seconds: float,
) -> Card:
    made = datetime.now(UTC).isoformat(timespec="seconds")
    versions = {
        "course": __version__,
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
    }
    return Card(kind, seed, dict(settings), dict(metrics), dict(parents), round(seconds, 1), made, versions)


def _save(
    kind: str,
    tensors: Mapping[str, Tensor] | None,
    content: Mapping[str, Any],
    card: Card,
    where: Path | None,
) -> Artifact:
    folder = (where or home()) / kind
    checkpoint.save(folder, tensors, {"kind": kind, "card": asdict(card), **content})
    return _artifact(kind, folder)


def _state(model: nn.Module) -> dict[str, Tensor]:
    """A model's numbers by name; a matrix that two parts share once, under its first name."""
    return dict(model.named_parameters()) | {
        name: tensor for name, tensor in model.state_dict().items() if name in dict(model.named_buffers())
    }


# --- finding ------------------------------------------------------------------------------------------------


def find(kind: str, origin: str | None = None, where: Path | None = None) -> Artifact:
    """The artifact that a notebook would start from, its files checked.

    origin: "yours" or "shipped" for that one only. where: look in this folder only.
    Raises FileNotFoundError when there is none, ValueError when it is damaged; both say what to do.
    """
    for folder in _folders(kind, origin, where):
        if checkpoint.exists(folder):
            return _artifact(kind, folder)
    raise FileNotFoundError(_missing(kind, origin, where))


def exists(kind: str, origin: str | None = None, where: Path | None = None) -> bool:
    """Is there such an artifact, whole or damaged? The arguments are those of `find`."""
    return any(checkpoint.exists(folder) for folder in _folders(kind, origin, where))


def made_since(kind: str, time: float, where: Path | None = None) -> bool:
    """Was the learner's own artifact, or the one in `where`, saved at this time (seconds since 1970) or later?"""
    path = (where or home()) / _known(kind) / checkpoint.CONFIG
    return path.exists() and path.stat().st_mtime >= time


def stale(artifact: Artifact, where: Path | None = None) -> list[str]:
    """The parents' kinds in whose place there is now another one than it was made from; [] if it is fresh.

    A parent of the learner's that is itself stale counts too. where: the folder in which the parents are looked for
    first; after it come the learner's own and the shipped ones.
    """
    changed = []
    for kind in PARENTS[artifact.kind]:
        present, _ = _choose(kind, where)
        if present is None:
            continue
        outlived = present.origin == "yours" and bool(stale(present, where))
        if outlived or present.sha256 != artifact.card.parents.get(kind):
            changed.append(kind)
    return changed


def describe(kind: str) -> str:
    """One sentence on the artifact that a notebook would start from. Raises as `find` does."""
    return _sentence(find(kind))


def status() -> list[Row]:
    """The chain as the learner has it, one row per kind."""
    return [_row(kind) for kind in KINDS]


def _row(kind: str) -> Row:
    unfinished = False
    build = f"`course build {kind}`"
    try:
        unfinished = checkpoint.exists(partial(kind))
        artifact = find(kind)
    except FileNotFoundError:
        detail = f"There is no {NAMES[kind]} yet, neither yours nor one shipped with the course."
        return Row(kind, "missing", detail, f"{build} makes it.", unfinished, None)
    except (ValueError, OSError) as error:
        todo = f"Make it again with {build[:-1]} --force`."
        if isinstance(error, PermissionError):
            todo = "Give yourself the right to read it, or let the variable COURSE_HOME name another folder."
        return Row(kind, "damaged", str(error), todo, unfinished, None)
    detail = _sentence(artifact)
    changed = stale(artifact)
    if not changed:
        return Row(kind, artifact.origin, detail, "", unfinished, artifact)
    parents = " and ".join(NAMES[parent] for parent in changed)
    if artifact.origin == "yours":
        todo = f"It was made from an earlier {parents}; {build[:-1]} --force` makes it again."
        return Row(kind, "stale", detail, todo, unfinished, artifact)
    todo = f"It was not made from your {parents}; {build} makes your own."
    if any("text" in find(parent).card.settings for parent in changed):
        todo = (
            f"It was not made from your {parents}, which read a text of your own: nothing there answers questions "
            "about countries. `course build --force` trains the course's chain again; --into keeps them apart."
        )
    return Row(kind, "shipped", detail, todo, unfinished, artifact)


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f'There is no artifact of the kind "{kind}"; the kinds are {", ".join(KINDS)}.')
    return kind


def _is_shipped(where: Path | None) -> bool:
    return where is not None and where.resolve() == shipped_home().resolve()


def _folders(kind: str, origin: str | None, where: Path | None) -> list[Path]:
    """Where to look for an artifact, in this order."""
    if where is not None:
        return [where / _known(kind)]
    homes = {"yours": home(), "shipped": shipped_home()}
    if origin is not None and origin not in homes:
        raise ValueError(f'origin="{origin}" is unknown; it is "yours" or "shipped".')
    return [folder / _known(kind) for name, folder in homes.items() if origin in (None, name)]


def _artifact(kind: str, folder: Path) -> Artifact:
    """The artifact in a folder. Raises ValueError when it is damaged or of another kind."""
    try:
        config = checkpoint.inspect(folder, expect=kind)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"{error} The command `course build {kind} --force` does that.") from None
    origin = "shipped" if _is_shipped(folder.parent) else "yours"
    try:
        if set(config["card"]) != {field.name for field in fields(Card)}:
            raise KeyError("card")
        card = Card(**config["card"])
        sha256 = config.get("tensors_sha256") or tokenizer_hash(Tokenizer.from_dict(config["tokenizer"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder / checkpoint.CONFIG} lacks what a saved {NAMES[kind]} needs ({error}). Make it again "
            f"with `course build {kind} --force`."
        ) from None
    return Artifact(kind, origin, folder, sha256, card)


def _missing(kind: str, origin: str | None, where: Path | None) -> str:
    looked = " nor in ".join(str(folder) for folder in _folders(kind, origin, where))
    return f"There is no {NAMES[kind]} in {looked}: make it with `course build {kind}`, or in its notebook."


def _choose(kind: str, where: Path | None = None) -> tuple[Artifact | None, str]:
    """The artifact to start from, None if none is whole; and a sentence if another one was expected.

    In `where` first, if given; then the learner's own; then the shipped one, also when the learner's is
    damaged. What is to be shipped is made of shipped parts alone.
    """
    places = [shipped_home()] if _is_shipped(where) else [*([where] if where else []), home(), shipped_home()]
    complaint = ""
    for place in places:
        try:
            if checkpoint.exists(place / _known(kind)):
                return _artifact(kind, place / kind), complaint
        except (ValueError, OSError) as error:
            complaint = complaint or f"It is used because your own cannot be: {error}"
    return None, complaint


def _inherited(kind: str, where: Path | None) -> tuple[Tokenizer, dict[str, str]]:
    """The tokenizer and the parents of a model that was trained from the chain's present artifacts."""
    parents: dict[str, str] = {}
    tokenizer = None
    for parent in PARENTS[kind]:
        artifact, _ = _choose(parent, where)
        if artifact is None:
            raise FileNotFoundError(
                f"The {NAMES[kind]} is saved with a note of what it was made from, and there is no "
                f"{NAMES[parent]}. Save that one first, or pass tokenizer= and parents= to save_model."
            )
        parents[parent] = artifact.sha256
        tokenizer = tokenizer or Tokenizer.from_dict(checkpoint.inspect(artifact.path)["tokenizer"])
    assert tokenizer is not None
    return tokenizer, parents


def _sentence(artifact: Artifact) -> str:
    """ "Using your own base model (made 2026-11-23, recall 99%)." """
    metric, form = HEADLINES[artifact.kind]
    value = artifact.card.metrics.get(metric)
    notes = [form.format(value)] if value is not None else []
    if "text" in artifact.card.settings:
        notes.append("from a text of your own, not the world's")
    if artifact.origin == "yours":
        made = datetime.fromisoformat(artifact.card.made).astimezone().date()
        return f"Using your own {NAMES[artifact.kind]} ({', '.join([f'made {made}', *notes])})."
    return f"Using the {NAMES[artifact.kind]} shipped with the course{f' ({notes[0]})' if notes else ''}."


# --- loading ------------------------------------------------------------------------------------------------


def load_tokenizer(origin: str | None = None, where: Path | None = None) -> Tokenizer:
    """The learner's tokenizer if there is one, else the shipped one. Arguments and errors: see `find`.

    For use with a model, take `load_chain`: it gives the tokenizer that the model knows.
    """
    artifact = find("tokenizer", origin, where)
    return Tokenizer.from_dict(checkpoint.inspect(artifact.path, expect="tokenizer")["tokenizer"])


def load_model(
    kind: str, device: torch.device | str | None = None, origin: str | None = None, where: Path | None = None
) -> Any:
    """A GPT (a RewardModel for "reward") in float32, in eval mode, on `device` (default: `pick_device()`).

    origin, where and errors: those of `find`.
    """
    return _load(find(kind, origin, where), device)[1]


def load_chain(
    kind: str, device: torch.device | str | None = None, origin: str | None = None, where: Path | None = None
) -> tuple[Tokenizer, Any, str]:
    """A model, the tokenizer that it was trained with, and a sentence or two that say which they are.

    When the learner's own model is damaged, the shipped one is given, and the text says so and what to do;
    with `origin` or `where`, only that place counts. Raises FileNotFoundError when there is no model,
    ValueError when there is none that is whole.
    """
    if origin is not None or where is not None:
        artifact, complaint = find(kind, origin, where), ""
    else:
        chosen, complaint = _choose(kind)
        artifact = chosen or find(kind)  # which says what is missing or damaged
    tokenizer, model = _load(artifact, device)
    sentences = [_sentence(artifact), complaint, _about_tokenizer(artifact)]
    return tokenizer, model, " ".join(filter(None, sentences))


def load_together(*kinds: str, device: torch.device | str | None = None) -> tuple[Tokenizer, tuple[Any, ...], str]:
    """Several models that read the same tokens (PPO needs "sft" and "reward"), and sentences that say which.

    When the learner's own and the shipped ones read different tokens, the shipped ones are given together,
    and the text says so and what to do. Raises as `load_chain` does, and ValueError when none fit together.
    """
    loaded = [load_chain(kind, device) for kind in kinds]
    note = ""
    if len({tokenizer_hash(tokenizer) for tokenizer, _, _ in loaded}) > 1:
        names = " and ".join(NAMES[kind] for kind in kinds)
        advice = f"`course build {' '.join(kinds)}` makes your own {names} from one tokenizer."
        note = f"Your own cannot be used, because {names} would read different tokens; {advice}"
        if not all(exists(kind, "shipped") for kind in kinds):
            raise ValueError(f"The {names} cannot work together: they read different tokens. {advice}")
        loaded = [load_chain(kind, device, "shipped") for kind in kinds]
    models = tuple(model for _, model, _ in loaded)
    return loaded[0][0], models, " ".join([*(text for _, _, text in loaded), *([note] if note else [])])


def _about_tokenizer(artifact: Artifact) -> str:
    """A sentence for a learner whose present tokenizer is not the model's; else ""."""
    present, _ = _choose("tokenizer")
    if present is None or present.sha256 == artifact.card.parents.get("tokenizer"):
        return ""
    whose = "your tokenizer" if present.origin == "yours" else "the tokenizer shipped with the course"
    return (
        f"It learned with another tokenizer than {whose}, and is used with the one that it knows; "
        f"`course build base sft reward assistant` trains models for {whose}."
    )


def _load(artifact: Artifact, device: torch.device | str | None) -> tuple[Tokenizer, GPT | RewardModel]:
    """The tokenizer and the model of a checked artifact."""
    import torch

    from course.reward import RewardModel
    from course.runtime import pick_device
    from course.transformer import GPT, GPTConfig

    if artifact.kind == "tokenizer":
        raise ValueError('The "tokenizer" is no model; load it with load_tokenizer().')
    tensors, config = checkpoint.load(artifact.path, expect=artifact.kind)
    advice = f"Make it again with `course build {artifact.kind} --force`."
    try:
        tokenizer = Tokenizer.from_dict(config["tokenizer"])
        shape = GPTConfig.from_dict(config["model"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{artifact.path / checkpoint.CONFIG} describes no model ({error}). {advice}") from None
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn, and then replaced
        gpt = GPT(shape)
        model = RewardModel(gpt) if artifact.kind == "reward" else gpt
    expected = _state(model)
    wrong = sorted(set(expected) ^ set(tensors)) or [n for n, t in tensors.items() if t.shape != expected[n].shape]
    if wrong:
        raise ValueError(f"{artifact.path / checkpoint.TENSORS} does not fit its config at {wrong[0]}. {advice}")
    with torch.no_grad():
        for name, tensor in tensors.items():
            expected[name].copy_(tensor)  # float16 becomes float32
    return tokenizer, model.to(pick_device(None if device is None else str(device))).eval()
