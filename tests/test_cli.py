"""The command line: what it prints, where, and with which exit code; an error is one sentence."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from course import checkpoint, cli
from course.chain import recipe, store
from course.chain.talk import Continuation, talk_with
from course.chat import Conversation
from course.reward import RewardModel, score
from course.tokenizer import Tokenizer
from course.transformer import GPT, GPTConfig
from course.world import corpus

ROOT = Path(__file__).parent.parent
POSIX = os.name == "posix"
FACTS: dict[str, Any] = {"seed": 0, "settings": {}, "metrics": {}, "seconds": 1.0}


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the artifacts that come with the course."""
    folder = tmp_path / "shipped"
    monkeypatch.setattr(store, "shipped_home", lambda: folder)
    return folder


def course(*arguments: str, given: str | bytes | None = None) -> Result:
    return CliRunner().invoke(cli.main, arguments, input=given)


def program(*arguments: str, **how: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "course.cli", *arguments]
    surroundings = {**os.environ, "PYTHONIOENCODING": "utf-8", **how.pop("env", {})}
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", env=surroundings, **how)


def is_one_sentence(result: Result | subprocess.CompletedProcess[str]) -> bool:
    """Is the error one line on the error stream, with the exit code 1 and nothing of a traceback?"""
    code = result.exit_code if isinstance(result, Result) else result.returncode
    assert code == 1, result
    assert "Traceback" not in result.stderr
    return re.fullmatch(r"Error: [^\n]+\.\n", result.stderr) is not None


def make_model(kind: str, seed: int = 0) -> None:
    tokenizer = Tokenizer.train(["What is the capital of Japan? It is Tokyo. " * 3], 290)
    config = GPTConfig(vocab_size=tokenizer.vocab_size, context_length=96, n_layer=1, n_head=2, d_model=16)
    model = GPT(config, torch.Generator().manual_seed(seed))
    store.save_tokenizer(tokenizer, **FACTS)
    store.save_model(kind, model, tokenizer=tokenizer, parents={}, **FACTS)


# --- the frame ----------------------------------------------------------------------------------------------


def test_help_names_every_command():
    said = course("--help").stdout
    assert course("-h").stdout == said
    for command in cli.main.commands:
        assert re.search(rf"^  {command}  +\w", said, re.MULTILINE), f"{command} is not explained"
        assert course(command, "--help").exit_code == 0


def test_the_version_is_the_packages():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert course("--version").stdout == f"course, version {version}\n"


def test_the_installed_command_is_this_module():
    scripts = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'course = "course.cli:main"' in scripts


def test_a_misspelled_command_is_a_hint_with_exit_code_2():
    for arguments in (("biuld",), ("build", "gpt5"), ("chat", "gpt5"), ("build", "--seed", "-1")):
        result = course(*arguments)
        assert result.exit_code == 2 and "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["status", "--help"])
def test_commands_that_compute_nothing_do_not_load_torch(command):
    code = (
        "import sys; from course import cli\n"
        f"try: cli.main([{command!r}])\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "0 False"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("A good\n sentence."), "Error: A good sentence.\n"),
        (PermissionError("The folder x is closed; open it."), "Error: The folder x is closed; open it.\n"),
        (RuntimeError("bug"), "Error: RuntimeError: bug. This should not happen; --debug shows where it did.\n"),
        (KeyError(), "Error: KeyError: no details. This should not happen; --debug shows where it did.\n"),
    ],
)
def test_errors_are_sentences_unless_debug_asks_for_more(monkeypatch, error, sentence):
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(recipe, "build", fail)
    result = course("build")
    assert result.exit_code == 1 and result.stderr == sentence and result.stdout == ""
    for arguments in (("--debug", "build"), ("build", "--debug")):
        assert course(*arguments).exception is error


def test_an_interruption_is_a_sentence(monkeypatch):
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe, "build", interrupted)
    result = course("build")
    assert result.exit_code == 130
    assert result.stderr == "\nInterrupted. What was saved is whole; the same command continues from there.\n"


