"""The store: own before shipped, nothing in silence, and every model with the tokenizer that it knows."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from course import checkpoint
from course.chain import store
from course.reward import RewardModel
from course.tokenizer import Tokenizer
from course.transformer import GPT, GPTConfig

FACTS: dict[str, Any] = {"seed": 3, "settings": {"steps": 7, "betas": (0.9, 0.95)}, "seconds": 12.34}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The course's own folder of artifacts, empty: the real one is not to be touched."""
    folder = tmp_path / "shipped"
    monkeypatch.setattr(store, "shipped_home", lambda: folder)
    return folder


def tokenizer_of(text: str = "the cat sat on the mat and the dog sat on the log") -> Tokenizer:
    return Tokenizer.train([text * 3], 272)


def gpt(tokenizer: Tokenizer, seed: int = 0, **settings: Any) -> GPT:
    config = GPTConfig(vocab_size=tokenizer.vocab_size, context_length=16, n_layer=1, n_head=2, d_model=16, **settings)
    return GPT(config, torch.Generator().manual_seed(seed))


def reward_model(tokenizer: Tokenizer, seed: int = 0) -> RewardModel:
    model = RewardModel(gpt(tokenizer, seed))
    nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(seed))
    model.normalise(torch.tensor([1.0, 2.5, 4.0]))
    return model


def make(kind: str, where: Path | None = None, seed: int = 0, **metrics: float) -> store.Artifact:
    """An artifact made from the parents that are there."""
    if kind == "tokenizer":
        return store.save_tokenizer(tokenizer_of(), metrics=metrics, where=where, **FACTS)
    parent = store.PARENTS[kind][0]
    if parent == "tokenizer":
        tokenizer = store.load_tokenizer(where=where)
    else:
        tokenizer = store.load_chain(parent, "cpu", where=where)[0]
    model = reward_model(tokenizer, seed) if kind == "reward" else gpt(tokenizer, seed)
    return store.save_model(kind, model, metrics=metrics, where=where, **FACTS)


def make_chain(where: Path | None = None, seed: int = 0) -> None:
    for number, kind in enumerate(store.KINDS, seed):
        make(kind, where, number)


def states() -> dict[str, str]:
    return {row.kind: row.state for row in store.status()}


def harm(folder: Path, name: str = "model.safetensors") -> None:
    data = bytearray((folder / name).read_bytes())
    data[-2] ^= 1
    (folder / name).write_bytes(data)


# --- places -------------------------------------------------------------------------------------------------


def test_home_is_what_the_variable_says_else_the_users_folder_for_data(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "mine"))
    assert store.home() == tmp_path / "mine"
    monkeypatch.setenv("COURSE_HOME", os.path.join("~", "models"))
    assert store.home() == Path.home() / "models"
    monkeypatch.delenv("COURSE_HOME")
    assert store.home().name == "chatgpt-from-scratch"
    assert store.home().is_absolute()


def test_shipped_artifacts_lie_in_the_package():
    assert store.shipped_home() == Path(store.__file__).parents[1] / "shipped"


def test_each_kind_trains_in_a_folder_of_its_own(tmp_path):
    folders = {store.partial(kind) for kind in store.KINDS}
    assert len(folders) == len(store.KINDS) and all(folder.parent == store.home() for folder in folders)
    assert store.partial("base", tmp_path / "elsewhere").parent == tmp_path / "elsewhere"


@pytest.mark.parametrize("call", [store.find, store.load_model, store.partial, store.describe, store.exists])
def test_an_unknown_kind_is_a_sentence(call):
    with pytest.raises(ValueError, match=r'no artifact of the kind "gpt5"; the kinds are tokenizer, base'):
        call("gpt5")


def test_an_unknown_origin_is_a_sentence():
    with pytest.raises(ValueError, match='origin="theirs" is unknown'):
        store.find("base", "theirs")


# --- what is saved comes back -------------------------------------------------------------------------------


