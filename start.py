"""Start the course: `python3 start.py` opens it, `python3 start.py test` checks it.

Both make the environment `.venv` first, if it is missing or older than `requirements.lock`. Only Python's
standard library is needed. What follows `start.py` goes on to JupyterLab, what follows `test` to pytest.
"""

# Written so that Python 3.6 can still read it, and say what is wrong.
import contextlib
import hashlib
import importlib.util
import json
import locale
import os
import platform
import shutil
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent
NAME = "chatgpt-from-scratch"  # also the name of the conda environment
WELCOME = "notebooks/00_welcome.ipynb"
OLDEST, NEWEST = (3, 11), (3, 14)
GIGABYTES_NEEDED = 3
LONGEST_FOLDER = 60  # on Windows: torch has a file of 167 characters below .venv\Lib\site-packages, and 260 is the end
WINDOWS = os.name == "nt"
AGAIN = "Then run the same command again: it goes on where it stopped."


def stop(sentence):
    """End with a sentence for the learner instead of a traceback."""
    sys.exit("\n" + sentence)


def check_python(version):
    """Refuse a Python that is too old; warn about one newer than what was tested."""
    here = ".".join(map(str, version[:3]))
    if tuple(version[:2]) < OLDEST:
        example = "py -3.13 start.py" if WINDOWS else "python3.13 start.py"
        stop(
            f"This is Python {here} ({sys.executable}), and the course needs Python 3.11 or later. Install "
            f"a newer one from python.org or your system's packages, then run it, for example: {example}"
        )
    if tuple(version[:2]) > NEWEST:
        print(f"Python {here} is newer than what was tested; if the installation fails, use Python 3.13.")


def environment():
    """The folder of the environment: the active conda environment of the course's name, else `.venv`."""
    active = os.environ.get("CONDA_DEFAULT_ENV") == NAME and os.environ.get("CONDA_PREFIX") == sys.prefix
    return Path(sys.prefix) if active else ROOT / ".venv"


def python_of(folder):
    """The environment's Python: conda and venv put it in different places on Windows."""
    places = ["Scripts/python.exe", "python.exe"] if WINDOWS else ["bin/python"]
    return next((folder / place for place in places if (folder / place).exists()), folder / places[0])


