"""`start.py` for real, in scratch folders: it makes the environment, resumes, and says what is wrong.

The scratch course depends on one small wheel instead of torch and JupyterLab. In that wheel, `jupyterlab`,
`ruff`, `mypy` and `pytest` are programs that print what they were asked to do; an installation takes seconds.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

WINDOWS = os.name == "nt"
START = Path(__file__).parent.parent / "start.py"
PLACE = "with spaces" if WINDOWS and sys.version_info < (3, 12, 4) else "with spaces ☃"  # start.py says why
TOOLS = ("jupyterlab", "ruff", "mypy", "pytest")
TOOL = """import os, sys
name = os.path.basename(os.path.dirname(__file__))
print(name, "was called with", sys.argv[1:], "in", os.getcwd(), flush=True)
sys.exit(name in os.environ.get("FAILING", "").split())
"""
BACKEND = '''
"""A build backend that needs nothing: it makes the editable wheel of the scratch course."""
import os, time, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    if os.path.exists("slow"):
        open("building", "w").close()
        time.sleep(60)
    with zipfile.ZipFile(os.path.join(folder, "scratch-1-py3-none-any.whl"), "w") as file:
        file.writestr("scratch.pth", os.getcwd())
        file.writestr("scratch-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: scratch\\nVersion: 1\\n")
        file.writestr("scratch-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        file.writestr("scratch-1.dist-info/RECORD", "")
    return "scratch-1-py3-none-any.whl"

build_wheel = build_editable
'''
PROJECT = """[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "scratch"
version = "1"
"""


def make_course(folder: Path) -> Path:
    """A folder with start.py, a lock and a project that pip can install without any network."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(START, folder / "start.py")
    with zipfile.ZipFile(folder / "tools-1-py3-none-any.whl", "w") as wheel:
        for name in TOOLS:
            wheel.writestr(f"{name}/__init__.py", "")
            wheel.writestr(f"{name}/__main__.py", TOOL)
        wheel.writestr("tools-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tools\nVersion: 1\n")
        wheel.writestr("tools-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tools-1.dist-info/RECORD", "")
    for lock in ("requirements.lock", "requirements-grading.lock", "requirements-site.lock"):
        (folder / lock).write_text("./tools-1-py3-none-any.whl\n", encoding="utf-8")
    (folder / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (folder / "backend.py").write_text(BACKEND, encoding="utf-8")
    return folder


# pytest's folders are longer than a course's may be on Windows, and what the scratch course installs is short.
LONG_PATHS = """import winreg
ask = winreg.QueryValueEx
winreg.QueryValueEx = lambda key, name: (1, 4) if name == "LongPathsEnabled" else ask(key, name)
"""


def command(*arguments: str, prelude: str = "") -> list[str]:
    """The command line that runs start.py in the current folder, after the statements of `prelude`."""
    program = f"import runpy, sys\n{LONG_PATHS if WINDOWS else ''}{prelude}\nsys.argv = {['start.py', *arguments]!r}\n"
    return [sys.executable, "-c", program + "runpy.run_path('start.py', run_name='__main__')"]


def surroundings(**more: str) -> dict[str, str]:
    """The environment variables of a plain shell: no settings of pip or conda from outside; all output is UTF-8."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "CONDA"))}
    own = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    return {**plain, **own, **more}


def start(folder: Path, *arguments: str, prelude: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """Run start.py in the folder; its output and errors come back together."""
    return subprocess.run(
        command(*arguments, prelude=prelude),
        cwd=folder,
        env=surroundings(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=120,
    )


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A scratch course after its first start, and what that start said."""
    folder = make_course(tmp_path_factory.mktemp("a place") / PLACE)
    said = start(folder, "--no-browser")
    assert said.returncode == 0, said.stdout
    return folder, said.stdout


def test_the_first_start_makes_the_environment_and_opens_the_welcome_notebook(first):
    folder, said = first
    assert (folder / ".venv" / "course-stamp.txt").exists()
    assert "Making the environment" in said
    assert "Installing the packages" in said
    assert "jupyterlab was called with" in said
    assert "--LabApp.default_url=/lab/tree/notebooks/00_welcome.ipynb" in said
    assert "'--no-browser'" in said, "what follows start.py goes on to JupyterLab"
    settings = folder / ".venv" / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    assert "checkForUpdates" in settings.read_text(encoding="utf-8")


def test_the_second_start_installs_nothing_and_takes_seconds(first):
    folder, _ = first
    before = time.perf_counter()
    said = start(folder)
    assert time.perf_counter() - before < 5
    assert "Installing" not in said.stdout
    assert "jupyterlab was called with" in said.stdout


def test_start_test_runs_every_check_and_hands_its_arguments_to_pytest(first):
    folder, _ = first
    said = start(folder, "test", "-k", "tokens")
    assert said.returncode == 0, said.stdout
    assert "ruff was called with ['check', '.']" in said.stdout
    assert "ruff was called with ['format', '--check'" in said.stdout
    assert "mypy was called with []" in said.stdout
    assert "pytest was called with ['-k', 'tokens']" in said.stdout
    assert "Every check passed." in said.stdout


def test_start_test_goes_on_after_a_failed_check_and_fails_in_the_end(first):
    folder, _ = first
    said = start(folder, "test", FAILING="mypy")
    assert said.returncode == 1
    assert "pytest was called with []" in said.stdout
    assert said.stdout.rstrip().endswith("Failed: mypy")


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_changed_lock_or_project_makes_the_environment_stale(first, name):
    folder, _ = first
    with open(folder / name, "a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert "Installing the packages" in start(folder).stdout
    assert "Installing the packages" not in start(folder).stdout


def test_an_environment_whose_making_was_killed_is_made_again(first):
    folder, _ = first
    for pip in folder.glob(".venv/[lL]ib/**/site-packages/pip"):
        shutil.rmtree(pip)
    (folder / ".venv" / "course-stamp.txt").unlink()
    said = start(folder)
    assert said.returncode == 0, said.stdout
    assert "Making the environment" in said.stdout


def test_a_moved_folder_is_installed_again(first, tmp_path):
    folder, _ = first
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved, symlinks=True)
    said = start(moved)
    assert "Installing the packages" in said.stdout
    assert f"in {moved}" in said.stdout


if os.name == "posix":  # Windows has no way to send Ctrl-C to one group of programs

    def interrupted(folder: Path, sign: str, *arguments: str) -> tuple[int, str]:
        """Start, press Ctrl-C when the file `sign` appears; the exit code, and what was said."""
        process = subprocess.Popen(
            command(*arguments),
            cwd=folder,
            env=surroundings(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )
        limit = time.monotonic() + 60
        while not (folder / sign).exists() and time.monotonic() < limit:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=30)
        return process.returncode, said

    def test_ctrl_c_during_the_installation_is_a_sentence_and_the_next_start_goes_on(first):
        folder, _ = first
        (folder / ".venv" / "course-stamp.txt").unlink()
        (folder / "slow").touch()
        code, said = interrupted(folder, "building")
        assert code == 1
        assert "Interrupted. Nothing is lost" in said
        assert "Traceback" not in said.split("Interrupted.")[1]
        assert not (folder / ".venv" / "course-stamp.txt").exists()
        (folder / "slow").unlink()
        assert "The environment is ready." in start(folder).stdout

    def test_ctrl_c_during_a_check_starts_no_other_one(first):
        folder, _ = first
        waits = "import time; open('checking', 'w').close(); time.sleep(60)"
        (folder / "ruff").mkdir(exist_ok=True)
        main = folder / "ruff" / "__main__.py"  # the current folder comes before the installed tools
        main.write_text(waits, encoding="utf-8")
        (folder / "ruff" / "__init__.py").touch()
        code, said = interrupted(folder, "checking", "test")
        shutil.rmtree(folder / "ruff")
        assert code == 1
        assert "Interrupted. Nothing is lost" in said
        assert "== ruff check" in said and "== ruff format" not in said


def test_help_and_a_misspelled_word_are_answered_before_anything_is_installed(tmp_path):
    make_course(tmp_path)
    asked, misspelled = start(tmp_path, "--help"), start(tmp_path, "tset")
    assert asked.returncode == 0 and "opens it" in asked.stdout
    assert misspelled.returncode == 1 and 'start.py knows no "tset"' in misspelled.stdout
    assert not (tmp_path / ".venv").exists()


def test_a_port_in_use_is_announced(first):
    folder, _ = first
    with socket.socket() as server:
        try:
            server.bind(("127.0.0.1", 8888))
            server.listen()
        except OSError:
            pass  # something else listens there: just as good
        said = start(folder)
    assert "Port 8888 is in use" in said.stdout
    assert "jupyterlab was called with" in said.stdout


def test_a_port_of_ones_own_is_not_spoken_of(first):
    folder, _ = first
    with socket.socket() as server:
        with contextlib.suppress(OSError):
            server.bind(("127.0.0.1", 8888))
            server.listen()
        said = start(folder, "--port=9999")
    assert "Port 8888" not in said.stdout and "--port=9999" in said.stdout


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 10, 2)])
def test_an_old_python_is_refused_with_what_to_do(tmp_path, version):
    said = start(make_course(tmp_path), prelude=f"sys.version_info = {version}")
    assert said.returncode == 1
    assert f"This is Python {'.'.join(map(str, version))}" in said.stdout
    assert "needs Python 3.11 or later" in said.stdout
    assert not (tmp_path / ".venv").exists()


