"""A prediction before the result: answered by a click or on a scale, kept with the progress, then compared.

    guess = predict(
        "01 emoji",                              # or "01 ratio",
        ["1 byte", "2 bytes", "4 bytes"],        #    (1, 10, 0.5),
        right="4 bytes",                         #    unit=" times",
    )

in a cell of its own with folded source (JupyterLab shows its first line, so that must not hold the answer), right
before the cell that shows the result. That cell ends with `guess.tell()`, or with `guess.tell(ratio)` where only the
run knows the answer. Nothing waits: every cell runs to its end. Until there is an answer, the page covers the next
cell's output with a sentence (by a rule of style, so in JupyterLab and Jupyter Notebook; other programs show
everything at once). In a committed notebook the outputs that answer a question are folded, and `FIRST` is what
JupyterLab shows of them.
"""

from __future__ import annotations

import html
import time
from numbers import Real
from typing import Any

import ipywidgets
from IPython.display import display

from course.practice import progress
from course.show.widgets import CARDS, Box, Html

FIRST = "Your prediction first; then open what came out."
CLOSED = "course-closed"
COVER = f"""<style>
.jp-Cell:has(.{CLOSED}) + .jp-CodeCell :is(.jp-OutputArea, .jp-OutputPlaceholder) {{ display: none; }}
.jp-Cell:has(.{CLOSED}) + .jp-CodeCell:not(.jp-mod-noOutputs) .jp-Cell-outputWrapper::after {{
    content: "Your prediction first: the result opens with your answer above."; font-style: italic;
    padding: 0.4em 5em; }}
</style>"""
MARK = {"course": "prediction"}  # the metadata of a question's output


