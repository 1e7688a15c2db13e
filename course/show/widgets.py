"""Knobs: sliders that redraw a picture, a text box, ranking by clicks, a small chat window.

Everything here works without anybody touching it. The picture for the first values is an ordinary output, so it is
there in print, on the projector and on a web page; a cell never waits for a click. Where no knobs can be shown, a
sentence stands in their place. All knobs are reached by the Tab key, and pressed by Enter or the space bar.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets
from IPython.display import display

if TYPE_CHECKING:
    from course.chat import Conversation

LETTERS = "ABCDEFGH"
FOLD = {"course": "fold"}  # the metadata of the sentence that stands above a folded output
COMPARED = "nbval-check-output"  # the tag of a cell whose text must be the committed one
COMPARED_BELOW = "check-output-below-fold"  # the same where a fold lies above, which nbval does not know of


def below_fold(outputs: Sequence[Any]) -> list[Any]:
    """The outputs of a notebook's cell without that sentence: it is stored, and no cell prints it."""
    return [output for output in outputs if output.get("metadata") != FOLD]


class Html:
    """A piece of HTML, with the same content as plain text where no HTML is shown."""

    def __init__(self, page: str, text: str):
        self.page, self.text = page, text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.page, "text/plain": self.text}


class Box(ipywidgets.VBox):
    """Knobs one below the other, with a page and a text that stand for them where there is no kernel."""

    def __init__(self, children: Sequence[ipywidgets.Widget], instead: Html):
        super().__init__(children)
        self.instead = instead

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return {**(super()._repr_mimebundle_(**options) or {}), **self.instead._repr_mimebundle_()}


class Live:
    """Knobs and what follows them, shown one below the other as soon as they are made.

    controls: the knobs by name; set `controls["x"].value` and the picture changes as if somebody had turned it.
    result: what was shown last. An error of `make` is shown as a sentence in the picture's place, until the next turn.
    """

    def __init__(self, make: Callable[..., Any], controls: dict[str, ipywidgets.Widget]):
        self.make, self.controls = make, controls
        names = ", ".join(name.replace("_", " ") for name in controls)
        said = f"Knobs: {names}. Run this cell in JupyterLab to turn them; below is the picture for their first values."
        self.box = Box(list(controls.values()), Html(f"<p><em>{html.escape(said)}</em></p>", said))
        self.result = self._make()
        display(self.box)
        self._shown = display(self.result, display_id=True)
        for control in controls.values():
            control.observe(self._redraw, names="value")

    def _make(self) -> Any:
        return self.make(**{name: control.value for name, control in self.controls.items()})

    def _redraw(self, _: Any) -> None:
        try:
            self.result = self._make()
        except Exception as error:  # raised in answer to a knob, it would otherwise go unseen into a log
            said = f"{type(error).__name__}: {error}"
            self.result = Html(f'<p role="alert">{html.escape(said)}</p>', said)
        if self._shown is not None:
            self._shown.update(self.result)

    def _ipython_display_(self) -> None:
        """As a cell's last line it shows nothing more: it is there already."""


def explore(make: Callable[..., Any], **knobs: Any) -> Live:
    """Sliders above a picture that follows them. make: takes the knobs' values, returns something to show.

    knobs: name=(lowest, highest, step, first value), name=[choices] (the first is chosen) or name=True or False.
    The picture for the first values is an ordinary output; it is replaced when a knob is turned.
    Raises ValueError for a knob of another form, and whatever `make` raises for the first values.
    """
    return Live(make, {name: control_for(name, knob) for name, knob in knobs.items()})


def _wide(ems: int, **more: Any) -> ipywidgets.Layout:
    """So wide, but no wider than the notebook: a narrow window, or a wide zoom, cuts nothing off."""
    return ipywidgets.Layout(width=f"{ems}em", max_width="100%", **more)


