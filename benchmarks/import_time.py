"""How long `import course` takes, in a fresh process, beside a Python that does nothing.

python benchmarks/import_time.py
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import click
from _timing import interleave, machine, quartiles

TARGET = 0.2  # seconds
PROGRAMS = {"python alone": "pass", "import course": "import course", "import course.cli": "import course.cli"}


@click.command()
@click.option("--repeats", default=15, show_default=True)
def main(repeats: int) -> None:
    """Time the import in fresh processes, in turns."""
    machine()
    runs = {name: partial(subprocess.run, [sys.executable, "-c", text], check=True) for name, text in PROGRAMS.items()}
    seconds = interleave(runs, repeats)
    alone = seconds["python alone"]
    for name in list(PROGRAMS)[1:]:
        low, middle, high = quartiles([all_ - bare for all_, bare in zip(seconds[name], alone, strict=True)])
        held = "" if middle <= TARGET else "  MISSED"
        click.echo(f"  {name:20} {middle:.3f} s ({low:.3f} to {high:.3f}); to reach ≤ {TARGET:g}{held}")
    probe = "import sys, course.cli; print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True).stdout.strip()
    click.echo(f"  heavy packages loaded with course.cli: {loaded}")


if __name__ == "__main__":
    main()
