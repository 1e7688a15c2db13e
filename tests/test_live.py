"""Pictures that move, without a browser: what they carry, what stands where no script runs, what is refused."""

from __future__ import annotations

import fnmatch
import json
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(Path(__file__).parent))

from pieces import KEYS, MAKERS, PRICES, QUERY, RHYME, RUNS, SAID, STEPS, model, page, piece, shares  # noqa: E402

from course import induction  # noqa: E402
from course.show import inside, live  # noqa: E402
from course.tokenizer import Tokenizer, learn_merges, split  # noqa: E402

SCRIPT = re.compile(r"<script>.*?</script>", re.DOTALL)


@pytest.mark.parametrize("name", MAKERS)
def test_where_no_script_runs_there_is_a_picture_or_a_text_that_says_the_same(name):
    still = SCRIPT.sub("", page(name))  # what JupyterLab leaves of a notebook that is not trusted
    assert still.count("<div") == still.count("</div>") == 1 and "<script" not in still
    images = re.findall(r"<img\b[^>]*>", still)
    assert all(re.search(r'alt="\S.+?"', image) for image in images)
    assert images or len(re.sub(r"<[^>]+>", "", still)) > 80
    assert "Run this cell in JupyterLab" in still and len(piece(name).data["title"]) > 4
    assert piece(name)._repr_mimebundle_()["text/plain"].endswith(piece(name).data["hint"])


@pytest.mark.parametrize("name", MAKERS)
def test_it_asks_nobody_for_anything_and_is_small(name):
    html = page(name)
    assert len(SCRIPT.findall(html)) == 1 and html.count("</script>") == 1, "no text of the data may end the script"
    assert not re.search(r"https?:|//\w+\.|\bfetch\(|\bimport\b|XMLHttp|WebSocket|\beval\(", SCRIPT.search(html)[0])
    assert len(html.encode()) < 100_000


def test_an_installed_course_holds_the_scripts():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["course.show"]
    for path in live.SCRIPTS.iterdir():
        assert any(fnmatch.fnmatch(f"scripts/{path.name}", pattern) for pattern in data), path.name
    assert {p.stem for p in live.SCRIPTS.iterdir()} == {"core"} | {piece(name).name for name in MAKERS}


def test_numbers_travel_as_they_are_in_the_model():
    values = torch.randn(2, 5)
    back = np.frombuffer(__import__("base64").b64decode(live.pack(values)), "<f4")
    assert np.array_equal(back, values.numpy().ravel())