def control_for(name: str, knob: Any) -> ipywidgets.Widget:
    label = name.replace("_", " ")
    wide = {
        "description": label,
        "style": {"description_width": "9em"},
        "layout": _wide(36),
    }
    if isinstance(knob, bool):
        return ipywidgets.Checkbox(knob, **wide)
    if isinstance(knob, list) and knob:
        return ipywidgets.Dropdown(options=knob, value=knob[0], **wide)
    if not isinstance(knob, tuple) or len(knob) != 4 or not knob[0] <= knob[3] <= knob[1]:
        raise ValueError(
            f"The knob {name}={knob!r} is none: write (lowest, highest, step, first value), [choices], True or False."
        )
    low, high, step, first = knob
    whole = all(isinstance(number, int) for number in knob)
    slider = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    return slider(value=first, min=low, max=high, step=step, continuous_update=False, **wide)


def typed(make: Callable[[str], Any], text: str, label: str = "Your text") -> Live:
    """A text box above something that follows what is typed. make: takes the text, returns something to show."""
    style = {"description_width": "initial"}
    area = ipywidgets.Textarea(text, description=label, style=style, layout=_wide(44, height="4.5em"))
    return Live(lambda **values: make(values[label]), {label: area})


# --- ranking by clicks ----------------------------------------------------------------------------------------------

CARDS = """<style>
.course-card.jupyter-button { white-space: normal; height: auto; min-height: 2.6em; text-align: left;
    line-height: 1.4; padding: 0.5em 1em; border-left: 4px solid #0072B2; overflow: visible; }
.course-card.jupyter-button:disabled { opacity: 0.75; }
.course-card.jupyter-button.mod-info { background: #005a8e; color: white; }
</style>"""