# --- build --------------------------------------------------------------------------------------------------


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `recipe.build` was called with, instead of minutes of training."""
    calls: list[Any] = []
    monkeypatch.setattr(recipe, "build", lambda *arguments, **how: calls.append((arguments, how)))
    return calls


def test_build_passes_on_what_was_asked_for_in_the_order_of_the_chain(builds, tmp_path):
    (tmp_path / "text.txt").write_text("One.\n\nTwo.\n", encoding="utf-8")
    plain = {"where": None, "text": None, "force": False, "seed": 0}
    assert course("build").exit_code == 0
    assert course("build", "sft", "base").exit_code == 0
    asked = course(
        "build",
        "tokenizer",
        "--text",
        str(tmp_path / "text.txt"),
        "--force",
        "--into",
        str(tmp_path / "x"),
        "--seed",
        "7",
    )
    assert asked.exit_code == 0, asked.stderr
    assert builds == [
        ((store.KINDS,), plain),
        ((("base", "sft"),), plain),
        ((("tokenizer",),), {"where": tmp_path / "x", "text": ["One.", "Two."], "force": True, "seed": 7}),
    ]


@pytest.mark.parametrize("content", [None, b"", b" \n\n \n", "日本".encode("shift_jis"), b"\xff\xfea\x00"])
def test_a_text_that_cannot_be_read_is_a_sentence_that_names_it(builds, tmp_path, content):
    path = tmp_path / "my text.txt"
    if content is not None:
        path.write_bytes(content)
    result = course("build", "--text", str(path))
    assert is_one_sentence(result) and str(path) in result.stderr
    assert builds == []


def test_a_folder_that_cannot_be_written_is_noticed_before_the_training(builds, tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    result = course("build", "--into", str(tmp_path / "file" / "models"))
    assert is_one_sentence(result) and str(tmp_path / "file") in result.stderr
    assert builds == []


def test_a_text_shorter_than_one_context_is_a_sentence(tmp_path):
    (tmp_path / "short.txt").write_text("Once upon a time.\n", encoding="utf-8")
    result = course("build", "--text", str(tmp_path / "short.txt"), "--into", str(tmp_path / "models"))
    assert result.exit_code == 1 and "Traceback" not in result.stderr
    assert re.search(r"Error: The text has \d+ tokens; .*Give a longer text", result.stderr), result.stderr


def test_build_trains_once_and_keeps_what_is_there(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(corpus.corpus(20_000)), encoding="utf-8")
    asked = ("build", "tokenizer", "--text", str(text), "--into", str(tmp_path / "models"))
    first = program(*asked)
    assert first.returncode == 0, first.stderr
    made = store.find("tokenizer", where=tmp_path / "models")
    again = course(*asked)
    assert again.exit_code == 0 and "there already" in again.output
    assert store.find("tokenizer", where=tmp_path / "models") == made
    assert course(*asked, "--force").exit_code == 0
    forced = store.find("tokenizer", where=tmp_path / "models")
    assert forced.sha256 == made.sha256 and forced.card.seconds >= 0


if POSIX:

    def test_ctrl_c_ends_a_real_build_with_a_sentence():
        code = (
            "import time; from course import cli; from course.chain import recipe\n"
            "def train(*_, **__): print('training', flush=True); time.sleep(60)\n"
            "recipe.build = train; cli.main(['build'])"
        )
        running = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert running.stdout is not None and running.stdout.readline() == "training\n"
        running.send_signal(signal.SIGINT)
        _, wrong = running.communicate(timeout=30)
        assert running.returncode == 130
        assert wrong.strip() == "Interrupted. What was saved is whole; the same command continues from there."


# --- chat ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["assistant", "sft", "base"])
def test_piped_questions_are_answered_one_per_line_on_the_output_alone(kind):
    make_model(kind)
    result = course("chat", kind, given="What is the capital of Japan?\n\n  It is Tokyo.  \n")
    assert result.exit_code == 0, result.stderr
    talk, which = talk_with(kind)
    assert result.stderr == which + "\n"
    assert result.stdout == "".join(
        "".join(talk.stream(text)) + "\n" for text in ("What is the capital of Japan?", "It is Tokyo.")
    )


def test_the_assistant_is_asked_unless_another_is_named():
    make_model("assistant")
    assert "Using your own assistant" in course("chat", given="").stderr


def test_chance_comes_from_the_seed():
    make_model("base")
    said = [
        course("chat", "base", "--temperature", "2", "--seed", seed, given="It\n").stdout for seed in ("1", "1", "2")
    ]
    assert said[0] == said[1] != said[2]


def test_the_base_model_draws_and_the_others_take_the_likeliest_unless_told_otherwise():
    for kind, temperature in (("base", 0.8), ("sft", 0.0), ("assistant", 0.0)):
        make_model(kind)
        talk, _ = talk_with(kind)
        assert isinstance(talk, Conversation) and talk.sampling.temperature == temperature
        told, _ = talk_with(kind, 0.3)
        assert isinstance(told, Conversation) and told.sampling.temperature == 0.3
    greedy = [course("chat", "base", "--temperature", "0", given="It\n").stdout for _ in range(2)]
    assert greedy[0] == greedy[1] != course("chat", "base", given="It\n").stdout


def test_the_base_model_continues_a_text_and_sees_no_roles():
    make_model("base")
    talk, _ = talk_with("base")
    assert isinstance(talk, Continuation)
    ids = [talk.tokenizer.special["<|endoftext|>"], *talk.tokenizer.encode("It is")]
    assert talk._prompt({"role": "user", "content": "It is"}) == ids


def test_the_tokenizer_shows_the_tokens_that_make_up_the_line():
    make_model("base")
    text = "What is Japan? 日本"
    result = course("chat", "tokenizer", given=text + "\n")
    assert result.exit_code == 0 and "script" not in result.stderr
    tokenizer = store.load_tokenizer()
    ids = [int(number) for number in re.findall(r"\| (\d+)", result.stdout)]
    assert ids == tokenizer.encode(text) and tokenizer.decode(ids) == text
    assert f"({len(ids)} tokens)" in result.stdout


def make_judge() -> None:
    """An SFT model, and a reward model that scores, which an untrained one does not."""
    make_model("sft")
    tokenizer, sft, _ = store.load_chain("sft", "cpu")
    reward = RewardModel(sft)
    torch.nn.init.normal_(reward.head.weight, generator=torch.Generator().manual_seed(0))
    store.save_model("reward", reward, tokenizer=tokenizer, parents={}, **FACTS)


def test_the_reward_model_ranks_answers_or_judges_ones_own():
    make_judge()
    question = "What is the capital of Japan?"
    result = course("chat", "reward", "--temperature", "2", given=question + "\n")
    assert result.exit_code == 0, result.stderr
    rows = [line.split("  ", 1) for line in result.stdout.splitlines()]
    rewards = [float(reward) for reward, _ in rows]
    assert 2 <= len(rows) <= 4 and rewards == sorted(rewards, reverse=True)
    own = [course("chat", "reward", given=f"{question} | {written}\n").stdout for written in ("It is Tokyo.", "No.")]
    tokenizer, model, _ = store.load_chain("reward", "cpu")
    first, second = score(model, tokenizer, [(question, "It is Tokyo."), (question, "No.")]).tolist()
    assert own == [f"{first:+.2f}  It is Tokyo.\n", f"{second:+.2f}  No.\n"] and own[0] != own[1]


@pytest.mark.parametrize("line", [" | It is Tokyo.", "What is the capital of Japan? |"])
def test_half_a_judgement_is_a_sentence_and_the_talk_goes_on(line):
    make_judge()
    result = course("chat", "reward", given=f"{line}\nWhat is it? | Tokyo.\n")
    assert result.exit_code == 0
    assert '"question | answer"' in result.stderr and result.stdout.count("\n") == 1


@pytest.mark.parametrize("question", ["日本の首都はどこですか", "Какая столица Японии?", "🗾🗾🗾"])
def test_a_script_that_the_tokenizer_never_met_gets_a_warning_and_an_answer(question):
    make_model("assistant")
    result = course("chat", given=f"{question}\nWhat is it?\n")
    assert result.exit_code == 0
    assert result.stderr.count("has hardly ever seen this script") == 1
    assert result.stdout.count("\n") >= 2


def test_names_with_accents_get_no_warning():
    make_model("assistant")
    assert "script" not in course("chat", given="What is the capital of Côte d'Ivoire?\n").stderr


def test_a_question_that_is_too_long_gets_a_sentence_and_the_talk_goes_on():
    for kind in ("assistant", "base"):
        make_model(kind)
        result = course("chat", kind, given="word " * 200 + "\nWhat is it?\n")
        assert result.exit_code == 0
        assert re.search(r"has \d+ tokens and the context 96; (ask|give) a shorter one\.", result.stderr)
        assert result.stdout.count("\n") >= 1


def test_exit_and_quit_leave():
    make_model("assistant")
    for word in ("exit", "quit"):
        assert course("chat", given=f"{word}\nWhat is it?\n").stdout == ""


def test_questions_that_are_not_utf_8_are_a_sentence():
    make_model("assistant")
    result = course("chat", given="日本".encode("shift_jis") + b"\n")
    assert result.exit_code == 1 and "Error: The questions are not UTF-8 text;" in result.stderr


def test_no_model_and_a_damaged_one_are_sentences():
    assert is_one_sentence(course("chat", given=""))
    make_model("assistant")
    (store.home() / "assistant" / "config.json").write_text("{", encoding="utf-8")
    result = course("chat", given="")
    assert is_one_sentence(result)
    assert "config.json is damaged" in result.stderr and "`course build assistant --force`" in result.stderr


@pytest.mark.parametrize(("on_windows", "keys"), [(False, "Ctrl-D"), (True, "Ctrl-Z and Enter")])
def test_a_talk_names_the_keys_that_end_it_on_this_system(monkeypatch, capsys, on_windows, keys):
    make_model("assistant")
    monkeypatch.setattr(cli, "WINDOWS", on_windows)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(cli, "_lines", lambda interactive: iter(["exit"]))
    assert cli.chat.callback is not None
    cli.chat.callback("assistant", 0.0, 0)
    assert f'{keys} or "exit" leaves.' in capsys.readouterr().out


if POSIX:

    def at_a_terminal(end: bytes | int) -> tuple[str, int]:
        """What `course chat` shows at a terminal where one question is typed, and then `end` or a signal."""
        import pty

        ours, theirs = pty.openpty()
        running = subprocess.Popen(
            [sys.executable, "-m", "course.cli", "chat", "assistant"],
            cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        shown = b""

        def read_until(sign: bytes, times: int, seconds: float = 120) -> bool:
            """Read until `sign` was shown so many times and nothing more comes for a moment."""
            nonlocal shown
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                if select.select([ours], [], [], 0.5)[0]:
                    try:
                        shown += os.read(ours, 4096)
                    except OSError:  # the terminal was closed
                        break
                elif shown.count(sign) >= times:
                    return True
            return shown.count(sign) >= times

        try:
            read_until(b"> ", 1)
            os.write(ours, b"What is the capital of Japan?\n")
            read_until(b"> ", 2)
            if isinstance(end, int):
                running.send_signal(end)
            for _ in range(20):
                if isinstance(end, bytes):  # Ctrl-D is lost on a program that is not reading yet: press it again
                    os.write(ours, end)
                if read_until(b"Goodbye.", 1, seconds=3):
                    break
            return shown.decode(errors="replace"), running.wait(timeout=60)
        finally:
            running.kill()
            running.wait()
            os.close(ours)

    @pytest.mark.parametrize("end", [b"\x04", b"exit\n", signal.SIGINT])
    def test_a_talk_at_a_terminal_ends_politely(end):
        make_model("assistant")
        shown, code = at_a_terminal(end)
        assert code == 0, shown
        assert "Using your own assistant" in shown and 'Ctrl-D or "exit" leaves.' in shown
        assert shown.count("> ") >= 2 and shown.rstrip().endswith("Goodbye.")
        assert "Traceback" not in shown


# --- status and doctor --------------------------------------------------------------------------------------


def test_status_in_an_empty_home_shows_what_is_missing_and_how_to_make_it():
    result = course("status")
    assert result.exit_code == 0 and str(store.home().resolve()) in result.stdout
    for kind in store.KINDS:
        assert re.search(rf"^{kind} +missing ", result.stdout, re.MULTILINE)
        assert f"`course build {kind}` makes it." in result.stdout
    assert not store.home().exists(), "looking changes nothing"


def test_status_shows_own_stale_damaged_and_unfinished():
    make_model("base")
    store.save_tokenizer(Tokenizer.train(["other words in other texts " * 3], 270), **FACTS)
    make = store.save_model
    tokenizer, model, _ = store.load_chain("base", "cpu")
    make("sft", model, tokenizer=tokenizer, **FACTS)
    (store.home() / "sft" / "model.safetensors").write_bytes(b"")
    checkpoint.save(store.partial("reward"), {}, {"kind": "training"})
    said = course("status").stdout
    found = dict(re.findall(r"^(\w+) +(yours|shipped|stale|damaged|missing) ", said, re.MULTILINE))
    assert found == {
        "tokenizer": "yours", "base": "stale", "sft": "damaged", "reward": "missing", "assistant": "missing",
    }  # fmt: skip
    assert "`course build base --force`" in said and "`course build sft --force`" in said
    assert "A training of it was interrupted; the command or cell that began it goes on with it." in said


def test_doctor_finds_nothing_wrong_in_an_empty_home():
    result = program("doctor")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.rstrip().endswith("All is well.")
    assert not re.search("^wrong", result.stdout, re.MULTILINE)
    for word in ("Python 3.", "torch", "packages", "threads", "JupyterLab", "GB free", str(store.home().resolve())):
        assert word in result.stdout


if POSIX:

    def test_status_and_doctor_show_where_the_models_really_lie(tmp_path, monkeypatch):
        """As Windows redirects the user folder of a Python from Microsoft's Store."""
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        monkeypatch.setenv("COURSE_HOME", str(tmp_path / "link"))
        for command in ("status", "doctor"):
            assert f"our models are kept in {(tmp_path / 'real').resolve()}" in course(command).stdout


