"""The whole chain from nothing, into a folder that is removed again: seconds, figures, memory.

python benchmarks/chain.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click
from _timing import machine

from course import runtime
from course.chain import recipe, store

TARGET = 480  # seconds


@click.command()
@click.option("--seed", default=0, show_default=True)
def main(seed: int) -> None:
    """Build the chain and print what it took."""
    runtime.set_threads()
    machine()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        made = recipe.build(where=Path(folder), seed=seed)
        seconds = time.perf_counter() - started
    for kind, artifact in made.items():
        card = artifact.card
        click.echo(f"  {store.NAMES[kind]:18} {card.seconds:6.0f} s")
    held = "" if seconds <= TARGET else "  MISSED"
    click.echo(f"  {'together':18} {seconds:6.0f} s; to reach ≤ {TARGET}{held}")
    if sys.platform != "win32":
        import resource  # not on Windows

        unit = 1e9 if sys.platform == "darwin" else 1e6  # macOS counts bytes, Linux kB
        click.echo(f"  at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit:.1f} GB of memory")


if __name__ == "__main__":
    main()