class Prediction:
    """A question to be answered before its result is seen. See `predict`.

    answer: what was said, or None. outcome: what came out, as soon as it is told. Another program can answer as well:
    choose(answer), skip().
    """

    def __init__(
        self,
        name: str,
        answers: list[str] | tuple[float, float, float],
        right: str | None = None,
        unit: str = "",
        ask: str = "",
    ):
        if not _is_scale(answers) and not (isinstance(answers, list) and len({*answers}) >= 2):
            raise ValueError(f"The prediction {name} needs a list of two or more answers, or (lowest, highest, step).")
        self.name, self.unit, self.ask = name, unit, ask
        self.choices: list[str] = answers if isinstance(answers, list) else []
        self.scale: tuple[float, ...] = () if isinstance(answers, list) else answers
        self.right = right
        self.outcome: Any = None
        if right is not None:
            self._check(right)
        known = progress.predictions().get(name)
        self.answer = known.answer if known and known.of == self.of else None
        self.message = ipywidgets.HTML()
        self.knobs = self._buttons() if self.choices else self._slider()
        self.show = ipywidgets.Button(description="Show me", tooltip="Open the result without a prediction")
        self.show.on_click(lambda _: self.skip())
        heading = ipywidgets.HTML(f"{CARDS}{COVER}<strong>{html.escape(ask or 'Your prediction:')}</strong>")
        self.box = Box([heading, *self.knobs, self.show, self.message], Html(*self._instead()))
        self.box.add_class(CLOSED)
        if self.answer is not None:
            self._open("You answered before")
        display(self.box, metadata=MARK)

    @property
    def of(self) -> Any:
        """What the answer was chosen of: the number of choices, or [lowest, highest]."""
        return len(self.choices) or [*self.scale[:2]]

    def choose(self, answer: Any) -> None:
        """Answer. Raises ValueError for what is not to choose from. Only the first answer counts."""
        self._check(answer)
        if self.answer is None:
            self.answer = answer
            problem = progress.note({"prediction": self.name, "answer": answer, "of": self.of, "time": time.time()})
            self._note_outcome()
            self._open("Noted", problem)

    def skip(self) -> None:
        """Open the result without an answer; nothing is noted."""
        self._open("")

    def tell(self, outcome: Any = None) -> None:
        """What came out: one of the choices, or a number; without it, what is right. Shown beside the answer, if any.

        Raises ValueError for an outcome that is none of the choices, or no number.
        """
        outcome = self.right if outcome is None else outcome
        self._check(outcome)
        self.outcome = outcome if self.choices else float(outcome)
        if self.answer is not None:
            self._note_outcome()
            self._open("")
            said = self._compared()
            display(Html(f"<p><strong>{html.escape(said)}</strong></p>", said))

    def _check(self, answer: Any) -> None:
        if answer not in self.choices if self.choices else not isinstance(answer, Real):
            possible = ", ".join(self.choices) or "a number"
            raise ValueError(f"{answer!r} is no answer to {self.name}: it must be {possible}.")

    def _note_outcome(self) -> None:
        known = progress.predictions().get(self.name)
        if self.outcome is not None and known and known.outcome != self.outcome:
            progress.note({"prediction": self.name, "outcome": self.outcome})

    def _open(self, first: str, problem: str = "") -> None:
        self.box.remove_class(CLOSED)
        for knob in (*self.knobs, self.show):
            knob.disabled = True
        if self.answer is None:
            self._say("Open, without a prediction.")
        elif self.outcome is None:
            self._say(f"{first}: {self._words(self.answer)}. Now run the next cell. {problem}")
        else:
            self._say(f"{self._compared()} {problem}")

    def _compared(self) -> str:
        same = " As you said." if self.choices and self.answer == self.outcome else ""
        return f"You said: {self._words(self.answer)}. What came out: {self._words(self.outcome)}.{same}"

    def _words(self, answer: Any) -> str:
        return str(answer) if self.choices else f"{answer:.3g}{self.unit}"

    def _say(self, text: str) -> None:
        self.message.value = f'<span role="status">{html.escape(text.strip())}</span>'

    def _buttons(self) -> list[ipywidgets.Widget]:
        buttons = []
        for choice in self.choices:
            button = ipywidgets.Button(description=choice, layout=ipywidgets.Layout(width="44em", max_width="95%"))
            button.add_class("course-card")
            button.on_click(lambda _, choice=choice: self.choose(choice))
            buttons.append(button)
        return buttons

    def _slider(self) -> list[ipywidgets.Widget]:
        low, high, step = self.scale
        kind = ipywidgets.IntSlider if all(isinstance(number, int) for number in self.scale) else ipywidgets.FloatSlider
        middle = low + round((high - low) / 2 / step) * step
        wide = ipywidgets.Layout(width="36em", max_width="95%")
        slider = kind(value=middle, min=low, max=high, step=step, description=self.unit.strip(), layout=wide)
        slider.style.description_width = "initial"
        button = ipywidgets.Button(description="That is my prediction")
        button.layout.width = "14em"
        button.on_click(lambda _: self.choose(slider.value))
        return [slider, button]

    def _instead(self) -> tuple[str, str]:
        low, high = self.scale[:2] or (0, 0)
        lines = self.choices or [f"a number from {low:g} to {high:g}{self.unit}"]
        hint = "Your prediction first: run this cell in JupyterLab to answer by a click, or note your answer down."
        listed = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
        text = [self.ask] * bool(self.ask) + [f"- {line}" for line in lines] + [hint]
        return f"{html.escape(self.ask)}<ul>{listed}</ul><p><em>{hint}</em></p>", "\n".join(text)


def _is_scale(answers: Any) -> bool:
    numbers = isinstance(answers, tuple) and len(answers) == 3 and all(isinstance(n, Real) for n in answers)
    return numbers and answers[0] < answers[1] and answers[2] > 0


def predict(
    name: str,
    answers: list[str] | tuple[float, float, float],
    right: str | None = None,
    unit: str = "",
    ask: str = "",
) -> Prediction:
    """Ask for a prediction; shown at once, answered by a click. Returns at once: nothing waits.

    name: of the question, the same for ever; it begins with the notebook's number ("01 emoji"). answers: a list of
    choices, or (lowest, highest, step) of a number. right: of the choices, where it is known before; the cell
    with the result should assert it. unit: stands behind the number ("%", " times"). ask: what exactly,
    where the text above asks for more than one thing.
    Where the learner answered before, that answer stands. Raises ValueError for answers of another form.
    """
    return Prediction(name, answers, right, unit, ask)
