"""Knobs: sliders that redraw a picture, a text box, ranking by clicks, a small chat window.

Everything here works without anybody touching it: the picture for the first values is shown as an ordinary output, so
that it is there in print, on the projector and on a web page, and a cell never waits for a click.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets
from IPython.display import display

if TYPE_CHECKING:
    from course.chat import Conversation


class Html:
    """A piece of HTML, with the same content as plain text where no HTML is shown."""

    def __init__(self, page: str, text: str):
        self.page, self.text = page, text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.page, "text/plain": self.text}


def explore(make: Callable[..., Any], **knobs: Any) -> ipywidgets.VBox:
    """Sliders above a picture that follows them. make: takes the knobs' values, returns something to show.

    knobs: name=(lowest, highest, step, first value), name=[choices] (the first is chosen) or name=True or False.
    The picture for the first values is an ordinary output; it is replaced when a knob is turned.
    """
    controls = {name: _control(name, knob) for name, knob in knobs.items()}
    box = ipywidgets.VBox(list(controls.values()))
    display(box)
    shown = display(make(**{name: control.value for name, control in controls.items()}), display_id=True)

    def redraw(_: Any) -> None:
        picture = make(**{name: control.value for name, control in controls.items()})
        if shown is not None:
            shown.update(picture)

    for control in controls.values():
        control.observe(redraw, names="value")
    return _Quiet(box, controls)


class _Quiet(ipywidgets.VBox):
    """What `explore` returns: the box and its knobs by name, shown already, so the cell's result shows nothing more."""

    def __init__(self, box: ipywidgets.VBox, controls: dict[str, ipywidgets.Widget]):
        super().__init__(box.children)
        self.controls = controls

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {}


def _control(name: str, knob: Any) -> ipywidgets.Widget:
    label = name.replace("_", " ")
    wide = {"description": label, "style": {"description_width": "9em"}, "layout": ipywidgets.Layout(width="32em")}
    if isinstance(knob, bool):
        return ipywidgets.Checkbox(knob, **wide)
    if isinstance(knob, list):
        return ipywidgets.Dropdown(options=knob, value=knob[0], **wide)
    low, high, step, first = knob
    whole = all(isinstance(number, int) for number in knob)
    slider = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    return slider(value=first, min=low, max=high, step=step, continuous_update=False, **wide)


def typed(make: Callable[[str], Any], text: str, label: str = "Your text") -> ipywidgets.VBox:
    """A text box above something that follows what is typed. make: takes the text, returns something to show."""
    area = ipywidgets.Textarea(text, description=label, layout=ipywidgets.Layout(width="44em", height="4.5em"))
    display(area)
    shown = display(make(text), display_id=True)

    def redraw(change: Any) -> None:
        if shown is not None:
            shown.update(make(change["new"]))

    area.observe(redraw, names="value")
    return _Quiet(ipywidgets.VBox([area]), {"text": area})


class Ranking:
    """Answers A, B, C, D to be ranked by clicking on them, the best first.

    `order` holds the places clicked so far; `done` tells whether all are ranked. Nothing waits: a later cell asks
    `rankings()` of `rank_by_clicking`, and gets what has been clicked until then.
    """

    def __init__(self, question: str, answers: Sequence[str], on_done: Callable[[list[int]], None] | None = None):
        if len(answers) < 2:
            raise ValueError("There is nothing to rank: give two answers or more.")
        self.question, self.answers, self.on_done = question, list(answers), on_done
        self.order: list[int] = []
        self.title = ipywidgets.HTML(f"<strong>{html.escape(question)}</strong>")
        wide = ipywidgets.Layout(width="48em", height="auto")
        self.buttons = [ipywidgets.Button(layout=wide, tooltip="Click in order, the best first") for _ in answers]
        for place, button in enumerate(self.buttons):
            button.on_click(lambda _, place=place: self.choose(place))
        self.undo_button = ipywidgets.Button(description="Undo", icon="undo")
        self.undo_button.on_click(lambda _: self.undo())
        self.message = ipywidgets.HTML()
        self.box = ipywidgets.VBox([self.title, *self.buttons, self.undo_button, self.message])
        self._refresh()

    @property
    def done(self) -> bool:
        """Are all answers ranked?"""
        return len(self.order) == len(self.answers)

    def choose(self, place: int) -> None:
        """The next best answer is this one. A second click on the same answer changes nothing."""
        if place in self.order:
            return
        self.order.append(place)
        if len(self.order) == len(self.answers) - 1:  # what is left is the last
            self.order += [i for i in range(len(self.answers)) if i not in self.order]
        self._refresh()
        if self.done and self.on_done is not None:
            self.on_done(list(self.order))

    def undo(self) -> None:
        """Take the last click back; when all are ranked, all of them."""
        self.order = [] if self.done else self.order[:-1]
        self._refresh()

    def _refresh(self) -> None:
        for place, (button, answer) in enumerate(zip(self.buttons, self.answers, strict=True)):
            rank = f"[{self.order.index(place) + 1}]  " if place in self.order else ""
            button.description = f"{rank}{'ABCDEFGH'[place]}.  {answer}"
            button.button_style = "info" if place in self.order else ""
        left = len(self.answers) - len(self.order)
        self.message.value = "Thank you." if self.done else f"Click the best of the {left} answers that are left."


