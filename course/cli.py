"""The command `course`: build the chain, talk to a model, look at what there is, find out what is wrong.

    course build          train every model of the chain; Ctrl-C and the same command go on later
    course chat           talk to the assistant (or to an earlier stage: course chat reward)
    course status         which models there are, and which are out of date
    course progress       the exercises: what is passed, and what to do next
    course export         notebooks as web pages that need neither Python nor a network
    course lecture        a notebook as a slide show, with a kernel behind it; --pdf prints a handout
    course grade          judge a folder of submitted exercise notebooks
    course doctor         is the environment sound?

An error is one sentence on the error stream and the exit code 1; with --debug also where it happened.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from course import __version__, checkpoint
from course.chain import store
from course.world import corpus

if TYPE_CHECKING:  # `course status` does without torch
    from course.chain.talk import Talk

SEEDS, SEED_HELP = click.IntRange(0, 2**31 - 1), "Of the random numbers: the same seed gives the same result."
WINDOWS = os.name == "nt"
NEEDED_GB = 0.5  # free disk space below which trainings may fail


LAZY = {"grade": "course.grading.command"}  # command -> the module that has it: imported when it is asked for


class SentenceGroup(click.Group):
    """Commands whose errors are sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return sorted({*super().list_commands(ctx), *LAZY})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of a name."""
        if name not in LAZY:
            return super().get_command(ctx, name)
        found: click.Command = getattr(import_module(LAZY[name]), name)
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn what it raises into one sentence, unless --debug asks for everything."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            click.echo("\nInterrupted. What was saved is whole; the same command continues from there.", err=True)
            ctx.exit(130)
        except Exception as error:
            if ctx.meta.get("course.debug"):
                raise
            raise click.ClickException(sentence_of(error)) from error


def sentence_of(error: Exception) -> str:
    """What to show of an error: its sentence, or for an unexpected one also its type and where to ask."""
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | OSError | FloatingPointError) and text:
        return text
    return f"{type(error).__name__}: {text or 'no details'}. This should not happen; --debug shows where it did."


def debug_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --debug, which may stand before or after the name of the command."""

    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        ctx.meta["course.debug"] = value or ctx.meta.get("course.debug", False)

    return click.option(
        "--debug", is_flag=True, expose_value=False, callback=remember, help="Show where an error happened."
    )(command)


@click.group(cls=SentenceGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="course")
@debug_option
def main() -> None:
    """Build an assistant like ChatGPT from nothing, on your own machine."""
    for stream in (sys.stdout, sys.stderr):  # a console that lacks a letter shows "?" instead of failing
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


# --- build --------------------------------------------------------------------------------------------------


@main.command()
@click.argument("kinds", nargs=-1, metavar="[KIND]...", type=click.Choice(store.KINDS))
@click.option(
    "--text",
    type=click.Path(path_type=Path),
    help="Train a tokenizer and a base model on this file (UTF-8). With --into they do not take the place of yours.",
)
@click.option("--force", is_flag=True, help="Train again what is there already.")
@click.option("--into", type=click.Path(path_type=Path), help="Save here instead of in your user folder.")
@click.option("--seed", type=SEEDS, default=0, show_default=True, help=SEED_HELP)
@debug_option
def build(kinds: tuple[str, ...], text: Path | None, force: bool, into: Path | None, seed: int) -> None:
    """Train the chain, or only the given parts of it: tokenizer, base, sft, reward, assistant.

    An interrupted training goes on when the same command is given again.
    """
    if text == Path():
        raise click.BadParameter("the name of the file is missing.", param_hint="--text")
    paragraphs = None if text is None else corpus.text_file(text)
    checkpoint.probe(into or store.home())  # better now than after minutes of training
    from course import runtime
    from course.chain import recipe

    runtime.set_threads()
    ordered = tuple(kind for kind in store.KINDS if not kinds or kind in kinds)
    recipe.build(ordered, where=into, text=paragraphs, force=force, seed=seed)


# --- chat ---------------------------------------------------------------------------------------------------


@main.command()
@click.argument("kind", default="assistant", type=click.Choice(store.KINDS[::-1]))
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    help="How random: 0 always takes the likeliest token. By default answers are drawn at 0, continuations of the base "
    "model at 0.8, and what the reward model judges at 1.",
)
@click.option("--seed", type=SEEDS, default=0, show_default=True, help=SEED_HELP)
@debug_option
def chat(kind: str, temperature: float | None, seed: int) -> None:
    """Talk to the assistant, or to any earlier stage of the chain.

    sft answers, base continues your text, reward judges answers, tokenizer shows tokens. Questions may also be piped
    in, one per line. "exit", Ctrl-C or Ctrl-D (on Windows Ctrl-Z and Enter) leave.
    """
    from course import runtime
    from course.chain.talk import HINTS, talk_with

    runtime.set_threads()
    interactive = sys.stdin is not None and sys.stdin.isatty()
    talk, which = talk_with(kind, temperature, seed)
    click.echo(which, err=not interactive)
    if interactive:
        end = "Ctrl-Z and Enter" if WINDOWS else "Ctrl-D"
        click.echo(f'{HINTS[kind]} {end} or "exit" leaves.')
    with contextlib.suppress(KeyboardInterrupt):
        for text in _lines(interactive):
            if text in ("exit", "quit"):
                break
            if text:
                _reply(talk, text, warn=kind != "tokenizer")
    if interactive:
        click.echo("\nGoodbye.")


