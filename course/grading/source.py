"""A cell's text as Python, read and never run: what a notebook adds to the language is passed over, names are found.

A notebook's own commands (`%%time`, `%matplotlib inline`, `!pip install`, `relu?`) mean something to IPython alone.
Where they leave the meaning as it is, the rest of the cell is an answer like any other.
"""

from __future__ import annotations

import ast
import re
import symtable
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

MAX_STATEMENTS = 500  # of a cell; an answer has a few
KEEPS_MEANING = ("capture", "prun", "time", "timeit")  # `%%…` whose cell is Python, run as it stands
SIDE_ISSUES = (  # `%…` that define nothing
    "alias", "autoreload", "cd", "colors", "conda", "config", "debug", "env", "history", "load_ext", "ls", "lsmagic",
    "mamba", "matplotlib", "memit", "pdb", "pip", "pprint", "precision", "prun", "psource", "pwd", "reload_ext", "tb",
    "time", "timeit", "who", "whos", "xmode",
)  # fmt: skip
COMMAND = re.compile(
    r"""%\s?(?P<line>\w+)                                        # %matplotlib inline
    | !                                                          # !pip install
    | \?{1,2}[\w.%*]+\s*$ | [\w.%*]+(\([^()]*\))?\?{1,2}\s*$     # help
    | (pip3?|conda|mamba)\s+(install|uninstall|list|show|freeze)\b
    | (?P<taken>[\w,. \t]{1,99}=\s*(!|%\w))                      # files = !ls""",
    re.VERBOSE,
)
PIECE = re.compile(r"'''|\"\"\"|\"(?:\\.|[^\"\\])*\"?|'(?:\\.|[^'\\])*'?|#.*|[()\[\]{}]")  # what may hide a line's end


@dataclass(frozen=True)
class Statement:
    """A statement at the top of a cell. start, end: line (from 0) and column in bytes. kind: what it does with names.

    kind: "def", "import", "star" (an import of all names), "future", "other". modules: packages that it imports.
    stub: a function whose body is still the exercise's.
    """

    text: str
    start: tuple[int, int]
    end: tuple[int, int]
    kind: str
    binds: frozenset[str]
    uses: frozenset[str]
    modules: frozenset[str] = frozenset()
    stub: bool = False


@dataclass(frozen=True)
class Python:
    """A text that is Python. bound: names that it binds; stubs: those of functions that nobody has begun to write.

    checks: the functions that it hands to `check`.
    """

    text: str
    statements: tuple[Statement, ...]
    bound: frozenset[str]
    stubs: frozenset[str]
    checks: frozenset[str]

    def defines(self, name: str) -> bool:
        """Is there something of this name that somebody has begun to write?"""
        return name in self.bound and name not in self.stubs


@lru_cache(128)  # most cells of a class are everybody's: imports, checks, what is given; those of the others go soon
def parse(text: str) -> Python | None:
    """The text's statements; None where it is no Python, or too much of it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as for "\d"
            tree = ast.parse(text)
            if len(tree.body) > MAX_STATEMENTS:
                return None
            lines = [line.encode() for line in text.split("\n")]
            statements = tuple(_statement(node, lines) for node in tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError, SystemError):  # the last two: nested too deeply
        return None
    last = {name: statement for statement in statements for name in statement.binds}  # a later one holds
    stubs = frozenset(name for name, statement in last.items() if statement.stub)
    return Python(text, statements, frozenset(last), stubs, frozenset(_checked(tree)))


def _statement(node: ast.stmt, lines: list[bytes]) -> Statement:
    first = min([node, *getattr(node, "decorator_list", [])], key=lambda part: part.lineno)
    start = (first.lineno - 1, node.col_offset)
    end = ((node.end_lineno or node.lineno) - 1, node.end_col_offset or 0)
    inner = lines[start[0] : end[0] + 1]
    inner[-1] = inner[-1][: end[1]]
    inner[0] = inner[0][start[1] :]
    text = b"\n".join(inner).decode()
    kind, modules = "other", []
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        kind = "def"
    elif isinstance(node, ast.Import):
        kind, modules = "import", [name.name for name in node.names]
    elif isinstance(node, ast.ImportFrom):
        star = any(name.name == "*" for name in node.names)
        kind = "future" if node.module == "__future__" else "star" if star else "import"
        modules = ["." if node.level else node.module or "."]
    binds, uses = names(text)
    packages = frozenset(module.split(".")[0] for module in modules)
    return Statement(text, start, end, kind, binds, uses, packages, _is_stub(node))


def names(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """(the names that a statement binds, the names outside its functions that it uses), by Python's own rules."""
    top = symtable.symtable(text, "cell", "exec")
    binds = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    uses: set[str] = set()
    tables = [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        uses |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and (table is top or s.is_global())}
    return frozenset(binds), frozenset(uses)