def test_a_tokenizer_comes_back_with_its_card(shipped):
    made = store.save_tokenizer(tokenizer_of(), metrics={"bytes_per_token": 2.5}, **FACTS)
    assert store.load_tokenizer().merges == tokenizer_of().merges
    found = store.find("tokenizer")
    assert found == made
    assert (found.kind, found.origin, found.path) == ("tokenizer", "yours", store.home() / "tokenizer")
    assert found.card.seed == 3 and found.card.settings == {"steps": 7, "betas": [0.9, 0.95]}
    assert found.card.metrics == {"bytes_per_token": 2.5} and found.card.seconds == 12.3
    assert found.card.parents == {}
    assert set(found.card.versions) == {"course", "python", "torch"}
    age = datetime.now().astimezone() - datetime.fromisoformat(found.card.made)
    assert timedelta(seconds=-2) < age < timedelta(minutes=5)


@pytest.mark.parametrize(
    "settings", [{}, {"tie_embeddings": False, "bias": False, "position": "rotary", "norm": "rms"}]
)
def test_a_gpt_comes_back_number_for_number_and_answers_the_same(shipped, settings):
    make("tokenizer")
    model = gpt(tokenizer_of(), seed=5, **settings)
    store.save_model("base", model, metrics={}, **FACTS)
    state = torch.get_rng_state()
    again = store.load_model("base", "cpu")
    assert torch.equal(state, torch.get_rng_state()), "loading draws from nobody's chances"
    assert not again.training
    assert again.config == model.config
    tokens = torch.randint(272, (2, 16), generator=torch.Generator().manual_seed(0)).clamp_max(
        model.config.vocab_size - 1
    )
    assert torch.equal(again(tokens), model(tokens))
    if model.config.tie_embeddings:
        assert again.head.weight is again.token_embedding.weight


def test_a_reward_model_comes_back_with_its_scale(shipped):
    make_chain()
    again = store.load_model("reward", "cpu")
    model = reward_model(tokenizer_of(), store.KINDS.index("reward"))
    tokens, lengths = torch.arange(24).view(2, 12), torch.tensor([12, 7])
    assert isinstance(again, RewardModel)
    assert torch.equal(again(tokens, lengths), model(tokens, lengths))
    assert again.shift == 2.5 and again.scale == 1.5


def test_what_is_shipped_is_stored_in_half_the_bytes_and_loaded_in_float32(shipped):
    make("tokenizer", shipped)
    make("base", shipped)
    make("tokenizer")
    make("base")
    sizes = [(folder / "base" / "model.safetensors").stat().st_size for folder in (shipped, store.home())]
    tensors, _ = checkpoint.load(shipped / "base")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert 0.45 < sizes[0] / sizes[1] < 0.6
    theirs, ours = store.load_model("base", "cpu", "shipped"), store.load_model("base", "cpu", "yours")
    for one, other in zip(theirs.parameters(), ours.parameters(), strict=True):
        assert one.dtype == other.dtype == torch.float32
        assert torch.equal(one, other.half().float())


def test_the_scale_of_a_shipped_reward_model_keeps_its_precision(shipped):
    for kind in ("tokenizer", "base", "sft"):
        make(kind, shipped)
    model = reward_model(store.load_tokenizer())
    model.shift.fill_(1.2345678)
    store.save_model("reward", model, metrics={}, where=shipped, **FACTS)
    assert store.load_model("reward", "cpu").shift == model.shift


def test_a_chain_names_its_parents_by_hash(shipped):
    make_chain()
    hashes = {kind: store.find(kind).sha256 for kind in store.KINDS}
    assert len(set(hashes.values())) == len(store.KINDS)
    for kind, parents in store.PARENTS.items():
        expected = {parent: hashes[parent] for parent in parents}
        if kind != "tokenizer":
            expected["tokenizer"] = hashes["tokenizer"]
        assert store.find(kind).card.parents == expected