def test_an_old_python_can_read_start_and_finds_all_that_it_imports():
    tree = ast.parse(START.read_text(encoding="utf-8"), feature_version=(3, 6))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "__future__" not in imported, "Python 3.6 does not know annotations from the future"
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_missing_venv_module_is_named_with_what_to_do(tmp_path, module):
    prelude = f"""
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "{module}" else real(name)
"""
    said = start(make_course(tmp_path), prelude=prelude)
    assert said.returncode == 1
    assert "sudo apt install python3-venv" in said.stdout
    assert "Traceback" not in said.stdout


def test_too_little_space_is_said_before_anything_is_installed(tmp_path):
    prelude = "import shutil\nshutil.disk_usage = lambda path: shutil._ntuple_diskusage(10**10, 10**10, 5 * 10**8)"
    said = start(make_course(tmp_path), prelude=prelude)
    assert said.returncode == 1
    assert "Only 0.5 GB are free" in said.stdout
    assert "Free some space" in said.stdout
    assert not (tmp_path / ".venv").exists()


def test_a_folder_without_its_lock_is_a_sentence(tmp_path):
    make_course(tmp_path)
    (tmp_path / "requirements.lock").unlink()
    said = start(tmp_path)
    assert said.returncode == 1
    assert "must be complete" in said.stdout
    assert "requirements.lock" in said.stdout
    assert "Traceback" not in said.stdout