REFUSED = {
    "one even width": lambda: live.clock(QUERY[:3], QUERY[:3]),
    "a value of the same name": lambda: live.soft_dictionary(KEYS, {"cake": 300}, (2, 0), ("sweet", "bitter")),
    "300 names, but logits of shape": lambda: live.roulette({"a": torch.zeros(4)}, ["t"] * 300),
    "between 1 and 2,000": lambda: live.next_merge(""),
    '"gold" needs one entry for each of 4 steps': lambda: live.scrub(STEPS, {"gold": {"a": [1]}}, SAID, "t", "alt"),
    "SFT has 1 answers to 2 questions": lambda: live.stages(["a", "b"], {"SFT": ["c"]}),
    "keep to 40,000": lambda: live.bars(shares, ["a", "b"], "y", "alt", "h", beta=(1, 20001, 1, 1), plain=True),
    "write \\(lowest, highest": lambda: live.bars(shares, ["a", "b"], "y", "alt", "h", beta=3, plain=True),
    "needs 3 numbers for each of before, after": lambda: live.bars(
        shares, ["a", "b", "c"], "y", "alt", "h", beta=[1.0], plain=True
    ),
    "Marks of shape": lambda: live.taste(["a"], [["b", "c"]], [[[1], [0]]], ["right", "polite"]),
    "nothing to choose": lambda: live.taste(["a"], [["b", "c"]], [[[1], [1]]], ["right"]),
    "The text has 1 tokens": lambda: inside.attention_arcs(*model(), "a"),
    "The text has 0 tokens; between 1 and 12": lambda: inside.glass(*model(), ""),
    "The prompt is empty": lambda: inside.see_through(*model(), [], ""),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_makes_no_picture_is_refused_with_advice(said):
    with pytest.raises(ValueError, match=said):
        REFUSED[said]()


def test_every_setting_of_the_knobs_has_its_frame():
    data = piece("bars").data
    assert [(name, values, sort) for name, values, _, sort in data["knobs"]] == [
        ("beta", [1.0, 2.0, 4.0], "menu"), ("plain", [False, True], "tick"),
    ]  # fmt: skip
    assert data["frames"][2 * 1 + 0] == ["β = 2.0", [[0.5, 0.5], [0.33333, 0.66667]]]
    slider = piece("curves").data["knobs"][0]
    assert slider[1][slider[2]] == 0.2 and slider[1][0] == 0.05 and slider[1][-1] == 0.5 and len(slider[1]) == 10
    low, high = piece("curves").data["limits"]
    assert low < -1.8 and 1.5 < high < 1.8, "one axis for all settings"


def test_the_still_of_the_merges_is_the_librarys():
    merges = learn_merges(Counter(split(RHYME)), 3)
    assert "│".join(Tokenizer(merges).pieces(RHYME)) in piece("merges").still.text


def test_scrub_holds_what_was_measured_and_said_at_each_step():
    data = piece("scrub").data
    assert data["panels"][0]["series"] == list(RUNS.values())
    assert data["said"][1] == ["Yes!", "It is Tokyo."] and data["steps"] == STEPS


@torch.no_grad()
def test_arcs_carry_the_models_own_weights_and_what_comes_next_without_some_heads():
    gpt, tokenizer = model()
    ids = torch.tensor([tokenizer.encode("How much wood")])
    data = piece("arcs").data
    assert data["weights"] == live.pack(induction.looked_at(gpt, ids)[0])
    for layer in range(2):
        for off in range(4):
            with induction.silenced(gpt, [(layer, head) for head in range(2) if off >> head & 1]):
                best = gpt(ids)[0, -1].softmax(-1).topk(5)
            assert [token for token, _ in data["next"][layer][off]] == [
                tokenizer.token(i) for i in best.indices.tolist()
            ]
            assert [share for _, share in data["next"][layer][off]] == pytest.approx(best.values.tolist(), abs=1e-5)
    assert data["next"][0][0] == data["next"][1][0] != data["next"][0][3]


@torch.no_grad()
def test_the_glass_model_shows_every_vector_of_the_stream_and_its_last_row_is_the_models_prediction():
    gpt, tokenizer = model()
    ids, data = torch.tensor([tokenizer.encode("How much wood")]), piece("glass").data
    x = gpt.token_embedding(ids) + gpt.position_embedding.weight[: ids.size(1)]
    stream = [x := block(x, causal=True) if i else x for i, block in enumerate([None, *gpt.blocks])]
    assert data["vectors"] == live.pack(torch.stack(stream)[:, 0])
    best = gpt(ids)[0].softmax(-1).topk(5)
    for place, cell in enumerate(data["lens"][-1]):
        assert [token for token, _ in cell] == [tokenizer.token(i) for i in best.indices[place].tolist()]
        assert [share for _, share in cell] == pytest.approx(best.values[place].tolist(), abs=1e-5)
    assert len(data["lens"]) == 3 and not gpt.norm._forward_pre_hooks, "the model is left as it was"


@torch.no_grad()
def test_every_text_of_the_tree_is_what_the_model_would_write_there():
    gpt, tokenizer = model()
    prompt, chains = tokenizer.encode("How much"), piece("tree").data["chains"]
    assert len(chains) == 8 and all(1 <= len(chain) <= 5 for chain in chains)
    begins = {0: (0, [])}  # chain -> its first place, and the tokens before it
    for number, chain in enumerate(chains):
        start, before = begins[number]
        ids = list(before)
        for place, (token, share, others) in enumerate(chain):
            probs = gpt(torch.tensor([[*prompt, *ids]]))[0, -1].softmax(-1)
            best = probs.topk(4)
            assert [text for text, _, _ in others] == [tokenizer.token(i) for i in best.indices.tolist()]
            assert [p for _, p, _ in others] == pytest.approx(best.values.tolist(), abs=1e-5)
            assert token == others[0][0] or (place == 0 and number > 0)
            for text, p, leads in others:
                if leads > number:
                    begins[leads] = (start + place, ids)
                    assert chains[leads][0][:2] == [text, p]
            i = next(
                i
                for i in best.indices.tolist()
                if tokenizer.token(i) == token and probs[i] == pytest.approx(share, abs=1e-5)
            )
            ids = [*ids, i]
    assert json.dumps(chains).count(", -1]") > 0, "some are not followed, and say so"
    assert PRICES.keys() == KEYS.keys()