# --- refusals -----------------------------------------------------------------------------------------------


def test_a_model_saved_as_another_kind_is_refused(shipped):
    make_chain()
    tokenizer = tokenizer_of()
    for kind, model in [("reward", gpt(tokenizer)), ("sft", reward_model(tokenizer)), ("tokenizer", gpt(tokenizer))]:
        with pytest.raises(ValueError, match=f'cannot be saved as "{kind}"'):
            store.save_model(kind, model, metrics={}, **FACTS)


def test_a_model_that_learned_nothing_but_nan_does_not_replace_a_good_one(shipped):
    make_chain()
    before = store.find("base")
    broken = gpt(tokenizer_of())
    with torch.no_grad():
        broken.norm.weight[0] = torch.nan
    with pytest.raises(ValueError, match=r"norm\.weight is not finite, so it was not saved"):
        store.save_model("base", broken, metrics={}, **FACTS)
    assert store.find("base") == before


def test_weights_too_large_for_float16_are_not_shipped(shipped):
    make("tokenizer", shipped)
    model = gpt(tokenizer_of())
    with torch.no_grad():
        model.norm.weight[0] = 1e6
    with pytest.raises(ValueError, match="not finite"):
        store.save_model("base", model, metrics={}, where=shipped, **FACTS)
    assert not store.exists("base")


def test_a_model_of_another_vocabulary_is_refused_with_both_numbers(shipped):
    make("tokenizer")
    small = Tokenizer.train(["abcabc"], 262)
    with pytest.raises(
        ValueError, match=f"vocab_size={small.vocab_size} and the tokenizer {tokenizer_of().vocab_size}"
    ):
        store.save_model("base", gpt(small), metrics={}, **FACTS)
    made = store.save_model("base", gpt(small), tokenizer=small, metrics={}, **FACTS)
    assert made.card.parents["tokenizer"] == store.tokenizer_hash(small)


def test_a_model_without_an_origin_is_refused_until_it_is_given_one(shipped):
    tokenizer = tokenizer_of()
    with pytest.raises(FileNotFoundError, match=r"there is no base model\. Save that one first, or pass tokenizer="):
        store.save_model("sft", gpt(tokenizer), metrics={}, **FACTS)
    made = store.save_model("sft", gpt(tokenizer), tokenizer=tokenizer, parents={}, metrics={}, **FACTS)
    assert store.load_chain("sft", "cpu")[0].merges == tokenizer.merges
    assert set(made.card.parents) == {"tokenizer"}


def test_a_full_disk_leaves_the_artifact_that_was_there(shipped, monkeypatch):
    make_chain()
    before = store.find("base")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"base could not be written; there is no room left on the disk"):
            make("base", seed=9)
    assert store.find("base") == before
    assert states() == dict.fromkeys(store.KINDS, "yours")


@pytest.mark.parametrize("missing", ["card", "model", "tokenizer"])
def test_a_config_without_its_parts_is_a_sentence(shipped, missing):
    make_chain()
    tensors, config = checkpoint.load(store.home() / "base")
    kept = {key: value for key, value in config.items() if key not in (*checkpoint.RESERVED, missing)}
    checkpoint.save(store.home() / "base", tensors, kept)
    with pytest.raises(ValueError, match=r"config\.json .*Make it again with `course build base --force`"):
        store.load_model("base", "cpu")


def test_weights_that_do_not_fit_their_config_are_a_sentence(shipped):
    make_chain()
    tensors, config = checkpoint.load(store.home() / "base")
    kept = {key: value for key, value in config.items() if key not in checkpoint.RESERVED}
    for changed in (
        {**tensors, "norm.weight": torch.ones(3)},
        {**tensors, "surplus": torch.ones(3)},
        {name: tensor for name, tensor in tensors.items() if name != "norm.weight"},
    ):
        checkpoint.save(store.home() / "base", changed, kept)
        with pytest.raises(ValueError, match=r"model\.safetensors does not fit its config at (norm\.weight|surplus)"):
            store.load_model("base", "cpu")


