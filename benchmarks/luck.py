"""Is a right answer ever failed by an unlucky draw? Every right answer of the tests, judged with many seeds.

python benchmarks/luck.py                    a thousand seeds, some minutes
python benchmarks/luck.py --seeds 100
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import click
import torch

from course.practice import exercises
from course.practice.exercise import PRELUDE, Exercise, judge
from course.practice.plain import call

ANSWERS = Path(__file__).resolve().parent.parent / "tests" / "answers"


def right_answers(topic: str) -> dict[str, list[str]]:
    """Exercise id -> sources, from the tests."""
    spec = importlib.util.spec_from_file_location(f"answers_{topic}", ANSWERS / f"{topic}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, list[str]] = module.RIGHT
    return found


def functions(exercise: Exercise, known: dict[str, list[str]]) -> list[Any]:
    """The functions of an exercise's right answers."""
    made = []
    for source in known[exercise.id]:
        names: dict[str, Any] = {}
        for part in (PRELUDE, *(known[other][0] for other in exercise.uses), source):
            exec(part, names)
        made.append(names[exercise.entry])
    return made


@click.command()
@click.option("--seeds", default=1000, show_default=True)
def main(seeds: int) -> None:
    """Judge every right answer with every seed."""
    torch.set_num_threads(1)
    failed = judged = 0
    for notebook, topic in exercises.TOPICS.items():
        known = right_answers(topic)
        for exercise in exercises.of(notebook):
            answers, bad = functions(exercise, known), 0
            for seed in range(seeds):
                cases = exercise.draw(seed)
                expected = exercise.expected(cases)
                for answer in answers:
                    verdict = judge(exercise, cases, expected, [call(answer, case) for case in cases])
                    judged += 1
                    if not verdict.passed:
                        bad += 1
                        click.echo(f"  {exercise.id}, seed {seed}: {verdict.message}")
            failed += bad
            click.echo(f"{exercise.id:28} {len(answers)} right answers, {seeds} seeds: {bad} failed")
    click.echo(f"\n{judged:,} judgements, {failed} failed; to reach 0{'  MISSED' if failed else ''}")


if __name__ == "__main__":
    main()
