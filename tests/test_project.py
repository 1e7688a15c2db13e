"""The project holds together: bounds, lock, conda file, README and the installed environment say the same."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
import zmq.asyncio
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from traitlets.config import Config

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def lines_of(lock: str) -> list[Requirement]:
    """The requirements in a lock file."""
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


LOCK, EXTRA_LOCKS = lines_of("requirements.lock"), ("grading", "site")
BOUNDS = [Requirement(text) for text in PROJECT["dependencies"] + EXTRAS["test"]]
SYSTEMS = {
    "Linux": {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": "x86_64",
    },
    "macOS": {
        "sys_platform": "darwin",
        "platform_system": "Darwin",
        "os_name": "posix",
        "platform_machine": "arm64",
    },
    "Windows": {
        "sys_platform": "win32",
        "platform_system": "Windows",
        "os_name": "nt",
        "platform_machine": "AMD64",
    },
}


def locked(environment: dict[str, str] | None = None) -> dict[str, Version]:
    """Name -> version of the lock's lines that apply, here or in another environment."""
    found: dict[str, Version] = {}
    for line in LOCK:
        if line.marker is None or line.marker.evaluate(environment):
            (exact,) = line.specifier
            name = canonicalize_name(line.name)
            assert name not in found, f"requirements.lock gives {name} twice for {environment}"
            found[name] = Version(exact.version)
    return found


def test_every_line_of_the_lock_is_an_exact_version_and_names_no_host_or_path():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert not re.search(r"https?:|file:|--|@", text)
    for line in LOCK:
        assert [item.operator for item in line.specifier] == ["=="], f"{line} is not exact"


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_lock_holds_every_dependency_within_its_bounds(system, python):
    here = {**SYSTEMS[system], "python_version": python, "python_full_version": f"{python}.7", "extra": ""}
    versions = locked(here)
    for bound in BOUNDS:
        version = versions.get(canonicalize_name(bound.name))
        assert version is not None, f"{bound.name} is missing in requirements.lock: run `make lock`"
        assert version in bound.specifier, f"the lock's {bound.name} {version} leaves {bound}: run `make lock`"


@pytest.mark.parametrize("extra", EXTRA_LOCKS)
def test_what_teachers_need_is_locked_beside_it_and_installed(extra):
    lines = lines_of(f"requirements-{extra}.lock")
    versions = {canonicalize_name(line.name): next(iter(line.specifier)) for line in lines}
    everywhere = {canonicalize_name(line.name): next(iter(line.specifier)) for line in LOCK} | versions
    for line in LOCK:  # a package of other systems may be needed on all of them here: then in the same version
        same = versions.get(canonicalize_name(line.name), next(iter(line.specifier)))
        assert same.version in line.specifier, f"{line.name} has two versions: run `make lock`"
    for text in EXTRAS[extra]:
        bound = Requirement(text)
        assert everywhere[canonicalize_name(bound.name)].version in bound.specifier, f"{bound}: run `make lock`"
    for line in lines:
        if line.marker is None or line.marker.evaluate():
            assert Version(metadata.version(line.name)).public in line.specifier, f"{line}: python3 start.py test"


def test_the_locks_beside_it_agree_with_each_other():
    grading, site = (
        {line.name: str(line.specifier) for line in lines_of(f"requirements-{e}.lock")} for e in EXTRA_LOCKS
    )
    assert [name for name in {*grading} & {*site} if grading[name] != site[name]] == []


def test_the_lock_leaves_torchs_gpu_packages_to_torch():
    assert not [line.name for line in LOCK if line.name.startswith(("nvidia-", "cuda-", "triton"))]
    assert locked()["torch"] in SpecifierSet("==2.13.*")


def test_the_installed_environment_equals_the_lock():
    wrong = []
    for name, version in locked().items():
        try:
            installed = Version(metadata.version(name))
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} {version} is not installed")
            continue
        if installed.public != version.public:  # "+cpu" is the same version, built for the processor
            wrong.append(f"{name} is {installed}, the lock says {version}")
    assert not wrong, "; ".join(wrong) + ": run `python3 start.py`"