def test_an_artifact_in_the_folder_of_another_kind_is_refused(shipped):
    make_chain()
    (store.home() / "sft").rename(store.home() / "away")
    (store.home() / "base").rename(store.home() / "sft")
    with pytest.raises(ValueError, match=r'of the kind "base", and "sft" is expected.*course build sft --force'):
        store.load_model("sft", "cpu")


# --- own and shipped ----------------------------------------------------------------------------------------


def test_the_shipped_one_is_used_until_there_is_an_own_one_and_the_sentence_says_which(shipped):
    for kind in store.KINDS:
        make(kind, shipped, seed=1, recall=0.984, bytes_per_token=2.9, right_greedy=0.97, agreement=0.93, win_rate=0.91)
    assert store.find("base").origin == "shipped"
    assert store.describe("tokenizer") == "Using the tokenizer shipped with the course (2.9 bytes per token)."
    assert store.describe("base") == "Using the base model shipped with the course (recall 98%)."
    assert store.describe("sft") == "Using the SFT model shipped with the course (97% right)."
    assert store.describe("reward") == "Using the reward model shipped with the course (agreement 93%)."
    assert store.describe("assistant") == (
        "Using the assistant shipped with the course (preferred to the SFT model in 91%)."
    )
    make("tokenizer")
    made = make("base", seed=2, recall=0.99)
    today = datetime.fromisoformat(made.card.made).astimezone().date()
    assert store.find("base").origin == "yours"
    assert store.describe("base") == f"Using your own base model (made {today}, recall 99%)."
    assert store.load_chain("base", "cpu")[2] == store.describe("base")
    assert store.find("base", "shipped").origin == "shipped"
    assert not torch.equal(
        store.load_model("base", "cpu").head.weight, store.load_model("base", "cpu", "shipped").head.weight
    )


def test_a_sentence_without_metrics_is_a_sentence_too(shipped):
    make_chain(shipped)
    assert store.describe("base") == "Using the base model shipped with the course."


def test_a_missing_artifact_says_where_it_was_looked_for_and_how_to_make_it(shipped):
    with pytest.raises(FileNotFoundError) as caught:
        store.load_chain("sft")
    for text in (str(store.home() / "sft"), str(shipped / "sft"), "`course build sft`"):
        assert text in str(caught.value)
    with pytest.raises(FileNotFoundError) as caught:
        store.load_model("sft", origin="yours")
    assert str(shipped) not in str(caught.value)


def test_a_tokenizer_is_no_model(shipped):
    make("tokenizer")
    with pytest.raises(ValueError, match="load_tokenizer"):
        store.load_model("tokenizer")


def test_a_folder_given_is_the_only_place_that_counts(shipped, tmp_path):
    make_chain(tmp_path / "elsewhere")
    assert store.find("base", where=tmp_path / "elsewhere").path == tmp_path / "elsewhere" / "base"
    assert not store.exists("base")
    make_chain()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        store.find("base", where=tmp_path / "nowhere")


def test_a_chain_in_a_folder_of_its_own_is_made_of_its_own_parts(shipped, tmp_path):
    make_chain()
    elsewhere = tmp_path / "elsewhere"
    make_chain(elsewhere, seed=50)
    made = store.find("sft", where=elsewhere)
    assert made.card.parents["base"] == store.find("base", where=elsewhere).sha256 != store.find("base").sha256
    assert store.stale(made, elsewhere) == []


def test_the_shipped_folder_under_another_name_is_the_shipped_one(shipped, tmp_path):
    if os.name != "posix":  # links need rights there that learners lack
        return
    shipped.mkdir()
    (tmp_path / "link").symlink_to(shipped)
    for kind in ("tokenizer", "base"):
        make(kind, tmp_path / "link")
    tensors, _ = checkpoint.load(shipped / "base")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}