def test_no_network_is_a_sentence(first):
    folder, _ = first
    plain = (folder / "requirements.lock").read_text(encoding="utf-8")
    (folder / "requirements.lock").write_text("some-package==1.0\n", encoding="utf-8")
    nowhere = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}
    said = start(folder, **nowhere)
    (folder / "requirements.lock").write_text(plain, encoding="utf-8")
    assert said.returncode == 1
    assert "could not be downloaded: no network" in said.stdout
    assert "HTTPS_PROXY" in said.stdout
    assert "Traceback" not in said.stdout


def test_a_package_without_a_build_for_this_machine_is_a_sentence(first):
    folder, _ = first
    plain = (folder / "requirements.lock").read_text(encoding="utf-8")
    (folder / "requirements.lock").write_text("some-package==1.0\n", encoding="utf-8")
    said = start(folder)
    (folder / "requirements.lock").write_text(plain, encoding="utf-8")
    assert said.returncode == 1
    assert "has no build for Python" in said.stdout


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("OSError(28, 'No space left on device')", "The disk is full."),
        (
            "OSError('[WinError 206] The filename or extension is too long')",
            "A path is too long for Windows: move the course to a short folder",
        ),
    ],
    ids=["a full disk", "a path too long for Windows"],
)
def test_what_stops_the_installation_is_a_sentence(first, error, sentence):
    folder, _ = first
    (folder / ".venv" / "course-stamp.txt").unlink(missing_ok=True)
    backend = (folder / "backend.py").read_text(encoding="utf-8")
    (folder / "backend.py").write_text(f"def build_editable(*_, **__): raise {error}\n", encoding="utf-8")
    said = start(folder)
    (folder / "backend.py").write_text(backend, encoding="utf-8")
    assert said.returncode == 1
    assert sentence in said.stdout


