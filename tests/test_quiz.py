"""The quiz: every answer has its own explanation, and only the right one is called right."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

from course.practice.quiz import LETTERS, Question, Quiz

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
WRONG = {"To save time.": "A division costs time.", "To sum to <1>.": "The softmax does that."}
ROOT_D = Question("Why divide by √d?", "To keep the scores' size.", "Their deviation is √d.", WRONG)


class Folds(HTMLParser):
    """The folded parts of a page: (what is seen, what a click opens); and whether the page's tags are balanced."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[list[str]] = []
        self.open: list[str] = []
        self.feed(page)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag == "details":
            assert "open" not in dict(attrs), "nothing is given away before the click"
            self.found.append(["", ""])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "details" in self.open:
            self.found[-1]["summary" not in self.open] += data


def folds(*questions: Question) -> dict[str, str]:
    """What is written on each fold -> what a click on it opens."""
    page = Quiz(*questions)._repr_mimebundle_()["text/html"]
    return {seen.strip(): opened.strip() for seen, opened in Folds(page).found}


def test_a_click_on_an_answer_opens_its_own_explanation():
    opened = {seen[3:]: text for seen, text in folds(ROOT_D).items()}
    assert opened == {
        "To keep the scores' size.": "✓ Right. Their deviation is √d.",
        "To save time.": "✗ Not this one. A division costs time.",
        "To sum to <1>.": "✗ Not this one. The softmax does that.",
    }


def test_answers_carry_letters_in_order():
    assert [seen[:3] for seen in folds(ROOT_D)] == ["A. ", "B. ", "C. "]


def test_the_order_is_mixed_and_always_the_same():
    questions = [Question(f"Question {i}?", "yes", "so", {"no": "a", "maybe": "b", "never": "c"}) for i in range(400)]
    places = Counter([right for _, right, _ in question.options].index(True) for question in questions)
    assert all(65 <= places[place] <= 135 for place in range(4)), places  # 100 expected, 4 deviations of 8.7
    assert all(question.options == question.options for question in questions)
    assert [text for text, _, _ in ROOT_D.options] == [text for text, _, _ in Question(*vars(ROOT_D).values()).options]


def test_without_html_a_quiz_is_a_list_with_the_solution_below_each_question():
    text = Quiz(ROOT_D)._repr_mimebundle_()["text/plain"]
    lines = text.splitlines()
    letter = LETTERS[[right for _, right, _ in ROOT_D.options].index(True)]
    assert lines[0] == "1. Why divide by √d?"
    assert len(lines) == 5
    assert f"   {letter}. To keep the scores' size." in lines
    assert lines[-1] == f"   Answer: {letter}. Their deviation is √d."


def test_a_quiz_is_a_page_of_its_own_without_scripts_or_addresses():
    bundle = Quiz(ROOT_D, Question("Two?", "a", "b", {"c": "d"}))._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}, "it works where there is no kernel"
    assert not any(word in bundle["text/html"] for word in ("<script", "http", "src="))
    assert bundle["text/html"].count("<details") == 5


def test_words_are_shown_as_they_are_written():
    opened = folds(Question("Is <b> & 'b'?", "<i>yes</i>", 'a "b"', {"x<y": "<br>"}))
    assert {seen[3:] for seen in opened} == {"<i>yes</i>", "x<y"}
    assert "✗ Not this one. <br>" in opened.values()


@pytest.mark.parametrize(
    ("wrong", "because", "says"),
    [
        ({}, "so", "one to seven wrong answers"),
        ({"right": "no"}, "so", "one to seven wrong answers"),
        ({str(i): "no" for i in range(8)}, "so", "one to seven wrong answers"),
        ({"no": " "}, "so", "without an explanation"),
        ({"no": "why"}, "", "without an explanation"),
    ],
)
def test_a_question_without_choice_or_explanation_is_refused(wrong, because, says):
    with pytest.raises(ValueError, match=says):
        Question("What?", "right", because, wrong)


def test_a_quiz_without_questions_is_refused():
    with pytest.raises(ValueError, match="at least one question"):
        Quiz()


def quizzes(path: Path) -> list[str]:
    """The pages of a notebook's quizzes, as committed."""
    outputs = (output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", ()))
    pages = (output.get("data", {}).get("text/html", "") for output in outputs)
    return [page for page in pages if "<details" in page and "Quiz" in page]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_quiz_of_each_notebook_has_five_to_seven_questions_with_one_right_answer_each(path):
    pages = quizzes(path)
    opened = [text for page in pages for _, text in Folds(page).found]
    questions = sum("✓" in text for text in opened)
    assert 5 <= questions <= 7
    assert sum("✗" in text for text in opened) >= 2 * questions, "two wrong answers or more to a question"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_right_answers_of_a_notebook_do_not_all_carry_one_letter(path):
    letters = Counter(seen.strip()[0] for page in quizzes(path) for seen, text in Folds(page).found if "✓" in text)
    assert max(letters.values()) <= 3, letters
