"""All exercises of the course: one module per notebook, in the notebooks' order."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from course.practice.exercise import Exercise

TOPICS = {  # notebook -> module
    "01_tokens": "tokens",
    "02_attention": "attention",
    "03_transformer": "transformer",
    "04_pretraining": "pretraining",
    "05_generation": "generation",
    "06_in_context": "in_context",
    "08_sft": "sft",
    "09_reward_model": "reward_model",
    "10_rlhf_ppo": "rlhf_ppo",
    "11_dpo_and_grpo": "dpo_and_grpo",
}


@cache
def of(notebook: str) -> tuple[Exercise, ...]:
    """The exercises of a notebook such as "02_attention", in their order."""
    exercises: tuple[Exercise, ...] = import_module(f"course.practice.exercises.{TOPICS[notebook]}").EXERCISES
    return exercises


@cache
def everything() -> dict[str, Exercise]:
    """id -> exercise, all of the course in order."""
    return {exercise.id: exercise for notebook in TOPICS for exercise in of(notebook)}


def find(name: str) -> Exercise:
    """The exercise with this id, or that asks for a function of this name. Raises KeyError, naming near ones."""
    for exercise in everything().values():
        if name in (exercise.id, exercise.entry):
            return exercise
    from difflib import get_close_matches

    names = [*everything(), *(exercise.entry for exercise in everything().values())]
    near = get_close_matches(name, names, 3, 0.5)
    hint = f"Did you mean {', '.join(near)}?" if near else f"There are: {', '.join(everything())}."
    raise KeyError(f'No exercise asks for "{name}". {hint}')
