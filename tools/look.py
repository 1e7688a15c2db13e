"""Photograph the notebooks as a learner sees them in JupyterLab: `make look`, or `make look ONLY="04"`.

Each notebook is opened in a headless Chromium, as committed; with `--run` its cells are run first. The
pictures land in `build/look`, one per screenful. Errors in the browser's console are printed. It needs
playwright (requirements-grading.lock) and a Chromium on the search path (else `playwright install chromium`).
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import start  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-sync",
]
IDLE = "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
DONE = """() => {
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(e => e.textContent);
    return prompts.length && prompts.every(text => !text.includes('*'))
        && window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle';
}"""


def browser_here() -> str | None:
    """The path of a Chromium on this machine; None: playwright's own, if it has one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def jupyterlab(root: Path = ROOT, dark: bool = False) -> Iterator[str]:
    """A JupyterLab of its own, with the course's settings; gives its address with "{}" for the file."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="look-") as folder:
        start.settle_lab(Path(sys.prefix), into=Path(folder))
        chosen = Path(folder) / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
        settings = json.loads(chosen.read_text(encoding="utf-8"))
        settings["@jupyterlab/notebook-extension:tracker"]["windowingMode"] = "none"  # else far cells are not drawn
        if dark:
            settings["@jupyterlab/apputils-extension:themes"] = {"theme": "JupyterLab Dark"}
        chosen.write_text(json.dumps(settings), encoding="utf-8")
        own = {f"JUPYTER_{name}_DIR": f"{folder}/{name.lower()}" for name in ("CONFIG", "DATA", "RUNTIME")}
        own |= {f"JUPYTERLAB_{name}_DIR": f"{folder}/{name.lower()}" for name in ("SETTINGS", "WORKSPACES")}
        own |= {"IPYTHONDIR": f"{folder}/ipython", "COURSE_HOME": f"{folder}/artifacts"}
        own |= {"JUPYTER_CONFIG_PATH": f"{folder}/etc/jupyter"}
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
        command += [f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
        command += [f"--ServerApp.root_dir={root}", f"--LabApp.app_settings_dir={chosen.parent}"]
        log = Path(folder) / "log"
        with log.open("w") as file:
            server = subprocess.Popen(
                [*command, "--expose-app-in-browser"], env={**os.environ, **own}, stdout=file, stderr=file
            )
        try:
            wait_for_server(server, f"http://127.0.0.1:{port}/api?token={token}", log)
            yield f"http://127.0.0.1:{port}/lab/tree/{{}}?reset&token={token}"
        finally:
            server.terminate()
            server.wait(30)


def wait_for_server(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Return when the server answers. Raises RuntimeError with its log when it died, or after two minutes."""
    limit = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < limit:
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start. Its log:\n{log.read_text()[-2000:]}")


def photograph(page: Any, stem: str, folder: Path) -> int:
    """Save one picture per screenful of the open notebook; returns how many."""
    scroll = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer"
    height, whole = page.eval_on_selector(scroll, "e => [e.clientHeight, e.scrollHeight]")
    step = max(1, height - 60)  # a little overlap, so that nothing is cut on every picture
    places = list(range(0, max(1, whole - 60), step))
    for number, place in enumerate(places):
        page.eval_on_selector(scroll, f"e => e.scrollTop = {place}")
        page.wait_for_timeout(400)
        page.screenshot(path=folder / f"{stem}-{number:02d}.png")
    return len(places)


def main() -> int:
    """Photograph the notebooks that the command line names by their beginnings, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of file names, such as 04 (default: all)")
    parser.add_argument("--run", action="store_true", help="run all cells first")
    parser.add_argument("--dark", action="store_true", help="in the dark theme")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1600)
    parser.add_argument("--into", type=Path, default=ROOT / "build" / "look", help="where the pictures go")
    asked = parser.parse_args()
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    chosen = [path for path in paths if not asked.names or path.name.startswith(tuple(asked.names))]
    asked.into.mkdir(parents=True, exist_ok=True)
    program = browser_here()
    with jupyterlab(dark=asked.dark) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for path in chosen:
            page = browser.new_page(viewport={"width": asked.width, "height": asked.height})
            page.on("console", lambda line: print("  console:", line.text) if line.type == "error" else None)
            page.on("pageerror", lambda error: print("  page error:", error))
            page.goto(address.format(path.relative_to(ROOT).as_posix()))
            page.wait_for_function(IDLE, timeout=120_000)
            page.keyboard.press("Control+B")  # hide the list of files
            if asked.run:
                page.evaluate("() => window.jupyterapp.commands.execute('runmenu:run-all')")
                page.wait_for_timeout(1000)
                page.wait_for_function(DONE, timeout=900_000)
            page.evaluate("() => window.jupyterapp.commands.execute('notebook:show-all-cell-outputs')")
            page.wait_for_timeout(2000)  # formulas and widgets are drawn late
            print(f"{path.stem}: {photograph(page, path.stem, asked.into)} pictures", flush=True)
            page.close()
        browser.close()
    print(f"The pictures are in {asked.into}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
