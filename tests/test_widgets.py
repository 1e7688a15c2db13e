"""The knobs: turned and clicked through Python, as the page does it, without a browser."""

from __future__ import annotations

import json
import random
import string
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ipywidgets
import nbformat
import pytest
from nbclient import NotebookClient

from course.show import widgets
from course.show.widgets import Html
from course.tokenizer import Tokenizer
from course.world import facts, questions, rubric

ROOT = Path(__file__).parent.parent
VIEW = "application/vnd.jupyter.widget-view+json"
ITEMS = [
    ("What is the capital of Japan?", ["It is Tokyo.", "Of course. It is Tokyo.", "It is Kyoto.", "No idea."]),
    ("What is the capital of Peru?", ["It is Lima.", "It is Cusco."]),
]


class Handle:
    """What `display` gives back for an output that can be replaced."""

    def __init__(self, first: Any):
        self.shown = [first]

    def update(self, value: Any) -> None:
        self.shown.append(value)


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is displayed, in order; an output that can be replaced as its Handle."""
    found: list[Any] = []

    def display(value: Any, display_id: bool = False) -> Handle | None:
        found.append(Handle(value) if display_id else value)
        return found[-1] if display_id else None

    monkeypatch.setattr(widgets, "display", display)
    return found


class Words(HTMLParser):
    """The words that a page shows, and its tags."""

    def __init__(self, page: str):
        super().__init__()
        self.words, self.tags = "", []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)


# --- sliders ---


def test_explore_shows_the_knobs_and_below_them_the_picture_for_their_first_values(displayed):
    live = widgets.explore(
        lambda **values: values, size=(1, 9, 2, 3), heat=(0.0, 2.0, 0.1, 1.0), kind=["a", "b"], on=True
    )
    box, picture = displayed
    assert box is live.box
    assert picture.shown == [{"size": 3, "heat": 1.0, "kind": "a", "on": True}]
    kinds = [type(control).__name__ for control in live.controls.values()]
    assert kinds == ["IntSlider", "FloatSlider", "Dropdown", "Checkbox"]
    size = live.controls["size"]
    assert (size.min, size.max, size.step, size.description) == (1, 9, 2, "size")


def test_turning_a_knob_replaces_the_picture(displayed):
    live = widgets.explore(lambda x, kind: (x, kind), x=(0, 5, 1, 2), kind=["a", "b"])
    live.controls["x"].value = 4
    live.controls["kind"].value = "b"
    assert displayed[1].shown == [(2, "a"), (4, "a"), (4, "b")]
    assert live.result == (4, "b")


def test_a_slider_redraws_when_it_is_let_go_not_on_the_way(displayed):
    live = widgets.explore(lambda x: x, x=(0.0, 5.0, 1.0, 2.0))
    assert live.controls["x"].continuous_update is False


def test_an_error_after_a_turn_is_shown_as_a_sentence_and_the_next_turn_works(displayed):
    live = widgets.explore(lambda x: 6 / x, x=(0, 3, 1, 2))
    live.controls["x"].value = 0
    error = displayed[1].shown[-1]
    assert (
        isinstance(error, Html) and error.text == "ZeroDivisionError: division by zero" and 'role="alert"' in error.page
    )
    live.controls["x"].value = 3
    assert displayed[1].shown[-1] == 2


def test_an_error_for_the_first_values_fails_the_cell(displayed):
    with pytest.raises(ZeroDivisionError):
        widgets.explore(lambda x: 1 / x, x=(0, 3, 1, 0))
    assert displayed == []


@pytest.mark.parametrize("knob", [(0, 1), [], "text", 3, (0, 5, 1, 9), None])
def test_a_knob_of_another_form_is_refused_with_advice(knob, displayed):
    with pytest.raises(ValueError, match=r"The knob width=.* write \(lowest, highest, step, first value\)"):
        widgets.explore(lambda width: width, width=knob)


def test_typing_replaces_what_follows_the_text(displayed):
    live = widgets.typed(str.upper, "hello", label="Text")
    assert displayed[1].shown == ["HELLO"]
    live.controls["Text"].value = "東京 tower"
    assert displayed[1].shown[-1] == "東京 TOWER"


def test_knobs_say_what_they_are_where_there_is_no_kernel(displayed):
    live = widgets.explore(lambda top_k: top_k, top_k=(1, 5, 1, 2))
    bundle = live.box._repr_mimebundle_()
    assert VIEW in bundle
    assert bundle["text/plain"].startswith("Knobs: top k. Run this cell")
    assert "VBox" not in bundle["text/plain"] + bundle["text/html"]


def test_in_a_notebook_the_picture_is_an_ordinary_output_and_nothing_is_shown_twice(tmp_path):
    code = """from course.show import plots, widgets