def test_what_is_to_be_shipped_takes_no_parent_of_the_learners(shipped):
    make_chain()
    with pytest.raises(FileNotFoundError, match="there is no base model"):
        store.save_model("sft", gpt(tokenizer_of()), metrics={}, where=shipped, **FACTS)


# --- damaged ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_an_own_damaged_model_is_never_passed_over_in_silence(shipped, name):
    make_chain(shipped)
    make_chain()
    harm(store.home() / "sft", name)
    for call in (store.find, store.load_model, store.describe):
        with pytest.raises(ValueError) as caught:
            call("sft")
        assert str(store.home() / "sft" / name) in str(caught.value)
        assert "`course build sft --force`" in str(caught.value)
    _, model, sentence = store.load_chain("sft", "cpu")
    assert torch.equal(model.head.weight, store.load_model("sft", "cpu", "shipped").head.weight)
    assert sentence.startswith("Using the SFT model shipped with the course. It is used because your own cannot be: ")
    assert str(store.home() / "sft" / name) in sentence and "`course build sft --force`" in sentence
    row = store.status()[store.KINDS.index("sft")]
    assert row.state == "damaged" and row.artifact is None
    assert str(store.home() / "sft" / name) in row.detail and "--force" in row.todo


def test_a_damaged_model_with_nothing_in_its_place_is_an_error(shipped):
    make_chain()
    harm(store.home() / "sft")
    with pytest.raises(ValueError, match=r"damaged.*--force"):
        store.load_chain("sft", "cpu")


def test_a_damaged_model_is_repaired_by_saving_again(shipped):
    make_chain()
    harm(store.home() / "base")
    make("base", seed=1)
    assert states() == dict.fromkeys(store.KINDS, "yours"), "it came out as before, so its children still fit"


# --- stale --------------------------------------------------------------------------------------------------


def test_a_fresh_chain_is_not_stale(shipped):
    make_chain(shipped)
    assert states() == dict.fromkeys(store.KINDS, "shipped")
    make_chain()
    assert states() == dict.fromkeys(store.KINDS, "yours")
    assert all(row.todo == "" and not row.unfinished for row in store.status())


def test_a_new_tokenizer_makes_all_models_after_it_stale_but_none_useless(shipped):
    make_chain()
    known = store.load_tokenizer()
    store.save_tokenizer(tokenizer_of("another text of other words "), metrics={}, **FACTS)
    assert states() == {"tokenizer": "yours"} | dict.fromkeys(store.KINDS[1:], "stale")
    row = store.status()[1]
    assert row.todo == "It was made from an earlier tokenizer; `course build base --force` makes it again."
    for kind in store.KINDS[1:]:
        tokenizer, model, sentence = store.load_chain(kind, "cpu")
        assert tokenizer.merges == known.merges, "the model gets the tokenizer that it knows, even though it is gone"
        assert model.config.vocab_size == tokenizer.vocab_size
        assert "It learned with another tokenizer than your tokenizer" in sentence
        assert "`course build base sft reward assistant` trains models for your tokenizer" in sentence


def test_a_new_base_model_makes_stale_what_was_tuned_from_the_old_one(shipped):
    make_chain()
    make("base", seed=99)
    assert states() == {"tokenizer": "yours", "base": "yours"} | dict.fromkeys(store.KINDS[2:], "stale")
    make("sft", seed=98)
    assert states()["sft"] == "yours" and states()["reward"] == "stale"
    make("reward", seed=97)
    make("assistant", seed=96)
    assert states() == dict.fromkeys(store.KINDS, "yours")


def test_a_new_reward_model_makes_stale_the_assistant_alone(shipped):
    make_chain()
    make("reward", seed=99)
    assert states() == dict.fromkeys(store.KINDS[:4], "yours") | {"assistant": "stale"}
    assert "from an earlier reward model" in store.status()[-1].todo