def fingerprint():
    """Differs whenever the packages must be installed again: other versions, Python or place."""
    digest = hashlib.sha256(repr((sys.version, platform.machine(), str(ROOT))).encode())
    for name in ("requirements.lock", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def long_paths():
    """Is this Windows set to allow paths of 260 characters and more?"""
    registry = importlib.import_module("winreg")  # absent elsewhere
    try:
        with registry.OpenKey(registry.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem") as key:
            return registry.QueryValueEx(key, "LongPathsEnabled")[0] == 1
    except OSError:
        return False


def check_place(folder):
    """Refuse what the installation would fail on at its end, on Windows: a long path, letters that it cannot write."""
    if not WINDOWS:
        return
    if folder == ROOT / ".venv" and len(str(ROOT)) > LONGEST_FOLDER and not long_paths():
        stop(
            f"The path {ROOT} has {len(str(ROOT))} characters. Windows allows 260 for a whole path, and the packages "
            "need almost 200 of them: move the course to a short folder, such as C:\\course, and start it there."
        )
    if sys.version_info < (3, 12, 4):  # before, Python reads the path to `course` in the system's encoding, not UTF-8
        try:
            str(ROOT).encode(locale.getencoding())
        except UnicodeEncodeError:
            stop(
                f"The path {ROOT} has letters that Python {platform.python_version()} cannot keep in this system's "
                f"encoding, {locale.getencoding()}. Move the course to a folder such as C:\\course, or use Python 3.13."
            )


def wait(command, stop_too=False):
    """Run a command to its end; returns its exit code. Ctrl-C reaches it directly, we only wait for it."""
    path = str(Path(command[0]).parent) + os.pathsep + os.environ.get("PATH", "")  # finds `course`
    process = subprocess.Popen([str(part) for part in command], cwd=str(ROOT), env=dict(os.environ, PATH=path))
    interrupted = False
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            interrupted = True
            continue
        if interrupted and stop_too:
            raise KeyboardInterrupt
        return code


def make_environment(folder):
    """Create the environment with its own pip, unless a sound one of this Python is there already."""
    ask = [str(python_of(folder)), "-c", "import sys, pip; print(sys.version)"]
    with contextlib.suppress(OSError):
        found = subprocess.run(ask, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if found.returncode == 0 and found.stdout.strip() == sys.version.strip():
            return
    if folder != ROOT / ".venv":  # never touch what conda made
        stop(f"The conda environment {folder} has no pip. Make it again: conda env create -f environment.yml")
    if not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
        stop(
            "This Python lacks the module `venv` or `ensurepip`, so no environment can be made. On Debian or "
            "Ubuntu: sudo apt install python3-venv. Elsewhere: use Python from python.org, or conda (README)."
        )
    free = shutil.disk_usage(str(ROOT)).free / 1e9
    if free < GIGABYTES_NEEDED:
        stop(
            f"Only {free:.1f} GB are free on the disk of {ROOT}, and the packages need {GIGABYTES_NEEDED} GB "
            f"(three times that on Linux, where torch brings what GPUs need). Free some space. {AGAIN}"
        )
    if sys.platform == "linux" and free < 3 * GIGABYTES_NEEDED:
        print(f"{free:.1f} GB are free. If they run out: README.md tells how to leave out what torch brings for GPUs.")
    print(f"Making the environment {folder} with Python {platform.python_version()}.", flush=True)
    make = [sys.executable, "-m", "venv", "--clear", str(folder)]
    made = subprocess.run(make, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if made.returncode:
        stop(f"The environment {folder} could not be made. Python's venv says:\n{made.stdout.strip()}")


def pip_install(python, *arguments):
    """Install with pip, its progress shown; each of its usual failures becomes a sentence."""
    command = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *arguments]
    own = dict(os.environ, PIP_USER="0")
    process = subprocess.Popen(command, cwd=str(ROOT), env=own, stderr=subprocess.PIPE, text=True, errors="replace")
    said = ""
    try:
        for line in process.stderr or ():
            said += line
            print(line, end="", file=sys.stderr, flush=True)
    finally:
        code = process.wait()  # also after Ctrl-C, which pip hears as well
    if code == 0:
        return
    if any(sign in said for sign in ("No space left", "Errno 28")):
        stop(f"The disk is full. Free some space on the disk of {ROOT}, or of the folder for temporary files. {AGAIN}")
    if any(sign in said for sign in ("Long Path", "WinError 206")):
        stop(f"A path is too long for Windows: move the course to a short folder, such as C:\\course. {AGAIN}")
    if any(sign in said for sign in ("Retrying (", "Connection", "ProxyError", "timed out", "SSLError")):
        proxy = '$env:HTTPS_PROXY = "http://name:port"' if WINDOWS else "HTTPS_PROXY=http://name:port"
        stop(
            "The packages could not be downloaded: no network, or a proxy or firewall in between. Only this "
            f"step needs the internet. Behind a proxy, set {proxy}. {AGAIN}"
        )
    if "No matching distribution" in said:
        here = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
        if sysconfig.get_platform() == "win-arm64":  # of this Python; `platform` may tell the processor's
            stop(
                "The package named above has no build for a Python for Arm processors on Windows. Install the x64 "
                f"(AMD64) Python from python.org, which runs there as well. {AGAIN}"
            )
        stop(
            f"The package named above has no build for {here}. All have one for Python 3.13 on 64-bit Linux "
            "and Windows, and on Macs with Apple's own processors and macOS 14 or later."
        )
    stop(f"pip could not install the packages, for the reason above. {AGAIN}")


def settle_lab(folder, into=None):
    """JupyterLab asks the internet for nothing, its keys leave knobs alone, long lines of code are wrapped, nbgrader's
    buttons are hidden, and its terminal knows the environment's commands. Written below `into` (default: folder)."""
    into = into or folder
    share = Path("share", "jupyter", "lab")
    settings = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    settings["@jupyterlab/notebook-extension:tracker"] = {"codeCellConfig": {"lineWrap": True}}
    keys = own_keys(folder / share / "schemas" / "@jupyterlab" / "notebook-extension" / "tracker.json")
    settings["@jupyterlab/shortcuts-extension:shortcuts"] = {"shortcuts": keys}
    # Grading, which the tests install, brings teachers' buttons. A teacher turns them on: jupyter labextension enable.
    page = {"disabledExtensions": {"@jupyter/nbgrader": True}}
    files = {
        share / "settings" / "overrides.json": settings,
        Path("etc", "jupyter", "labconfig", "page_config.json"): page,
    }
    if not WINDOWS:  # a server that was started without a terminal would open login shells, which forget the PATH
        opens = ["/bin/sh", "-c", 'PATH="$0:$PATH" exec "${SHELL:-/bin/sh}"', str(python_of(folder).parent)]
        server = {"ServerApp": {"terminado_settings": {"shell_command": opens}}}
        files[Path("etc", "jupyter", "jupyter_server_config.json")] = server
    for name, content in files.items():
        path = into / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")


def own_keys(schema):
    """JupyterLab's keys of the command mode (A adds a cell, D D deletes one), but not while an output has the focus.

    A slider or a menu in an output has the focus while somebody types at it; as delivered, the same keys act on cells.
    """
    if not schema.exists():
        return []
    shortcuts = json.loads(schema.read_text(encoding="utf-8")).get("jupyter.lab.shortcuts", [])
    found = [s for s in shortcuts if "jp-mod-commandMode" in s["selector"] and s["selector"].endswith(" :focus")]
    changed = [dict(s, selector=s["selector"] + ":not(.jp-OutputArea *)") for s in found]
    return [dict(s, disabled=True) for s in found] + changed


def ready():
    """The environment's Python, after installing what is missing or stale. The stamp is written last."""
    folder = environment()
    stamp, wanted = folder / "course-stamp.txt", fingerprint()
    if python_of(folder).exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python_of(folder)
    check_place(folder)
    make_environment(folder)
    print("Installing the packages: some minutes the first time. The last step is long and silent.")
    print("Ctrl-C interrupts; the same command goes on later.", flush=True)
    python = python_of(folder)
    pip_install(python, "-r", "requirements.lock")
    pip_install(python, "--no-deps", "--no-build-isolation", "--quiet", "-e", ".")
    settle_lab(folder)
    stamp.write_text(wanted, encoding="utf-8")
    print("The environment is ready.", flush=True)
    return python


def open_lab(python, arguments):
    """Open JupyterLab at the welcome notebook."""
    chosen = any(argument.startswith(("--port", "--ServerApp.port")) for argument in arguments)
    with socket.socket() as probe:
        probe.settimeout(0.3)  # Windows tries a port that refuses for two seconds
        if not chosen and probe.connect_ex(("127.0.0.1", 8888)) == 0:
            print("Port 8888 is in use (another JupyterLab?): the next free one is taken, see below.")
    print("Opening JupyterLab. To end it, press Ctrl-C here twice.", flush=True)
    place = ["--ServerApp.root_dir=" + str(ROOT), "--LabApp.default_url=/lab/tree/" + WELCOME]
    if WINDOWS:  # the browser cannot see the file that leads it to the page, if Python came from Microsoft's Store
        place.append("--ServerApp.use_redirect_file=False")
    return wait([python, "-m", "jupyterlab", *place, *arguments])


def run_checks(python, arguments):
    """Run every check, even after one failed, and name those that failed at the end."""
    print("Also installing what the tests of the grader, the slides and the web edition need.", flush=True)
    pip_install(python, "--quiet", "-r", "requirements-grading.lock", "-r", "requirements-site.lock")
    checks = {
        "ruff check": ["ruff", "check", "."],
        "ruff format": ["ruff", "format", "--check", "--output-format=concise", "."],
        "mypy": ["mypy"],
        "pytest": ["pytest", *arguments],
    }
    failed = []
    for name, command in checks.items():
        print(f"\n== {name}", flush=True)
        if wait([python, "-m", *command], stop_too=True):
            failed.append(name)
    print("\nFailed: " + ", ".join(failed) if failed else "\nEvery check passed.", flush=True)
    return 1 if failed else 0


def main(arguments):
    """Do what the command line asks for; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):  # in a file, a letter that the system's encoding lacks becomes "?"
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    check_python(sys.version_info)
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    if arguments and arguments[0] != "test" and not arguments[0].startswith("-") and not (ROOT / arguments[0]).exists():
        stop(
            f'start.py knows no "{arguments[0]}". `start.py` opens the course, `start.py test` checks it, and options '
            "such as --no-browser go to JupyterLab. For the other commands, see README.md."
        )
    try:
        python = ready()
        if arguments[:1] == ["test"]:
            return run_checks(python, arguments[1:])
    except KeyboardInterrupt:
        stop("Interrupted. Nothing is lost: the same command goes on where it stopped.")
    except OSError as error:
        stop(f"The folder {ROOT} must be complete, writable and not on a full disk: {error}")
    return open_lab(python, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