class Ballot:
    """Several questions to be ranked one after the other; see `rank_by_clicking`."""

    def __init__(self, items: Sequence[tuple[str, Sequence[str]]]):
        self.items = list(items)
        self.given: dict[int, list[int]] = {}
        self.place = 0
        self.heading = ipywidgets.HTML()
        self.body = ipywidgets.VBox()
        self.box = ipywidgets.VBox([self.heading, self.body])
        self._show()

    def rankings(self) -> list[tuple[str, tuple[str, ...]]]:
        """What was ranked so far: (question, answers with the best first)."""
        found = []
        for place, order in sorted(self.given.items()):
            question, answers = self.items[place]
            found.append((question, tuple(answers[i] for i in order)))
        return found

    def _show(self) -> None:
        if self.place == len(self.items):
            self.heading.value = (
                f"<strong>You ranked {len(self.given)} sets of answers.</strong> Go on to the next cell."
            )
            self.body.children = ()
            return
        self.heading.value = f"Question {self.place + 1} of {len(self.items)}. Click the answers, the best first."
        self.current = Ranking(*self.items[self.place], on_done=self._next)
        self.body.children = (self.current.box,)

    def _next(self, order: list[int]) -> None:
        self.given[self.place] = order
        self.place += 1
        self._show()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        page, text = [], []
        for question, answers in self.items[:1]:
            page.append(f"<p><strong>{html.escape(question)}</strong></p>")
            text.append(question)
            for letter, answer in zip("ABCDEFGH", answers, strict=False):
                page.append(f"<div>{letter}. {html.escape(answer)}</div>")
                text.append(f"{letter}. {answer}")
        bundle = self.box._repr_mimebundle_(**options) or {}
        return {**bundle, "text/html": "\n".join(page), "text/plain": "\n".join(text)}


def rank_by_clicking(items: Sequence[tuple[str, Sequence[str]]]) -> Ballot:
    """Rank answers to several questions by clicking. items: (question, answers). Returns at once.

    Show the result as a cell's last line; in a later cell `.rankings()` gives what was clicked, [] if nothing was.
    """
    return Ballot(items)


def chat_box(conversation: Conversation, first: str = "What is the capital of Japan?") -> ipywidgets.VBox:
    """A small chat window: a line to type in, and the talk above it, answers appearing as they are generated."""
    talk = ipywidgets.HTML()
    line = ipywidgets.Text(first, placeholder="Ask about a country", layout=ipywidgets.Layout(width="36em"))
    send = ipywidgets.Button(description="Ask", button_style="primary")
    said: list[str] = []

    def ask(_: Any) -> None:
        question = line.value.strip()
        if not question:
            return
        said.append(f"<p><strong>You:</strong> {html.escape(question)}</p>")
        answer = ""
        try:
            for piece in conversation.stream(question):
                answer += piece
                talk.value = "".join(said) + f"<p><strong>Assistant:</strong> {html.escape(answer)}</p>"
        except ValueError as error:  # a question that is too long: a sentence, not a traceback
            answer = str(error)
        said.append(f"<p><strong>Assistant:</strong> {html.escape(answer)}</p>")
        talk.value = "".join(said)
        line.value = ""

    send.on_click(ask)
    return ipywidgets.VBox([talk, ipywidgets.HBox([line, send])])