def test_the_same_artifact_made_again_makes_nothing_stale(shipped):
    make_chain()
    make("base", seed=store.KINDS.index("base"))
    assert states() == dict.fromkeys(store.KINDS, "yours")


def test_shipped_models_after_an_own_one_are_said_not_to_be_made_from_it(shipped):
    make_chain(shipped)
    make("tokenizer")
    make("base", seed=50)
    rows = {row.kind: row for row in store.status()}
    assert rows["base"].state == "yours" and rows["sft"].state == "shipped"
    assert rows["sft"].todo == "It was not made from your base model; `course build sft` makes your own."


def test_a_learner_with_an_own_tokenizer_alone_gets_the_shipped_pair(shipped):
    make_chain(shipped)
    store.save_tokenizer(tokenizer_of("another text of other words "), metrics={}, **FACTS)
    tokenizer, _, sentence = store.load_chain("base", "cpu")
    assert tokenizer.merges == store.load_tokenizer("shipped").merges
    assert sentence.startswith("Using the base model shipped with the course. It learned with another tokenizer")
    make("sft", seed=4)  # trained from the shipped base model, in its tokens
    assert store.find("sft").card.parents["tokenizer"] == store.find("tokenizer", "shipped").sha256
    assert states()["sft"] == "yours"


def test_an_interrupted_training_is_shown(shipped):
    make_chain(shipped)
    checkpoint.save(store.partial("sft"), {}, {"kind": "training"})
    assert [row.kind for row in store.status() if row.unfinished] == ["sft"]


def test_models_that_read_different_tokens_are_not_put_together(shipped):
    make_chain(shipped)
    store.save_tokenizer(tokenizer_of("another text of other words "), metrics={}, **FACTS)
    make("base", seed=7)
    make("sft", seed=8)
    assert store.find("sft").origin == "yours" and store.find("reward").origin == "shipped"
    tokenizer, (sft, reward), sentence = store.load_together("sft", "reward", device="cpu")
    assert tokenizer.merges == store.load_tokenizer("shipped").merges
    assert sft.config.vocab_size == reward.config.vocab_size == tokenizer.vocab_size
    assert "would read different tokens; `course build sft reward`" in sentence
    make("reward", seed=9)
    tokenizer, _, sentence = store.load_together("sft", "reward", device="cpu")
    assert tokenizer.merges == store.load_tokenizer().merges
    assert sentence.count("Using your own") == 2 and "different" not in sentence


def test_models_that_cannot_be_put_together_are_an_error_that_says_so(shipped):
    make_chain()
    store.save_tokenizer(tokenizer_of("another text of other words "), metrics={}, **FACTS)
    make("base", seed=7)
    make("sft", seed=8)
    with pytest.raises(ValueError, match=r"read different tokens\. `course build sft reward`"):
        store.load_together("sft", "reward", device="cpu")


def test_status_rows_are_ready_for_a_table(shipped):
    make("tokenizer")
    first, second, *_ = store.status()
    assert json.loads(json.dumps(asdict(first), default=str))["state"] == "yours"
    assert second.state == "missing" and second.todo == "`course build base` makes it."


def test_a_home_that_is_no_full_path_is_refused(monkeypatch):
    monkeypatch.setenv("COURSE_HOME", "models")
    with pytest.raises(ValueError, match=r"give a full path, such as .*models"):
        store.home()


def test_models_of_a_text_of_ones_own_are_named_and_not_taken_for_the_courses(shipped):
    make_chain(shipped)
    facts = {**FACTS, "settings": {"text": "0badcafe"}}
    store.save_tokenizer(tokenizer_of("another text about other things altogether"), metrics={}, **facts)
    store.save_model("base", gpt(store.load_tokenizer()), metrics={}, **facts)
    rows = {row.kind: row for row in store.status()}
    assert "from a text of your own, not the world's" in rows["base"].detail
    assert "read a text of your own" in rows["sft"].todo and "makes your own" not in rows["sft"].todo
