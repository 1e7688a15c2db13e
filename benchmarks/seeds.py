"""The chain from five seeds: does each figure hold on every one, and how far do they spread?

    python benchmarks/seeds.py                all five seeds, about 8 minutes each on two cores
    python benchmarks/seeds.py --seeds 3 4    some of them

Nothing is saved but the table, which is printed as it grows.
"""

from __future__ import annotations

import statistics
import time

import click
from world import report  # type: ignore[import-not-found]

from course import runtime
from course.chain import recipe

# The figure, where it stands in the metrics, and what it must reach.
FIGURES = {
    "base: recall of capitals": ("base", "recall", ">=", 0.95),
    "SFT: right answers about held-out countries": ("sft", "right_greedy", ">=", 0.80),
    "reward model: agreement with the rubric": ("reward", "agreement", ">=", 0.92),
    "reward model: pairs that differ in truth": ("reward", "truth", ">=", 0.80),
    "PPO, greedy as in the chat: preferred to SFT": ("assistant", "win_rate", ">=", 0.85),
    "PPO, drawn: preferred to SFT, of non-ties": ("assistant", "win_rate_drawn", ">=", 0.85),
    "PPO, greedy: rude answers": ("assistant", "rude_greedy", "<=", 0.01),
    "PPO, drawn: rude answers": ("assistant", "rude", "<=", 0.01),
    "PPO, drawn: empty answers": ("assistant", "empty", "<=", 0.01),
    "PPO, drawn: right answers, against SFT's": ("assistant", "right_gain", ">=", 0.0),
    "PPO, greedy: right answers, against SFT's": ("assistant", "right_greedy_gain", ">=", 0.0),
    "seconds for the whole chain": ("chain", "seconds", "<=", 480.0),
}


def run_chain(seed: int) -> dict[str, dict[str, float]]:
    """Every step from nothing, in memory; the metrics of each. Prints what SFT model and assistant can do."""
    started = time.perf_counter()
    settings = recipe.Recipe.with_seed(seed)
    tokenizer = recipe.train_tokenizer(settings.tokenizer)
    base, base_metrics, _ = recipe.train_base(tokenizer, settings.base)
    sft, sft_metrics, _ = recipe.train_sft(base, tokenizer, settings.sft)
    rankings = recipe.collect_rankings(sft, tokenizer, settings.reward)
    reward, reward_metrics, _ = recipe.train_reward(sft, tokenizer, rankings, settings.reward)
    assistant, assistant_metrics, _ = recipe.train_assistant(sft, reward, tokenizer, settings.assistant)
    seconds = time.perf_counter() - started
    for name, model in (("SFT model", sft), ("assistant", assistant)):
        click.echo(f"\nseed {seed}: what the {name} can do")
        report(model, tokenizer)
    assistant_metrics["right_gain"] = assistant_metrics["right"] - assistant_metrics["sft_right"]
    assistant_metrics["right_greedy_gain"] = assistant_metrics["right_greedy"] - sft_metrics["right_greedy"]
    return {
        "base": base_metrics,
        "sft": sft_metrics,
        "reward": reward_metrics,
        "assistant": assistant_metrics,
        "chain": {"seconds": seconds},
    }


@click.command()
@click.option("--seeds", multiple=True, type=int, default=(0, 1, 2, 3, 4), show_default=True)
def main(seeds: tuple[int, ...]) -> None:
    """Run the chain from each seed and print every figure beside what it must reach."""
    runtime.set_threads()
    found: dict[str, list[float]] = {name: [] for name in FIGURES}
    for seed in seeds:
        metrics = run_chain(seed)
        click.echo(f"\nseed {seed}")
        for name, (kind, key, sign, bound) in FIGURES.items():
            value = metrics[kind][key]
            found[name].append(value)
            held = value >= bound if sign == ">=" else value <= bound
            click.echo(f"  {name:48} {value:8.3f}   to reach {sign} {bound:<6g} {'' if held else '  MISSED'}")
        details = {kind: {key: round(value, 3) for key, value in part.items()} for kind, part in metrics.items()}
        click.echo(f"  all: {details}")
    click.echo(f"\n{'over ' + str(len(seeds)) + ' seeds':50} {'lowest':>8} {'median':>8} {'highest':>8}")
    for name, values in found.items():
        click.echo(f"  {name:48} {min(values):8.3f} {statistics.median(values):8.3f} {max(values):8.3f}")


if __name__ == "__main__":
    main()