def wrongs(**environment: str) -> str:
    """The findings of `doctor` that are wrong, each with its advice; its exit code must be 1."""
    result = CliRunner(env=environment).invoke(cli.main, ["doctor"])
    assert result.exit_code == 1 and result.stderr == ""
    found = re.findall(r"^wrong +([^\n]+\n +\w[^\n]+)$", result.stdout, re.MULTILINE)
    assert found, result.stdout
    assert f"{len(found)} of " in result.stdout.splitlines()[-1]
    return "\n".join(found)


def test_doctor_says_what_to_do_about_a_home_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    found = wrongs(COURSE_HOME=str(tmp_path / "file" / "models"))
    assert str(tmp_path / "file") in found and "Set the variable COURSE_HOME" in found


def test_doctor_says_what_to_do_about_variables_that_make_no_sense():
    assert "COURSE_DEVICE" in wrongs(COURSE_DEVICE="banana")
    assert "COURSE_THREADS" in wrongs(COURSE_THREADS="many")


def test_doctor_says_what_to_do_about_a_full_disk(monkeypatch):
    monkeypatch.setattr(cli.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**8))
    found = wrongs()
    assert "0.1 GB free" in found and "free some" in found


def test_doctor_says_what_to_do_about_a_damaged_model():
    make_model("base")
    (store.home() / "base" / "model.safetensors").write_bytes(b"x")
    found = wrongs()
    assert "model.safetensors" in found and "`course build base --force`" in found


