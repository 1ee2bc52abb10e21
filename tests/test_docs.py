"""The documentation is executed: every example runs, every link leads somewhere.

A fenced block says what it is. ``python``, ``bash`` and ``console`` blocks run, in the order of the
page, in a folder of small pictures made here; in a ``console`` block lines after ``$ `` are
commands and the lines below each are its output, where ``...`` stands for anything. A second word
changes that: ``learn`` runs only where torch is installed, ``notest`` does not run, and then the
block must be listed below with its reason. Blocks of other languages are illustrations.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

EXECUTED = {"python", "bash", "console"}
ILLUSTRATIONS = {"text", "json", "toml", "markdown"}
RUN_ELSEWHERE = {"javascript"}  # by tests/test_javascript_reader.py, where there is Node
KNOWN = EXECUTED | ILLUSTRATIONS | RUN_ELSEWHERE

# Blocks that set up a machine, and so cannot run inside the suite: page -> first words of each line
# they may hold. CI runs `make check` and `make demo` itself.
NOT_RUN = {
    "README.md": ("make ", "pip install "),
    "CONTRIBUTING.md": ("make ", "git clone ", "cd ", "python3 -m venv ", ".venv"),
    "docs/cli.md": ("kinpack ",),  # needs the weights of the extra photo
    "docs/demo.md": ("make ",),
    "docs/installing.md": ("pip install ",),
    "docs/viewing.md": ("pip install ", "kinpack serve "),  # which ends only when it is told to
}


def name_of(page: Path) -> str:
    """A page as the tests call it: its path below the repository."""
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: where it is, what it says it is, and its text."""

    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def where(self) -> str:
        """Page and line, as an editor opens them."""
        return f"{name_of(self.page)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order; a fence that is never closed is an error."""
    blocks = []
    opened: tuple[int, int, str, list[str]] | None = None  # line, indentation, info, lines
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        fence = re.match(r"^(\s*)(```+|~~~+)\s*(.*)$", line)
        if opened is None:
            if fence:
                opened = (number, len(fence[1]), fence[3], [])
        elif fence and not fence[3]:
            start, indentation, info, lines = opened
            language, *words = info.split() or [""]
            text = "\n".join(row[indentation:] for row in lines) + "\n"
            blocks.append(Block(page, start + 1, language, tuple(words), text))
            opened = None
        else:
            opened[3].append(line)
    assert opened is None, f"{name_of(page)}:{opened[0]}: the block is never closed"
    return blocks


def pictures(folder: Path) -> None:
    """What the examples start from: ``photos/`` with two labels, ``more/`` and ``query.jpg``."""
    rng = np.random.default_rng(4)
    ramp = np.linspace(0, 200, 40, dtype=np.float32)
    for place, name, count in [
        ("photos/beach", "{:02d}.jpg", 8),
        ("photos/forest", "{:02d}.png", 8),
        ("more/city", "{:02d}.webp", 4),
        (".", "query.jpg", 1),
    ]:
        (folder / place).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            tint = rng.uniform(0, 55, 3)
            pixels = np.add.outer(np.roll(ramp, index)[:, None] + ramp[::-1] / 9, tint)
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(folder / place / name.format(index))


def run_shell(command: str, folder: Path, where: str) -> str:
    """Run shell lines with this environment's commands first; their output."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "100",
            "NO_COLOR": "1",
        },
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, f"{where}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def run_console(block: Block, folder: Path) -> None:
    """Run each command of a console block and compare its output with the lines below it."""
    assert block.text.startswith("$ "), f"{block.where}: a console block begins with a command"
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *expected = part.rstrip("\n").split("\n")
        while command.endswith("\\"):
            command += "\n" + expected.pop(0)
        output = run_shell(command, folder, block.where)
        pattern = ".*".join(re.escape(text) for text in "\n".join(expected).split("..."))
        shown = "\n".join(line.rstrip() for line in output.strip("\n").split("\n"))
        assert re.fullmatch(pattern, shown, flags=re.DOTALL), f"{block.where}: it printed\n{shown}"


def runnable(page: Path) -> list[Block]:
    """The blocks of a page that this environment can run, in order."""
    return [
        block
        for block in blocks_of(page)
        if block.language in EXECUTED
        and "notest" not in block.words
        and ("learn" not in block.words or find_spec("torch"))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=name_of)
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in runnable(page):
        if block.language == "python":
            # Blank lines before it, so that a traceback gives the line of the page.
            source = "\n" * (block.line - 1) + block.text
            exec(compile(source, str(page), "exec"), names)  # noqa: S102 - our own documentation
        elif block.language == "bash":
            run_shell(block.text, tmp_path, block.where)
        else:
            run_console(block, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_block_escapes(page: Path) -> None:
    for block in blocks_of(page):
        assert block.language in KNOWN, f"{block.where}: say what the block is"
        assert set(block.words) <= {"learn", "notest"}, f"{block.where}: unknown word"
        if block.language in ILLUSTRATIONS:
            commands = ("kinpack ", "$ ", "import ", "from ", "pip ", "make ")
            assert not block.text.startswith(commands), f"{block.where}: this could run"
        if "notest" in block.words:
            for line in block.text.splitlines():
                allowed = (*NOT_RUN.get(name_of(page), ()), "#")
                assert not line or line.startswith(allowed), f"{block.where}: {line!r} could run"


FACES = (
    "kinpack",
    "kinpack.learn",
    "kinpack.integrations",
    "kinpack.integrations.duckdb",
    "kinpack.integrations.torch",
)
"""All that the examples may import of kinpack: what lies below may move."""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_examples_import_the_public_face_alone(page: Path) -> None:
    for block in blocks_of(page):
        if block.language != "python":
            continue
        used: set[str] = set()
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {alias.name for alias in node.names}
                used |= {f"{node.module}.{name}" for name in names}
                if node.module in FACES:
                    missing = names - set(import_module(node.module).__all__)
                    assert not missing, f"{block.where}: {node.module} does not export {missing}"
                    used -= {f"{node.module}.{name}" for name in names}
        wrong = {
            name
            for name in used - set(FACES)
            if name.split(".")[0] in ("kinpack", "papers", "benchmarks", "reliability")
        }
        assert not wrong, f"{block.where}: it imports {wrong}; only {FACES} are public"


def test_what_the_faces_export_is_there() -> None:
    for face in FACES if find_spec("torch") else ("kinpack", "kinpack.integrations"):
        module = import_module(face)
        assert [name for name in module.__all__ if getattr(module, name, None) is None] == []
        assert set(module.__all__) <= set(dir(module))
        with pytest.raises(AttributeError, match="no attribute"):
            module.nothing_of_that_name  # noqa: B018 (that it raises is what is tried)


def test_few_blocks_are_not_run() -> None:
    kinds = [
        block.words for page in PAGES for block in blocks_of(page) if block.language in EXECUTED
    ]
    assert sum("notest" in words for words in kinds) <= 8
    assert sum("notest" not in words for words in kinds) >= 5


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"^[a-z]+:", target) or target.startswith("#"):
            continue
        path = (page.parent / target.split("#")[0]).resolve()
        assert path.exists(), f"{name_of(page)} links to {target}, which is not there"


def test_numbers_of_the_readme_come_from_result_files() -> None:
    command = [sys.executable, "-m", "benchmarks.pages.readme_numbers", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("tables", ["codec_tables", "installing_tables"])
def test_numbers_of_pages_come_from_result_files(tables: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.pages.{tables}", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_numbers_of_the_trials_come_from_result_files() -> None:
    command = [sys.executable, "-m", "reliability.numbers", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