class Ballot:
    """Several questions, each with answers to be ranked by clicking on them, the best first.

    Nothing waits: a later cell asks for `rankings()`, and gets what has been clicked until then. Another program can
    click as well: choose(place), undo(), next(), simulate(). Nobody is asked to order equal answers: they share a card
    and a rank, and a question whose answers are all equal is left out. See `rank_by_clicking`.
    """

    def __init__(
        self,
        items: Sequence[tuple[Any, Sequence[str]]],
        annotator: Callable[[Any, Sequence[str]], Sequence[int]] | None = None,
        on_done: Callable[[Ballot], None] | None = None,
    ):
        self.items = [(question, tuple(answers)) for question, answers in items]
        if not self.items or not all(2 <= len(answers) <= len(LETTERS) for _, answers in self.items):
            raise ValueError(f"A ballot needs a question, and two to {len(LETTERS)} answers to each.")
        self.items = [item for item in self.items if len({*item[1]}) > 1]
        if not self.items:
            raise ValueError("There is nothing to rank: the answers to each question are all equal.")
        self.annotator, self.on_done = annotator, on_done
        self.orders: list[list[int]] = [[] for _ in self.items]  # the places clicked, for each question
        self.place = 0  # of the question that is shown
        self.heading, self.message = ipywidgets.HTML(), ipywidgets.HTML()
        most = max(len(answers) for _, answers in self.items)
        self.cards = [ipywidgets.Button(layout=_wide(44)) for _ in range(most)]
        for number, card in enumerate(self.cards):
            card.add_class("course-card")
            card.on_click(lambda _, number=number: self.choose(number))
        self.undo_button = self._button("Undo", self.undo, "Take the last click back")
        self.next_button = self._button("Next", self.next, "Go on to the next question")
        self.simulate_button = self._button("Let the simulated annotator rank the rest", self.simulate, "")
        self.simulate_button.layout.width = "auto"
        buttons = [self.undo_button, self.next_button, *([self.simulate_button] if annotator else [])]
        style = ipywidgets.HTML(CARDS)
        self.box = Box(
            [style, self.heading, *self.cards, self.message, ipywidgets.HBox(buttons)], Html(*self._instead())
        )
        self._refresh()

    def rankings(self) -> list[tuple[Any, tuple[str, ...]]]:
        """What was ranked so far: (question, answers with the best first), [] if nobody has clicked."""
        pairs = zip(self.items, self.orders, strict=True)
        return [
            (question, tuple(answers[i] for i in order))
            for (question, answers), order in pairs
            if len(order) == len(answers)
        ]

    def choose(self, number: int) -> None:
        """The next best answer is this one, counted from 0. A second click on it changes nothing."""
        order, (_, answers) = self.orders[self.place], self.items[self.place]
        if number in order or not 0 <= number < len(answers):
            return
        order += [i for i, text in enumerate(answers) if text == answers[number]]
        left = [i for i in range(len(answers)) if i not in order]
        if len({answers[i] for i in left}) == 1:  # what is left is the last
            order += left
        self._refresh()
        self._tell()

    def undo(self) -> None:
        """Take the last click back. With nothing to take back here, return to the question before."""
        order, (_, answers) = self.orders[self.place], self.items[self.place]
        if order:
            last = 2 if len(order) == len(answers) else 1  # the last answer ranked itself
            kept = list(dict.fromkeys(answers[i] for i in order))[:-last]
            order[:] = [i for i in order if answers[i] in kept]
        elif self.place:
            self.place -= 1
        self._refresh()

    def next(self) -> None:
        """Show the next question, once this one is ranked."""
        ranked = len(self.orders[self.place]) == len(self.items[self.place][1])
        if ranked and self.place + 1 < len(self.items):
            self.place += 1
        self._refresh()

    def simulate(self) -> None:
        """Let the annotator rank what nobody has ranked. Raises ValueError without an annotator."""
        if self.annotator is None:
            raise ValueError("There is no annotator to do it: give one as rank_by_clicking(..., annotator=...).")
        for place, (question, answers) in enumerate(self.items):
            if len(self.orders[place]) < len(answers):
                self.orders[place] = list(self.annotator(question, answers))
        self.place = len(self.items) - 1
        self._refresh()
        self._tell()

    def _tell(self) -> None:
        if self.on_done is not None and len(self.rankings()) == len(self.items):
            self.on_done(self)

    def _button(self, name: str, press: Callable[[], None], tip: str) -> ipywidgets.Button:
        button = ipywidgets.Button(description=name, tooltip=tip)
        button.on_click(lambda _: press())
        return button

    def _refresh(self) -> None:
        """Show the question, the cards with the ranks given so far, and what to do now."""
        (question, answers), order = self.items[self.place], self.orders[self.place]
        ranked_texts = list(dict.fromkeys(answers[i] for i in order))  # equal ones once
        done, left = len(order) == len(answers), len({*answers}) - len(ranked_texts)
        self.heading.value = (
            f"Question {self.place + 1} of {len(self.items)}: <strong>{html.escape(_words(question))}</strong>"
        )
        for number, card in enumerate(self.cards):
            text = answers[number] if number < len(answers) else None
            card.layout.display = None if text is not None and answers.index(text) == number else "none"
            if text is not None:
                letters = ", ".join(letter for letter, t in zip(LETTERS, answers, strict=False) if t == text)
                rank = f"[{ranked_texts.index(text) + 1}] " if number in order else ""
                card.description = f"{rank}{letters}. {text}"
                card.button_style = "info" if number in order else ""
        self.undo_button.disabled = not order and self.place == 0
        self.next_button.disabled = not done or self.place + 1 == len(self.items)
        self.simulate_button.disabled = ranked = len(self.rankings()) == len(self.items)
        say = f"Click the best of the {left} answers that are left."
        if ranked:
            say = f"Thank you: you ranked {len(self.items)} sets of answers. Go on to the next cell."
        elif done:
            say = "Ranked. Press Next, or Undo."
        self.message.value = f'<span role="status">{say}</span>'

    def _instead(self) -> tuple[str, str]:
        question, answers = self.items[0]
        lines = [f"{letter}. {answer}" for letter, answer in zip(LETTERS, answers, strict=False)]
        said = f"Question 1 of {len(self.items)}: {_words(question)}"
        hint = "Run this cell in JupyterLab to rank the answers by clicking."
        page = "".join(f"<div>{html.escape(line)}</div>" for line in lines)
        return f"<p><strong>{html.escape(said)}</strong></p>{page}<p><em>{hint}</em></p>", "\n".join(
            [said, *lines, hint]
        )

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.box._repr_mimebundle_(**options)