def test_a_folder_whose_name_the_output_cannot_show_is_no_hindrance(tmp_path):
    """As when the output of a Windows program goes into a file."""
    prelude = """
import locale, subprocess
sys.stdout.reconfigure(encoding="ascii", errors="strict")
locale.getencoding = lambda: "utf-8"
subprocess.run = lambda *_, **__: subprocess.CompletedProcess([], 1, "venv was called")
"""
    said = start(make_course(tmp_path / "☃"), prelude=prelude)
    assert said.returncode == 1 and "Traceback" not in said.stdout
    assert "Making the environment" in said.stdout and "venv was called" in said.stdout


@pytest.fixture
def module() -> ModuleType:
    """start.py as a module, to ask its functions."""
    spec = importlib.util.spec_from_file_location("start", START)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_the_active_conda_environment_of_the_courses_name_is_used(module, monkeypatch, tmp_path):
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path))
    monkeypatch.setenv("CONDA_DEFAULT_ENV", "base")
    assert module.environment() == module.ROOT / ".venv"
    monkeypatch.setenv("CONDA_DEFAULT_ENV", "chatgpt-from-scratch")
    assert module.environment() == module.ROOT / ".venv", "another Python is running than that of the environment"
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert module.environment() == tmp_path


def test_what_conda_made_is_never_overwritten(module, tmp_path):
    (tmp_path / "precious").touch()
    with pytest.raises(SystemExit, match="conda env create"):
        module.make_environment(tmp_path)
    assert (tmp_path / "precious").exists()


@pytest.fixture
def windows(module, monkeypatch) -> ModuleType:
    """start.py, told that it runs on Windows, with long paths off."""

    class Key:
        def __enter__(self) -> str:
            return "key"

        def __exit__(self, *_: object) -> None: ...

    registry = SimpleNamespace(HKEY_LOCAL_MACHINE=1, OpenKey=lambda *_: Key(), QueryValueEx=lambda *_: (0, 4))
    monkeypatch.setitem(sys.modules, "winreg", registry)
    monkeypatch.setattr(module, "WINDOWS", True)
    return module