def test_every_installed_dependency_is_locked():
    versions, todo, seen = locked(), [PROJECT["name"]], set()
    left_to_torch = re.compile(r"nvidia-|cuda-|triton")
    while todo:
        name = todo.pop()
        for text in metadata.requires(name) or []:
            need = Requirement(text)
            wanted = need.marker is None or need.marker.evaluate({"extra": "test" if name == PROJECT["name"] else ""})
            key = canonicalize_name(need.name)
            if wanted and key not in seen and not left_to_torch.match(key):
                seen.add(key)
                todo.append(key)
                assert key in versions, f"{name} needs {key}, which requirements.lock does not hold: run `make lock`"


def test_conda_gives_the_same_environment():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert set(conda) == {"name", "channels", "dependencies"}
    assert conda["name"] == PROJECT["name"]
    assert conda["channels"] == ["conda-forge"]
    python, pip, packages = conda["dependencies"]
    assert python == "python" + PROJECT["requires-python"]
    assert pip == "pip"
    assert packages == {"pip": ["-r requirements.lock", "-e ."]}


def test_the_supported_pythons_are_the_same_everywhere():
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    source = (ROOT / "start.py").read_text(encoding="utf-8")
    limits = re.search(r"OLDEST, NEWEST = \((\d), (\d+)\), \((\d), (\d+)\)", source)
    assert limits is not None
    oldest, newest = f"{limits[1]}.{limits[2]}", f"{limits[3]}.{limits[4]}"
    assert PROJECT["requires-python"] == f">={oldest}"
    assert (named[0], named[-1]) == (oldest, newest)


def test_the_readme_shows_the_two_commands_that_start_understands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^(?:python3|py) start\.py.*$", readme, flags=re.MULTILINE)
    told = {re.sub(r"\s+#.*", "", command) for command in commands}
    assert {"python3 start.py", "python3 start.py test"} <= told
    first_block = readme.split("```")[1]
    assert "python3 start.py" in first_block, "the first block of the README starts the course"


def test_the_longest_path_on_windows_still_fits_where_the_readme_says():
    """The course's folder, then the longest path that a package installs; 260 with the character that ends it."""
    limit = re.search(r"LONGEST_FOLDER = (\d+)", (ROOT / "start.py").read_text(encoding="utf-8"))
    assert limit is not None
    assert f"at most {limit[1]} characters" in (ROOT / "README.md").read_text(encoding="utf-8")
    longest = 0
    for name in locked():
        for file in metadata.files(name) or []:  # "+cpu" is the name of a build that Windows does not get
            path = str(file).replace("+cpu", "")
            outside = path.startswith("..")  # such as ..\\..\\share\\jupyter
            below = re.sub(r"^(\.\.[\\/])+", "", path) if outside else "Lib/site-packages/" + path
            longest = max(longest, len("/.venv/" + below))
    assert int(limit[1]) + longest < 260


def test_pyzmqs_warning_on_windows_is_no_error_here(monkeypatch):
    loop = asyncio.SelectorEventLoop()
    monkeypatch.setattr(asyncio, "ProactorEventLoop", type(loop), raising=False)  # Windows has one, which is not enough
    monkeypatch.setattr("tornado.platform.asyncio.AddThreadSelectorEventLoop", lambda loop: loop)
    zmq.asyncio._get_selector_windows(loop)
    loop.close()


def test_the_integration_run_calls_the_readmes_test_command():
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().endswith("\npython3 start.py test")


def test_every_chore_of_the_guide_is_in_the_makefile():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"`make (\w+)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    assert named <= targets
    assert targets - {"help"} <= named, "a chore that the guide does not explain"