def _is_stub(node: ast.stmt) -> bool:
    """Is it a function in which nothing is written: a docstring, and `raise NotImplementedError`, `pass` or `...`?"""
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
    for part in node.body:
        value = getattr(part, "value", None)
        if isinstance(part, ast.Raise) and part.exc is not None:
            raised = part.exc.func if isinstance(part.exc, ast.Call) else part.exc
            if not (isinstance(raised, ast.Name) and raised.id == "NotImplementedError"):
                return False
        elif not isinstance(part, ast.Pass) and not (isinstance(part, ast.Expr) and isinstance(value, ast.Constant)):
            return False
    return True


def only(python: Python, kept: list[Statement]) -> Python:
    """These statements of a text alone."""
    text = "\n".join(statement.text for statement in kept)
    return parse(text) or python


def _checked(tree: ast.Module) -> Iterator[str]:
    """The names of functions that the cell hands to `check`."""
    for node in tree.body:
        value = getattr(node, "value", None)
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "check":
            yield from (argument.id for argument in value.args[:1] if isinstance(argument, ast.Name))


def without(python: Python, dropped: list[Statement]) -> str:
    """The text with `pass` in the place of these statements; every other line keeps its number."""
    lines = [line.encode() for line in python.text.split("\n")]
    for statement in reversed(dropped):
        (first, left), (last, right) = statement.start, statement.end
        behind = lines[last][right:]
        lines[first : last + 1] = [lines[first][:left], *[b""] * (last - first)]
        lines[last] += b"pass" + behind
    return b"\n".join(lines).decode()


# --- what a notebook adds to Python -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plain:
    """A cell's text without the notebook's own commands, and these commands.

    harmless: passed over. missing: passed over, and something may be missing that they defined. foreign: the `%%…`
    that makes the cell something else than Python.
    """

    text: str
    harmless: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    foreign: str = ""


def plain(text: str) -> Plain:
    """Pass over the notebook's own commands. Every line keeps its number."""
    from IPython.core.inputtransformer2 import classic_prompt, ipython_prompt, leading_indent

    lines = text.splitlines(keepends=True)
    for strip in (leading_indent, classic_prompt, ipython_prompt):  # as IPython does with what was pasted
        lines = strip(lines)
    lines = "".join(lines).split("\n")
    harmless: list[str] = []
    missing: list[str] = []
    for number, line in enumerate(lines):
        if line.startswith("%%"):
            name = re.match(r"%%\s?(\w*)", line)
            if name is None or name[1] not in KEEPS_MEANING:
                return Plain(text, foreign=line.split()[0])
            harmless.append(line)
            lines[number] = ""
        elif line.strip():
            break
    for number, command in _commands(lines):
        line = lines[number]
        indent, rest = line[: len(line) - len(line.lstrip())], line.strip()
        kept = _timed(rest) if command["line"] == "time" else "pass"
        known = command["line"] is None or command["line"] in SIDE_ISSUES
        (harmless if known and command["taken"] is None else missing).append(rest)
        lines[number] = indent + kept
    return Plain("\n".join(lines), tuple(harmless), tuple(missing))


def _timed(line: str) -> str:
    """The statement that `%time` runs and measures; "pass" if there is none."""
    statement = re.sub(r"^%\s?time\s*(-\S+\s+)*", "", line)
    try:
        ast.parse(statement)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "pass"
    return statement or "pass"


def _commands(lines: list[str]) -> Iterator[tuple[int, re.Match[str]]]:
    """(number, command) of the lines that are commands: where a statement begins, not inside strings or brackets."""
    quote, depth, continued = "", 0, False
    for number, line in enumerate(lines):
        if not quote and depth == 0 and not continued and (command := COMMAND.match(line.lstrip())):
            yield number, command
            continue
        place = 0
        while place < len(line):
            if quote:
                end = re.compile(rf"(?:\\.|[^\\])*?{quote}").match(line, place)
                if end is None:
                    break
                quote, place = "", end.end()
                continue
            piece = PIECE.search(line, place)
            if piece is None:
                break
            place = piece.end()
            if piece[0] in ("'''", '"""'):
                quote = piece[0]
            elif piece[0] in "([{":
                depth += 1
            elif piece[0] in ")]}":
                depth = max(0, depth - 1)
        continued = line.endswith("\\")