def test_a_folder_too_deep_for_windows_is_refused_before_anything_is_installed(windows, monkeypatch):
    registry = sys.modules["winreg"]

    def refused(length: int) -> bool:
        monkeypatch.setattr(windows, "ROOT", Path("C" * length))
        try:
            windows.check_place(windows.ROOT / ".venv")
        except SystemExit as said:
            assert f"has {length} characters" in str(said) and r"such as C:\course" in str(said)
            return True
        return False

    assert [refused(60), refused(61)] == [False, True]
    monkeypatch.setattr(registry, "QueryValueEx", lambda *_: (1, 4))  # long paths are on
    assert not refused(200)

    def unset(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(registry, "QueryValueEx", unset)  # an old Windows
    assert refused(61)
    monkeypatch.setattr(windows, "WINDOWS", False)
    assert not refused(200)


def test_the_place_is_checked_before_the_environment_is_made(windows, monkeypatch, tmp_path):
    (folder := tmp_path / ("x" * 61)).mkdir()
    for name in ("requirements.lock", "pyproject.toml"):
        (folder / name).touch()
    monkeypatch.setattr(windows, "ROOT", folder)
    with pytest.raises(SystemExit, match="move the course to a short folder"):
        windows.ready()
    assert not (folder / ".venv").exists()


def test_letters_that_an_older_python_on_windows_cannot_keep_are_refused(windows, monkeypatch):
    monkeypatch.setattr(windows, "ROOT", Path("C:/日本"))
    monkeypatch.setattr(windows.locale, "getencoding", lambda: "cp1252")
    for version, refused in [((3, 11, 9), True), ((3, 12, 3), True), ((3, 13, 0), False)]:
        monkeypatch.setattr(sys, "version_info", version)
        with pytest.raises(SystemExit, match=r"or use Python 3\.13") if refused else contextlib.nullcontext():
            windows.check_place(windows.ROOT / ".venv")
    monkeypatch.setattr(sys, "version_info", (3, 11, 9))
    monkeypatch.setattr(windows.locale, "getencoding", lambda: "cp932")  # of a Japanese Windows
    windows.check_place(windows.ROOT / ".venv")


def pip_says(module: ModuleType, monkeypatch: pytest.MonkeyPatch, line: str) -> str:
    """The sentence that a failed installation ends with, after pip has said this."""
    failed = SimpleNamespace(stderr=[line + "\n"], wait=lambda: 1)
    monkeypatch.setattr(module.subprocess, "Popen", lambda *_, **__: failed)
    with pytest.raises(SystemExit) as said:
        module.pip_install("python")
    return str(said.value)


def test_on_windows_a_variable_is_set_as_powershell_does_it(windows, monkeypatch):
    said = "WARNING: Retrying (Retry(total=4)) after connection broken by 'ProxyError'"
    assert '$env:HTTPS_PROXY = "http://name:port"' in pip_says(windows, monkeypatch, said)
    monkeypatch.setattr(windows, "WINDOWS", False)
    assert "set HTTPS_PROXY=http://name:port" in pip_says(windows, monkeypatch, said)


def test_pips_own_words_on_long_paths_are_understood(module, monkeypatch):
    said = "HINT: This error might have occurred since this system does not have Windows Long Path support enabled."
    assert "A path is too long" in pip_says(module, monkeypatch, said)


def test_a_python_for_arm_on_windows_is_told_to_be_the_x64_one(module, monkeypatch):
    said = "ERROR: No matching distribution found for torch==2.13.0"
    monkeypatch.setattr(module.sysconfig, "get_platform", lambda: "win-amd64")
    assert "x64" not in pip_says(module, monkeypatch, said)
    monkeypatch.setattr(module.sysconfig, "get_platform", lambda: "win-arm64")
    assert "Install the x64 (AMD64) Python" in pip_says(module, monkeypatch, said)


@pytest.mark.parametrize("on_windows", [True, False])
def test_the_browser_is_led_by_the_address_alone_on_windows(module, monkeypatch, on_windows):
    asked: list[str] = []
    monkeypatch.setattr(module, "WINDOWS", on_windows)
    monkeypatch.setattr(module, "wait", asked.extend)
    module.open_lab("python", ["--port=9999"])
    assert ("--ServerApp.use_redirect_file=False" in asked) == on_windows


def test_asking_for_a_port_takes_a_moment_at_most(module, monkeypatch):
    patience: list[float | None] = []

    class Probe(socket.socket):
        def connect_ex(self, address: object) -> int:
            patience.append(self.gettimeout())
            return 1

    monkeypatch.setattr(module.socket, "socket", Probe)
    monkeypatch.setattr(module, "wait", lambda command: 0)
    module.open_lab("python", [])
    assert patience == [0.3]