@pytest.mark.parametrize(("on_windows", "start"), [(False, "`python3 start.py`"), (True, "`py start.py`")])
def test_doctor_says_what_to_do_about_missing_and_old_packages(monkeypatch, on_windows, start):
    monkeypatch.setattr(cli, "WINDOWS", on_windows)
    real = metadata.version

    def version(name: str) -> str:
        if name == "ipywidgets":
            raise metadata.PackageNotFoundError(name)
        return "0.0.1" if name == "tqdm" else real(name)

    monkeypatch.setattr(metadata, "version", version)
    found = wrongs()
    assert "ipywidgets is missing" in found and "tqdm is 0.0.1, and tqdm>=" in found
    assert "Jupyter is incomplete: ipywidgets missing" in found
    assert found.count(start) == 3


@pytest.mark.parametrize("on_windows", [True, False])
def test_doctor_names_microsofts_runtime_where_torch_needs_it(monkeypatch, on_windows):
    monkeypatch.setattr(cli, "WINDOWS", on_windows)
    monkeypatch.setitem(sys.modules, "torch", None)  # `import torch` fails
    assert ("https://aka.ms/vs/17/release/vc_redist.x64.exe" in wrongs()) == on_windows


def test_doctor_survives_a_torch_that_does_not_load(tmp_path):
    failing = "raise ImportError('libgomp.so.1: cannot open shared object file')"
    (tmp_path / "torch.py").write_text(failing, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    result = program("doctor", env={"PYTHONPATH": path})
    assert result.returncode == 1 and result.stderr == ""
    assert re.search(r"^wrong +torch does not work \(.*libgomp", result.stdout, re.MULTILINE)


def test_doctor_reads_the_installed_bounds_where_there_is_no_project_file(monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "__file__", str(tmp_path / "site-packages" / "course" / "cli.py"))
    lines = ["click<9,>=8.2", 'pytest<10,>=9.0; extra == "test"']
    monkeypatch.setattr(metadata, "requires", lambda name: lines if name == "chatgpt-from-scratch" else None)
    assert cli._bounds() == ["click<9,>=8.2"]


def test_doctor_ends_also_where_the_drive_of_the_home_is_missing(monkeypatch):
    monkeypatch.setattr(cli.Path, "exists", lambda _: False)  # as of Z:\\ on Windows, its own parent
    assert list(cli._disk()) == []
