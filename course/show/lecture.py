"""A notebook as a slide show: one file that opens without a network, shown from here with a kernel behind the page.

nbconvert makes the page, reveal.js (MIT; from the package sphinx-revealjs) turns it into slides, `course.show.slides`
says what stands on them. While the command runs, the key R runs the cell of a slide in a kernel and puts what came out
in the place of the committed output; without it, the committed output stays.
"""

from __future__ import annotations

import asyncio
import copy
import http.server
import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert.exporters import SlidesExporter
from nbformat import v4

from course import checkpoint
from course.show import export

TEMPLATES = Path(__file__).parent / "templates"
INSTALL = "pip install -r requirements-site.lock, with the environment's own Python (README.md, For lecturers)"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
PROGRAMS = (  # where Chromium and its kin are installed without being on the search path
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
REVEAL = ("dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js")
PRINT_SECONDS = 120


class DeckExporter(export.MathMarkdown, SlidesExporter):  # type: ignore[misc]  # nbconvert has no types
    """nbconvert's slides, with our template and our formulas."""


def reveal(name: str) -> str:
    """A file of reveal.js, such as "dist/reveal.js". Raises ValueError where the package with it is missing."""
    package = importlib.util.find_spec("sphinx_revealjs")
    if package is None or package.origin is None:
        raise ValueError(f"Slides need reveal.js, which is not installed: {INSTALL}.")
    return (Path(package.origin).parent / "_static" / "revealjs" / name).read_text(encoding="utf-8")


def exporter(template: str) -> DeckExporter:
    """An exporter with one of our templates."""
    return DeckExporter(raw_template=(TEMPLATES / template).read_text(encoding="utf-8"))


def deck(notebook: Path, handout: bool = False, address: str = "") -> str:
    """The slide show of a notebook as HTML.

    handout: for paper, each slide with what is said about it.
    address: where the page finds its kernel; without one it has none.
    """
    from course.show.minutes import time_them
    from course.show.slides import cut

    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(export.WIDGET, None)  # the picture beside it stays
        if cell.cell_type == "markdown":
            cell.source = export.LINK.sub(r"\1", cell.source)
    name = export.heading(content) or notebook.stem
    cells: list[Any] = []
    slides = cut(content)
    time_them(slides, content, notebook.stem.split("_")[0])
    for slide in slides:
        cells += slide_cells(slide)
    made = v4.new_notebook(cells=cells, metadata={"title": name, "language_info": {"name": "python"}})
    files = (
        {}
        if handout
        else {file: reveal(file) for file in ("dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js")}
    )
    html, _ = exporter("slides.html.j2").from_notebook_node(
        made, {"files": files, "handout": handout, "address": address, "metadata": {"name": name}}
    )
    return str(html)


def slide_cells(slide: Any) -> list[Any]:
    """A slide as cells that nbconvert's slides understand."""
    mark = "#" if slide.section else "######"
    cells = [v4.new_markdown_cell(f"{mark} {slide.title}")]
    cells[0].metadata["slideshow"] = {
        "slide_type": "slide" if slide.section else "subslide",
        "data": {"timing": str(slide.seconds)},
    }
    for part in slide.parts:
        if part.kind == "markdown":
            cell = v4.new_markdown_cell(part.text)
        elif part.kind == "code":
            cell = v4.new_code_cell(part.text)
        else:
            cell = v4.new_code_cell("", outputs=copy.deepcopy(part.outputs))
            cell.metadata["course_cell"] = [part.cell, part.start, "" if part.end is None else part.end]
        cell.metadata["slideshow"] = {"slide_type": "fragment" if part.later else "-"}
        cells.append(cell)
    if slide.notes:
        cells.append(v4.new_markdown_cell("\n\n".join(slide.notes)))
        cells[-1].metadata["slideshow"] = {"slide_type": "notes"}
    return cells


def write(names: Iterable[str], into: Path) -> list[Path]:
    """Write the slide shows of these notebooks into a folder, a file each, to open without Python.

    Raises FileExistsError, before anything is written, where a name is taken by a file which is no page of the course.
    """
    notebooks = export.named(names)
    checkpoint.probe(into)
    made = [into / f"{notebook.stem}_slides.html" for notebook in notebooks]
    export.only_ours(made)
    for notebook, path in zip(notebooks, made, strict=True):
        path.write_text(deck(notebook), encoding="utf-8")
    return made


# --- paper --------------------------------------------------------------------------------------------------


def chromium() -> str | None:
    """The path of a Chromium, Chrome or Edge on this machine, or None."""
    known = [shutil.which(name) for name in BROWSERS] + [path for path in PROGRAMS if Path(path).exists()]
    return next(filter(None, known), None)


def handout(notebook: Path, into: Path) -> Path:
    """Print a notebook's slides, with what is said about them, as a PDF file.

    Raises ValueError where no browser is found that prints; FileExistsError where something else has the file's name.
    """
    program = chromium()
    path = (into / f"{notebook.stem}_handout.pdf").absolute()
    page = path.with_suffix(".html")
    checkpoint.probe(into)
    export.only_ours([page])
    if program is None:
        page.write_text(deck(notebook, handout=True), encoding="utf-8")
        raise ValueError(
            f"No Chromium, Chrome or Edge was found to print with. Open {page} in your browser, and choose Print, "
            "Save as PDF."
        )
    if path.exists() and path.read_bytes()[:4] != b"%PDF":
        raise FileExistsError(f"{path} is no handout of the course; name another folder with --into.")
    with tempfile.TemporaryDirectory(prefix="course-handout-") as folder:
        file = Path(folder) / "handout.html"
        file.write_text(deck(notebook, handout=True), encoding="utf-8")
        command = [program, "--headless", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        command += [
            f"--user-data-dir={folder}/profile",
            "--no-pdf-header-footer",
            f"--print-to-pdf={path}",
            file.as_uri(),
        ]
        if (
            hasattr(os, "geteuid") and os.geteuid() == 0
        ):  # as root, such as in a container, Chromium refuses its sandbox
            command.insert(1, "--no-sandbox")
        path.unlink(missing_ok=True)
        said = subprocess.run(command, capture_output=True, text=True, timeout=PRINT_SECONDS, check=False)
    if not path.exists():
        raise ValueError(f"{program} could not print: {' '.join(said.stderr.split())[-300:]}")
    return path


# --- a kernel behind the page -------------------------------------------------------------------------------


class Kernel:
    """Runs a notebook's cells, in their order, when somebody asks for one."""

    def __init__(self, notebook: Path) -> None:
        self.content = nbformat.read(notebook, as_version=4)
        self.folder = notebook.parent
        self.client: Any = None
        self.open = AsyncExitStack()  # the kernel, once there is one
        self.done: set[int] = set()
        self.one = asyncio.Lock()  # cells run one after the other
        self.loop = asyncio.SelectorEventLoop()  # the kind that Jupyter's messages need on Windows, too
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, number: int) -> list[str]:
        """Run the cell of this number, and before it those above that did not run yet; returns its outputs as HTML.

        A cell's error is such an output. Raises ValueError if there is no such code cell.
        """
        if not (0 <= number < len(self.content.cells)) or self.content.cells[number].cell_type != "code":
            raise ValueError(f"There is no code cell {number}.")
        return asyncio.run_coroutine_threadsafe(self._run(number), self.loop).result()

    async def _run(self, number: int) -> list[str]:
        async with self.one:
            if self.client is None:
                place = {"metadata": {"path": str(self.folder)}}
                client = NotebookClient(self.content, timeout=None, kernel_name="python3", resources=place)
                quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
                await self.open.enter_async_context(client.async_setup_kernel(**quiet))
                self.client = client
            for i, cell in enumerate(self.content.cells[: number + 1]):
                if cell.cell_type == "code" and (i == number or i not in self.done):
                    try:
                        await self.client.async_execute_cell(cell, i)
                    except CellExecutionError:  # it is shown as the cell's output
                        return self.outputs(i)
                    self.done.add(i)
            return self.outputs(number)

    def outputs(self, number: int) -> list[str]:
        """What the cell shows, as HTML, one for each output."""
        from course.show.slides import seen

        found = []
        for output in seen(self.content.cells[number]):
            cell = v4.new_code_cell("", outputs=[copy.deepcopy(output)])
            cell.outputs[0].get("data", {}).pop(export.WIDGET, None)
            html, _ = exporter("slides_cell.html.j2").from_notebook_node(v4.new_notebook(cells=[cell]))
            found.append(str(html))
        return found

    def close(self) -> None:
        """End the kernel."""
        asyncio.run_coroutine_threadsafe(self.open.aclose(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Answer(http.server.BaseHTTPRequestHandler):
    """GET the page; POST the number of a cell to run it. The address holds a secret that other pages do not know."""

    def __init__(self, *arguments: Any, page: bytes, secret: str, kernel: Kernel) -> None:
        self.page, self.secret, self.kernel = page, secret, kernel
        super().__init__(*arguments)

    def send(self, status: int, body: bytes, kind: str = "text/html; charset=utf-8") -> None:
        """One whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:  # its name is http.server's
        """The slide show."""
        if self.path.split("?")[0] == f"/{self.secret}/":
            self.send(200, self.page)
        else:
            self.send(404, b"There is nothing here.")

    def do_POST(self) -> None:  # its name is http.server's
        """Run a cell."""
        place, _, number = self.path.rpartition("/")
        if place != f"/{self.secret}/run" or not number.isdigit():
            self.send(404, b"There is nothing here.")
            return
        try:
            self.send(200, json.dumps({"outputs": self.kernel.run(int(number))}).encode(), "application/json")
        except Exception as error:  # the page says so, and keeps the committed output
            self.send(500, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode(), "application/json")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing is logged: the terminal belongs to the speaker."""


class Show:
    """A slide show that is being given: `address` is for the browser, `close` ends it."""

    def __init__(self, notebook: Path) -> None:
        secret = secrets.token_urlsafe(16)
        self.kernel = Kernel(notebook)
        page = deck(notebook, address=f"/{secret}/run/").encode()
        handler = partial(Answer, page=page, secret=secret, kernel=self.kernel)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/{secret}/"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def wait(self) -> None:
        """Return when the show was closed by another thread; Ctrl-C comes through."""
        while self.thread.is_alive():
            self.thread.join(0.5)  # Windows hears Ctrl-C only between such waits

    def close(self) -> None:
        """End the server and the kernel."""
        self.server.shutdown()
        self.server.server_close()
        self.kernel.close()