def bar(x):
    return plots.bars({"a": [x]}, ["b"], f"x is {x}", y="y", alt=f"a bar of {x}")
widgets.explore(bar, x=(1, 9, 1, 4))"""
    turn = """live = widgets.explore(lambda x: widgets.Html(f"<b>{x}</b>", str(x)), x=(1, 9, 1, 4))
live.controls["x"].value = 7"""
    cells = [nbformat.v4.new_code_cell(source) for source in (code, turn)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    first, second = (cell.outputs for cell in notebook.cells)
    assert [output.output_type for output in first] == ["display_data", "display_data"]
    knobs, picture = (output.data for output in first)
    assert VIEW in knobs and knobs["text/plain"].startswith("Knobs: x.")
    assert 'alt="a bar of 4"' in picture["text/html"] and VIEW not in picture
    assert picture["text/plain"] == "[Figure: a bar of 4]"
    assert second[1].data["text/html"] == "<b>7</b>", "the picture is replaced in its place"
    assert len(second) == 2


# --- ranking by clicks ---


def clicks(ballot: widgets.Ballot, *numbers: int) -> None:
    for number in numbers:
        ballot.cards[number].click()


def test_nobody_clicked_is_an_empty_list_and_nothing_waits():
    assert widgets.rank_by_clicking(ITEMS).rankings() == []


def test_clicks_rank_the_answers_the_best_first_and_the_last_ranks_itself():
    ballot = widgets.rank_by_clicking(ITEMS)
    clicks(ballot, 1, 0)
    assert ballot.rankings() == [], "two are left"
    clicks(ballot, 2)
    question, answers = ITEMS[0]
    assert ballot.rankings() == [(question, (answers[1], answers[0], answers[2], answers[3]))]


def test_a_second_click_on_an_answer_changes_nothing():
    ballot = widgets.rank_by_clicking(ITEMS)
    clicks(ballot, 1, 1, 1, 0, 2)
    assert [answers for _, answers in ballot.rankings()] == [tuple(ITEMS[0][1][i] for i in (1, 0, 2, 3))]


def test_cards_show_letter_answer_and_rank():
    ballot = widgets.rank_by_clicking(ITEMS)
    clicks(ballot, 1)
    assert [card.description for card in ballot.cards] == [
        "A. It is Tokyo.",
        "[1] B. Of course. It is Tokyo.",
        "C. It is Kyoto.",
        "D. No idea.",
    ]
    assert ballot.cards[1].button_style and not ballot.cards[0].button_style
    assert "the 3 answers that are left" in ballot.message.value


def test_equal_answers_share_a_card_and_are_never_to_be_ordered():
    ballot = widgets.rank_by_clicking([("Q?", ("red", "green", "red", "blue")), ("same", ("x", "x"))])
    shown = [card.description for card in ballot.cards if card.layout.display != "none"]
    assert shown == ["A, C. red", "B. green", "D. blue"] and "3 answers" in ballot.message.value
    clicks(ballot, 2)
    assert [ballot.cards[i].description for i in (0, 1)] == ["[1] A, C. red", "B. green"]
    clicks(ballot, 3)
    assert ballot.rankings() == [("Q?", ("red", "red", "blue", "green"))], "as many answers as were given"
    assert "1 sets" in ballot.message.value, "the other question asked nothing"
    ballot.undo()
    assert ballot.orders == [[0, 2]]
    ballot.undo()
    assert ballot.orders == [[]]
    with pytest.raises(ValueError, match="all equal"):
        widgets.rank_by_clicking([("same", ("x", "x"))])


def test_undo_takes_back_one_click_also_the_one_that_completed_the_ranking():
    ballot = widgets.rank_by_clicking(ITEMS)
    clicks(ballot, 1, 0, 2)
    ballot.undo_button.click()
    assert ballot.rankings() == []
    clicks(ballot, 3)
    assert ballot.rankings()[0][1] == tuple(ITEMS[0][1][i] for i in (1, 0, 3, 2))


def test_next_waits_for_the_ranking_and_undo_leads_back():
    ballot = widgets.rank_by_clicking(ITEMS)
    assert ballot.next_button.disabled and ballot.undo_button.disabled
    ballot.next()
    assert ballot.place == 0
    clicks(ballot, 0, 1, 2)
    assert not ballot.next_button.disabled
    ballot.next_button.click()
    assert ballot.place == 1 and "Peru" in ballot.heading.value and "2 of 2" in ballot.heading.value
    assert [card.layout.display for card in ballot.cards] == [None, None, "none", "none"], "there are only two answers"
    ballot.undo_button.click()
    assert ballot.place == 0 and len(ballot.rankings()) == 1, "going back takes no ranking away"


def test_all_ranked_says_thank_you_and_tells_once():
    told = []
    ballot = widgets.rank_by_clicking(ITEMS, on_done=lambda b: told.append(b.rankings()))
    clicks(ballot, 0, 1, 2)
    ballot.next_button.click()
    clicks(ballot, 1)
    assert "Thank you: you ranked 2 sets of answers" in ballot.message.value
    assert ballot.next_button.disabled
    assert told == [ballot.rankings()] and len(told[0]) == 2
    assert told[0][1] == (ITEMS[1][0], ("It is Cusco.", "It is Lima."))


def test_the_simulated_annotator_ranks_only_what_the_learner_left():
    asked = [questions.single(c, "capital", random.Random(0)) for c in facts.countries()[:3]]
    items = [(question, ["No idea.", f"Of course. {question.reference}"]) for question in asked]
    ballot = widgets.rank_by_clicking(items, annotator=rubric.Annotator(noise=0).rank)
    clicks(ballot, 0)  # the learner likes the first one's modesty
    ballot.simulate_button.click()
    best = [answers[0] for _, answers in ballot.rankings()]
    assert best == ["No idea.", f"Of course. {asked[1].reference}", f"Of course. {asked[2].reference}"]
    assert [question for question, _ in ballot.rankings()] == asked
    assert ballot.simulate_button.disabled


def test_without_an_annotator_there_is_no_button_and_an_error_with_advice():
    ballot = widgets.rank_by_clicking(ITEMS)
    assert ballot.simulate_button not in ballot.box.children[-1].children
    with pytest.raises(ValueError, match="give one as rank_by_clicking"):
        ballot.simulate()


@pytest.mark.parametrize("items", [[], [("Q", [])], [("Q", ["only one"])], [("Q", ["x"] * 9)]])
def test_a_ballot_without_a_choice_is_refused(items):
    with pytest.raises(ValueError, match="two to 8 answers"):
        widgets.rank_by_clicking(items)


def test_every_action_of_a_ballot_is_a_button_that_the_keyboard_reaches():
    ballot = widgets.rank_by_clicking(ITEMS, annotator=lambda question, answers: [0, 1])
    inside = [*ballot.box.children, *ballot.box.children[-1].children]
    buttons = [widget for widget in inside if isinstance(widget, ipywidgets.Button)]
    assert {id(button) for button in buttons} == {
        id(button) for button in (*ballot.cards, ballot.undo_button, ballot.next_button, ballot.simulate_button)
    }


def test_a_ballot_can_be_read_without_a_kernel():
    bundle = widgets.rank_by_clicking([("<b>Why</b>?", ["a < b", "because"])])._repr_mimebundle_()
    assert VIEW in bundle
    shown = Words(bundle["text/html"])
    assert "b" not in shown.tags and "<b>Why</b>?" in shown.words and "A. a < b" in shown.words
    assert "B. because" in bundle["text/plain"]


# --- the chat window ---


class Parrot:
    """A conversation that answers letter by letter."""

    def __init__(self, answer: str):
        self.answer = answer
        self.tokenizer = Tokenizer.train([string.printable * 3], 270)

    def stream(self, text: str):
        if len(text) > 50:
            raise ValueError("The question has 51 tokens; ask a shorter one.")
        yield from self.answer


def submit(line: ipywidgets.Text) -> None:
    """Press Enter in a text field, as the page reports it."""
    line._handle_msg({"content": {"data": {"method": "custom", "content": {"event": "submit"}}}, "buffers": []})


def test_the_first_question_is_asked_at_once_so_that_there_is_something_to_read():
    chat = widgets.chat_box(Parrot("Tokyo."), first="What is the capital of Japan?")
    assert chat.said == [("What is the capital of Japan?", "Tokyo.")]
    bundle = chat._repr_mimebundle_()
    assert VIEW in bundle
    assert "You: What is the capital of Japan?\nModel: Tokyo." in bundle["text/plain"]
    assert "Model: Tokyo." in Words(bundle["text/html"]).words


@pytest.mark.parametrize("how", ["button", "enter"])
def test_a_question_is_sent_by_the_button_and_by_the_enter_key(how):
    chat = widgets.chat_box(Parrot("Lima."), first="")
    chat.line.value = "  And of Peru? "
    chat.button.click() if how == "button" else submit(chat.line)
    assert chat.said == [("And of Peru?", "Lima.")]
    assert chat.line.value == "", "the line is free for the next question"


def test_an_empty_line_asks_nothing():
    chat = widgets.chat_box(Parrot("?"), first="")
    chat.line.value = "   "
    chat.button.click()
    assert chat.said == [] and chat.talk.value == ""


def test_an_answer_appears_as_it_is_generated():
    chat = widgets.chat_box(Parrot("Lima"), first="")
    pages = []
    chat.talk.observe(lambda change: pages.append(Words(change["new"]).words.split("Model: ")[1]), names="value")
    chat.ask("And?")
    assert pages == ["L", "Li", "Lim", "Lima"]


def test_what_is_said_is_text_and_never_html():
    chat = widgets.chat_box(Parrot("<script>x</script>"), first="<img src=x>")
    assert not {"script", "img"} & set(Words(chat.talk.value).tags)
    assert not {"script", "img"} & set(Words(chat._repr_mimebundle_()["text/html"]).tags)


def test_a_question_that_is_too_long_gets_a_sentence_and_the_talk_goes_on():
    chat = widgets.chat_box(Parrot("Yes."), first="x" * 51)
    chat.ask("Shorter?")
    assert [answer for _, answer in chat.said] == ["The question has 51 tokens; ask a shorter one.", "Yes."]


def test_a_question_in_a_script_that_the_tokenizer_never_saw_gets_a_warning():
    assert "hardly ever seen this script" in widgets.chat_box(Parrot("Yes."), first="日本の首都は").said[0][1]


def test_an_empty_answer_is_said_to_be_empty():
    assert "before the first word" in widgets.chat_box(Parrot(" "), first="Well?").said[0][1]


# --- costs ---


def test_knobs_and_quizzes_load_neither_torch_nor_matplotlib():
    program = """import sys, json
from course.practice import quiz
from course.show import widgets
print(json.dumps([name for name in ("torch", "matplotlib") if name in sys.modules]))"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert json.loads(said) == []