def _lines(interactive: bool) -> Iterator[str]:
    """What is typed or piped in, line by line, without the space around it."""
    if interactive:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 (gives input() its arrow keys; not on Windows)
        with contextlib.suppress(EOFError):
            while True:
                yield input("> ").strip()
        return
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")
    try:
        for line in sys.stdin:
            yield line.strip()
    except UnicodeDecodeError:
        raise ValueError("The questions are not UTF-8 text; save them as UTF-8 and pipe them in again.") from None


def _reply(talk: Talk, text: str, warn: bool) -> None:
    """Answer one line, piece by piece. If it cannot be answered, say why; the talk goes on.

    warn: say so when the tokenizer hardly knows the line's script.
    """
    from course.chat import unfamiliar

    try:
        if warn and (warning := unfamiliar(talk.tokenizer, text)):
            click.echo(warning, err=True)
        for piece in talk.stream(text):
            click.echo(piece, nl=False)
        click.echo()
    except ValueError as error:
        click.echo(sentence_of(error), err=True)


# --- status and doctor --------------------------------------------------------------------------------------


@main.command()
@debug_option
def status() -> None:
    """Show the chain: which models are yours, which came with the course, what is out of date."""
    click.echo(f"Your models are kept in {_kept()}.\n")
    for row in store.status():
        click.echo(f"{row.kind:<10} {row.state:<8} {row.detail}")
        if row.todo:
            click.echo(f"{'':<19} {row.todo}")
        if row.unfinished:
            click.echo(f"{'':<19} A training of it was interrupted; the command or cell that began it goes on with it.")


def _kept() -> str:
    """Where the models really lie: Windows redirects the user folder of a Python from Microsoft's Store."""
    return os.path.realpath(store.home())


# --- exercises ----------------------------------------------------------------------------------------------


@main.command()
@click.option("--reset", is_flag=True, help="Begin again; what was noted so far is put aside, not deleted.")
@debug_option
def progress(reset: bool) -> None:
    """Show the exercises: attempted, passed, minutes, and what to do next."""
    from course.practice import progress as notes

    if reset:
        aside = notes.reset()
        click.echo(f"What was noted so far is in {aside}." if aside else "Nothing was noted so far.")
    click.echo(repr(notes.Panel()))


# --- reading elsewhere --------------------------------------------------------------------------------------


@main.command()
@click.argument("names", nargs=-1, metavar="[NOTEBOOK]...")
@click.option(
    "--into", type=click.Path(path_type=Path), default=Path("pages"), show_default=True, help="The folder for them."
)
@click.option(
    "--track",
    type=click.Choice(["all", "generalist"]),
    default="all",
    show_default=True,
    help="generalist: without the parts that are marked for engineers.",
)
@debug_option
def export(names: tuple[str, ...], into: Path, track: str) -> None:
    """Write notebooks as web pages, each one file, to read and show without Python and without a network.

    A notebook is named by its number (02) or name; without one, all are written. The pages hold the outputs that are
    stored in the notebooks.
    """
    from course.show.export import export as write

    for page in write(names, into, track):
        click.echo(f"{page}  {page.stat().st_size / 1e6:.1f} MB")


@main.command()
@click.argument("name", metavar="NOTEBOOK")
@click.option("--pdf", is_flag=True, help="Print a handout instead: the slides with what is said about them.")
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    help="Write into this folder: the slide show, one file that opens without Python; with --pdf the handout, which "
    "else goes to the folder pages.",
)
@click.option("--browser/--no-browser", default=True, help="Open it in the browser, or only tell the address.")
@debug_option
def lecture(name: str, pdf: bool, into: Path | None, browser: bool) -> None:
    """Give a lecture: a slide show of a notebook, named by its number (02).

    PageDown and PageUp, the keys that presenters send, go on and back. S opens the speaker's notes with minutes and
    questions, R runs a slide's cell in a kernel (after the cells before it), Esc shows all slides, F fills the screen.
    No network is needed.
    """
    from course.show import export, lecture

    (notebook,) = export.named([name])
    if pdf:
        click.echo(lecture.handout(notebook, into or Path("pages")))
        return
    if into is not None:
        (path,) = lecture.write([name], into)
        click.echo(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
        return
    show = lecture.Show(notebook)
    try:
        click.echo(f"The slides of {notebook.stem} are at {show.address}\nCtrl-C here ends them.")
        if browser:
            click.launch(show.address)
        show.wait()
    except KeyboardInterrupt:
        click.echo()
    finally:
        show.close()


# --- is all well? -------------------------------------------------------------------------------------------


class Finding(NamedTuple):
    """What `doctor` found: a sentence, and what to do if it is bad ("" if all is well)."""

    text: str
    todo: str = ""


@main.command()
@debug_option
def doctor() -> None:
    """Report the environment and what is wrong with it. The exit code is 1 if something is."""
    checks = (_python, _packages, _torch, _device, _cores, _jupyter, _home, _disk, _chain)
    findings: list[Finding] = []
    for check in checks:
        try:
            findings += check()
        except Exception as error:  # one broken part must not hide the others
            todo = "Correct this first; `course --debug doctor` shows where it is."
            findings.append(Finding(sentence_of(error), todo))
    for text, todo in findings:
        click.echo(f"{'wrong' if todo else 'ok':<6} {text}" + (f"\n{'':<6} {todo}" if todo else ""))
    wrong = sum(bool(todo) for _, todo in findings)
    click.echo("\nAll is well." if not wrong else f"\n{wrong} of {len(findings)} checks found something wrong.")
    if wrong:
        click.get_current_context().exit(1)


RUNTIME = "https://aka.ms/vs/17/release/vc_redist.x64.exe"


def _install() -> str:
    command = "`py start.py` (or `python start.py`)" if WINDOWS else "`python3 start.py`"
    return f"Delete the folder .venv and run {command} again; with conda, make the environment again."


def _python() -> Iterator[Finding]:
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()} ({sys.executable})"
    old = sys.version_info < (3, 11)
    yield Finding(text, "The course needs Python 3.11 or later; install one from python.org." if old else "")


