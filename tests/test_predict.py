"""Predictions: answered once, kept with the progress, compared with what came out; nothing waits for them."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from course import cli
from course.practice import predict as module
from course.practice import progress
from course.practice.predict import CLOSED, predict

COLOURS = ["red", "green", "blue"]


@pytest.fixture(autouse=True)
def shown(tmp_path, monkeypatch):
    """A home of its own, and what was displayed."""
    found = []
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "display", lambda thing, **_: found.append(thing))
    return found


def is_open(guess):
    return CLOSED not in guess.box._dom_classes


def test_without_an_answer_nothing_is_shown_or_noted_and_nothing_fails(shown):
    guess = predict("01 colour", COLOURS, right="green")
    guess.tell()
    assert shown == [guess.box] and not progress.file().exists() and not is_open(guess)
    assert progress.calibration() == ""


def test_an_answer_opens_the_result_and_is_compared_with_it(shown):
    guess = predict("01 colour", COLOURS, right="green")
    guess.knobs[2].click()
    assert is_open(guess) and "Noted: blue" in guess.message.value and "green" not in guess.message.value
    guess.tell()
    assert shown[-1].text == "You said: blue. What came out: green."
    assert progress.predictions() == {"01 colour": progress.Prediction("blue", 3, "green")}


def test_an_answer_that_comes_after_the_result_is_compared_as_well():
    guess = predict("01 ratio", (0, 10, 0.5), unit=" times")
    guess.tell(7.25)
    guess.knobs[0].value = 4.5
    guess.knobs[1].click()
    assert "You said: 4.5 times. What came out: 7.25 times." in guess.message.value
    assert progress.predictions()["01 ratio"] == progress.Prediction(4.5, [0, 10], 7.25)


def test_the_first_answer_counts_and_stands_when_the_notebook_is_opened_again():
    first = predict("01 colour", COLOURS)
    first.choose("red")
    first.choose("green")
    again = predict("01 colour", COLOURS)
    assert again.answer == "red" and is_open(again) and "You answered before: red" in again.message.value
    changed = predict("01 colour", [*COLOURS, "black"])  # another question now
    assert changed.answer is None and not is_open(changed)
    changed.choose("black")
    assert progress.predictions() == {"01 colour": progress.Prediction("black", 4)}


def test_one_click_opens_the_result_without_a_prediction():
    guess = predict("01 colour", COLOURS)
    guess.show.click()
    assert is_open(guess) and not progress.file().exists()


def test_the_calibration_compares_choices_with_chance_and_numbers_with_their_scale():
    for name, said in (("01 a", "red"), ("02 b", "green"), ("02 c", "blue")):
        guess = predict(name, COLOURS, right="red")
        guess.choose(said)
        guess.tell()
    for name, said in (("03 d", 2), ("03 e", 8)):
        guess = predict(name, (0, 10, 1))
        guess.choose(said)
        guess.tell(4)
    predict("04 f", COLOURS).choose("red")  # its result is not known
    sentence = "Your predictions: 1 of 3 choices right (chance alone: 1.0), numbers off by 30% of the scale (2)."
    assert progress.calibration() == sentence
    assert progress.calibration("02") == "Your predictions: 0 of 2 choices right (chance alone: 0.7)."
    assert sentence in CliRunner().invoke(cli.main, ["progress"]).output


def test_without_a_kernel_the_question_is_a_list_to_read():
    page = predict("01 colour", COLOURS, right="green", ask="Which <one>?").box.instead
    assert "<li>green</li>" in page.page and "Which &lt;one&gt;?" in page.page and "- green" in page.text
    assert "0 to 10 times" in predict("01 n", (0, 10, 1), unit=" times").box.instead.text


def test_what_is_no_question_or_no_answer_is_refused_with_a_sentence():
    for answers in ([], ["one"], (1, 0, 1), (0, 1, 0), (0, 1), "abc"):
        with pytest.raises(ValueError, match="needs a list of two or more answers"):
            predict("01 colour", answers)
    for bad in ("black", 1, None):
        with pytest.raises(ValueError, match="is no answer to 01 colour: it must be red, green, blue"):
            predict("01 colour", COLOURS).choose(bad)
    with pytest.raises(ValueError, match="must be a number"):
        predict("01 n", (0, 10, 1)).tell("much")
    with pytest.raises(ValueError, match="'black' is no answer"):
        predict("01 colour", COLOURS, right="black")


def test_a_folder_that_cannot_be_written_is_told_and_blocks_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "file"))
    guess = predict("01 colour", COLOURS)
    guess.choose("red")
    assert is_open(guess) and "could not be noted" in guess.message.value