def _words(question: Any) -> str:
    """The words of a question: of a text, or of something with a `prompt`, as the world asks it."""
    return str(getattr(question, "prompt", question))


def rank_by_clicking(
    items: Sequence[tuple[Any, Sequence[str]]],
    annotator: Callable[[Any, Sequence[str]], Sequence[int]] | None = None,
    on_done: Callable[[Ballot], None] | None = None,
) -> Ballot:
    """Rank answers to several questions by clicking. Returns at once; show the result as a cell's last line.

    items: (question, answers); a question is a text, or has a `prompt`, as those of the world. In a later cell
    `.rankings()` gives what was clicked as (question, answers with the best first), [] if nothing was.
    annotator: ranks what the learner leaves over, when asked to; takes (question, answers), returns the places of the
    answers with the best first, as `rubric.Annotator().rank` does. on_done: called with the ballot when all is ranked.
    Raises ValueError when there is nothing to rank.
    """
    return Ballot(items, annotator, on_done)


# --- a chat window --------------------------------------------------------------------------------------------------


class Chat:
    """A chat window: what was said, a line to type in, and a button. See `chat_box`."""

    def __init__(self, conversation: Conversation, first: str = ""):
        self.conversation = conversation
        self.said: list[tuple[str, str]] = []
        self.talk = ipywidgets.HTML()
        self.line = ipywidgets.Text(placeholder="Ask about a country, and press Enter", layout=_wide(36))
        self.button = ipywidgets.Button(description="Ask", button_style="primary")
        self.button.on_click(lambda _: self.send())
        self.line.on_msg(lambda _, content, __: self.send() if content.get("event") == "submit" else None)
        self.box = ipywidgets.VBox([self.talk, ipywidgets.HBox([self.line, self.button])])
        if first:
            self.ask(first)

    def send(self) -> None:
        """Ask what stands in the line."""
        question, self.line.value = self.line.value.strip(), ""
        if question:
            self.ask(question)

    def ask(self, question: str) -> None:
        """Ask, and show the answer as it is generated; when it cannot be asked, a sentence that says why."""
        from course.chat import unfamiliar  # with torch, which `import course.show.widgets` does without

        self.said.append((question, ""))
        answer = ""
        try:
            for piece in self.conversation.stream(question):
                answer += piece
                self._say(answer)
        except ValueError as error:
            answer = str(error)
        answer = f"{unfamiliar(self.conversation.tokenizer, question)} {answer}"
        self._say(answer.strip() or "(The model ended its answer before the first word.)")

    def _say(self, answer: str) -> None:
        self.said[-1] = (self.said[-1][0], answer)
        self.talk.value = self._page()

    def _page(self) -> str:
        rows = [(who, text) for pair in self.said for who, text in zip(("You", "Model"), pair, strict=True)]
        lines = "".join(f"<div><strong>{who}:</strong> {html.escape(text)}</div>" for who, text in rows)
        return f'<div role="log" style="line-height: 1.7; font-size: 14px">{lines}</div>'

    def _repr_mimebundle_(self, **options: Any) -> Any:
        text = "\n".join(f"You: {question}\nModel: {answer}" for question, answer in self.said)
        hint = "Run this cell in JupyterLab to ask more."
        return {
            **(self.box._repr_mimebundle_(**options) or {}),
            "text/html": f"{self._page()}<p><em>{hint}</em></p>",
            "text/plain": f"{text}\n{hint}",
        }


def chat_box(conversation: Conversation, first: str = "What is the capital of Japan?") -> Chat:
    """A small chat window: the talk, and below it a line to type in; answers appear as they are generated.

    first: is asked at once, so that there is something to read ("" for nothing). Show the result as a cell's last line.
    `.said` holds (question, answer) of all that was said.
    """
    return Chat(conversation, first)