def _bounds() -> list[str]:
    """The packages that the course needs, with their bounds: of pyproject.toml, or as installed."""
    project = Path(__file__).parent.parent / "pyproject.toml"
    if project.exists():
        return tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    return [line for line in metadata.requires("chatgpt-from-scratch") or [] if "extra ==" not in line]


def _packages() -> Iterator[Finding]:
    bad = []
    bounds = _bounds()
    for line in bounds:
        name = re.split(r"[^\w.-]", line)[0]
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            bad.append(f"{name} is missing")
            continue
        from packaging.requirements import Requirement

        if not Requirement(line).specifier.contains(version, prereleases=True):
            bad.append(f"{name} is {version}, and {line} is needed")
    for text in bad:
        yield Finding(text, _install())
    if not bad:
        yield Finding(f"{len(bounds)} packages, all within the course's bounds")


def _torch() -> Iterator[Finding]:
    try:
        import torch

        product = torch.ones(64, 64) @ torch.ones(64, 64)
    except (ImportError, OSError, RuntimeError) as error:
        first = f"Install what torch needs from Microsoft, {RUNTIME}. If that does not help: " if WINDOWS else ""
        yield Finding(f"torch does not work ({sentence_of(error)})", first + _install())
        return
    right = bool((product == 64).all())
    yield Finding(f"torch {torch.__version__} works", "" if right else "Its products are wrong. " + _install())


def _device() -> Iterator[Finding]:
    try:
        from course import runtime

        threads, device = runtime.set_threads(), runtime.pick_device()
        precision = str(runtime.mixed_precision(device)).removeprefix("torch.")
    except (ImportError, OSError):  # no torch, which is a finding of its own
        return
    except ValueError as error:
        yield Finding(str(error), "Correct or unset the variables COURSE_DEVICE, COURSE_THREADS, OMP_NUM_THREADS.")
        return
    yield Finding(f"models run on {device} (processor threads: {threads}), trained in {precision}")


def _cores() -> Iterator[Finding]:
    from course.cores import taken_now

    try:
        taken, number = taken_now()
    except (ImportError, OSError):  # some systems do not tell
        return
    if taken < 0.5:
        yield Finding(f"the {number} processor cores are free")
    else:  # nothing wrong: the course makes way
        slower = "trainings take longer until they end"
        yield Finding(f"other programs keep {taken:.1f} of the {number} processor cores busy: {slower}")


def _jupyter() -> Iterator[Finding]:
    missing = [name for name in ("jupyterlab", "ipykernel", "ipywidgets") if not _installed(name)]
    if missing:
        yield Finding(f"Jupyter is incomplete: {', '.join(missing)} missing", _install())
    else:
        yield Finding(f"JupyterLab {metadata.version('jupyterlab')}")


def _installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def _home() -> Iterator[Finding]:
    try:
        checkpoint.probe(store.home())
    except OSError as error:
        yield Finding(sentence_of(error), "Set the variable COURSE_HOME to a folder that you can write to.")
    else:
        yield Finding(f"your models are kept in {_kept()}")


def _disk() -> Iterator[Finding]:
    home = store.home().absolute()
    place = next((folder for folder in (home, *home.parents) if folder.exists()), None)
    if place is None:  # such as on a drive that is not there; `_home` says so
        return
    free = shutil.disk_usage(place).free / 1e9
    few = free < NEEDED_GB
    yield Finding(f"{free:.1f} GB free on its disk", f"Trainings need {NEEDED_GB} GB; free some." if few else "")


def _chain() -> Iterator[Finding]:
    rows = store.status()
    for row in rows:
        if row.state == "damaged":
            yield Finding(row.detail, row.todo)
    states = ", ".join(f"{row.kind} {row.state}" for row in rows)
    yield Finding(f"the chain: {states} (`course status` says more)")


if __name__ == "__main__":
    main()