def test_the_relative_links_of_the_documents_resolve():
    for document in ROOT.glob("*.md"):
        for link in re.findall(r"\]\((?!https?:|mailto:|#)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (ROOT / link).exists(), f"{document.name} links to {link}, which does not exist"


def test_the_sections_that_the_teaching_guide_names_are_there():
    named = set()
    for line in (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8").splitlines():
        notebook = None
        for number, first, last in re.findall(r"\b(\d\d)(?= §)|§ (\d+)(?:–(\d+))?", line):
            notebook = number or notebook
            if first and notebook:
                named |= {(notebook, section) for section in range(int(first), int(last or first) + 1)}
    assert len(named) > 60
    for notebook, section in sorted(named):
        path = next((ROOT / "notebooks").glob(f"{notebook}_*.ipynb"))
        cells = nbformat.read(path, as_version=4).cells
        headings = [cell.source for cell in cells if cell.cell_type == "markdown"]
        assert any(re.search(rf"^## {section}\. ", text, re.MULTILINE) for text in headings), (notebook, section)


def test_the_network_is_blocked_here():
    with pytest.raises(PermissionError, match="blocked in tests"):
        socket.create_connection(("example.org", 80), timeout=1)
    with socket.socket() as one, pytest.raises(PermissionError, match="blocked in tests"):
        one.connect(("192.0.2.1", 80))
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        pytest.raises(PermissionError, match="blocked"),
    ):
        one.sendto(b"?", ("192.0.2.1", 53))


def test_the_network_is_blocked_in_programs_that_tests_start():
    program = "import urllib.request as u\ntry: u.urlopen('http://example.org')\nexcept OSError as e: print(e)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "blocked in tests" in said


def test_this_machine_itself_stays_reachable_under_the_block():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=5).close()


@pytest.mark.skipif(sys.platform == "win32", reason="JupyterHub's servers run on Linux and macOS")
def test_the_recipe_for_a_hub_gives_each_learner_a_copy_and_never_overwrites_it(tmp_path):
    course, home = tmp_path / "opt course", tmp_path / "home"
    for folder in ("notebooks", "exercises", "docs", ".venv/bin"):
        (course / folder).mkdir(parents=True)
    (course / "README.md").write_text("read me")
    (course / "notebooks" / "00_welcome.ipynb").write_text("as delivered")
    server = course / ".venv" / "bin" / "jupyterhub-singleuser"
    server.write_text('#!/bin/sh\necho "$PWD|$COURSE_HOME|$*"\n')
    server.chmod(0o755)
    home.mkdir()
    config = Config()
    recipe = (ROOT / "docs" / "jupyterhub_config.py").read_text(encoding="utf-8")
    exec(recipe.replace('"/opt/course"', repr(str(course))), {"get_config": lambda: config})
    command = [*config.Spawner.cmd, "--allow-root"]
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    for attempt in ("as delivered", "changed"):
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert said.stdout.strip() == f"{home / 'course'}|{home / 'course-models'}|--allow-root", said.stderr
        mine = home / "course" / "notebooks" / "00_welcome.ipynb"
        assert mine.read_text() == attempt
        mine.write_text("changed")


@pytest.mark.parametrize("path", [p for f in ("notebooks", "exercises") for p in sorted((ROOT / f).glob("*.ipynb"))])
def test_a_notebook_in_another_python_says_which_one_it_needs(path):
    cells = nbformat.read(path, as_version=4).cells
    first = next(cell.source for cell in cells if cell.cell_type == "code")
    alone = [sys.executable, "-I", "-S", "-c", first]  # a Python without any package
    said = subprocess.run(alone, capture_output=True, text=True, cwd=path.parent).stderr
    assert said.rstrip().splitlines()[-1] == (
        "ModuleNotFoundError: The course is not in this kernel's Python: choose .venv (README.md, “In VS Code”)."
    )
    assert "\n## In VS Code" in (ROOT / "README.md").read_text(encoding="utf-8")
