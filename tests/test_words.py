"""One word, one meaning: the words of docs/architecture.md, in names and in what people read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "kinpack"

EVERYWHERE = {
    "quantizer": "quantiser",
    "quantizers": "quantisers",
    "embedder": "describer",
    "embedders": "describers",
    "escape": "classic, as in --classic auto",
    "manager": "what it does",
    "utils": "what it does",
    "helpers": "what it does",
}
"""Words that nothing of the package is called by, and what stands for each."""

ROOMS = {
    "archive": {"coder": "codec", "descriptors": "vectors"},
    "archive/revisions": {"state": "revision"},
    "cli": {"state": "revision", "coder": "codec"},
}
"""Likewise in one room and those below it."""

CLASSES = {
    "Entry": "ImageEntry or SegmentEntry",
    "Coder": "the kind of coder",
    "Embedder": "Describer",
    "Intake": "SourceReader",
    "Reached": "MeasuredQuality",
}
"""Names of classes that leave open which one is meant."""

RIDDLES = {
    "taken",
    "reached",
    "sifting",
    "refusal",
    "intake",
    "utils",
    "helpers",
    "common",
    "manager",
}
"""Names of modules from which nobody guesses what is inside."""

OLD = PACKAGE / "cli" / "program.py"
"""Knows the options' former spellings, to answer them with the new ones."""

MEANT_ELSEWHERE = {
    ("entropy", "escape"),
    ("codec/learned", "escape"),  # a symbol beyond its table, the entropy coders' term
    ("archive/stores", "descriptors"),  # of open files
}
"""Words that another trade uses for another thing."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every identifier that a module binds; what it imports has others' names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield getattr(node, "lineno", 0), node.asname


def words(name: str) -> set[str]:
    """The words of an identifier: image and entry of ``ImageEntry``."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def forbidden(room: str) -> dict[str, str]:
    """The words that a room has no use for."""
    found = dict(EVERYWHERE)
    for place, more in ROOMS.items():
        if room == place or room.startswith(f"{place}/"):
            found |= more
    for place, word in MEANT_ELSEWHERE:
        if room == place or room.startswith(f"{place}/"):
            found.pop(word, None)
    return found


def test_identifiers_use_the_words_of_the_house() -> None:
    wrong = []
    for module in modules():
        room = str(module.parent.relative_to(PACKAGE))
        unwanted = forbidden(room)
        for line, name in names(ast.parse(module.read_text())):
            for word in words(name) & set(unwanted):
                place = module.relative_to(ROOT)
                wrong.append(f"{place}:{line}: {name}: say {unwanted[word]} for {word}")
    assert not wrong, "\n".join(wrong)


def test_no_class_leaves_open_which_one_is_meant() -> None:
    wrong = [
        f"{module.relative_to(ROOT)}:{node.lineno}: {node.name}: {CLASSES[node.name]}"
        for module in modules()
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.ClassDef) and node.name in CLASSES
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_is_a_riddle() -> None:
    wrong = [str(module) for module in modules() if module.stem in RIDDLES]
    assert not wrong, wrong


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_pages_use_the_words_of_the_house(page: Path) -> None:
    text = page.read_text().lower()
    for word in ("quantizer", "embedder", "--escape"):
        assert not re.search(rf"(?<!\w){re.escape(word)}", text), f"{page.name}: {word}"


def test_messages_and_docstrings_use_the_words_of_the_house() -> None:
    wrong = []
    for module in modules():
        if module == OLD:
            continue
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = re.findall(r"(?i)(?<!\w)(?:quantizer|embedder|--escape)", node.value)
                wrong += [f"{module.relative_to(ROOT)}:{node.lineno}: {word}" for word in found]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("ImageEntry", {"image", "entry"}),
        ("_embedder_id", {"embedder", "id"}),
        ("ESCAPE_BITS", {"escape", "bits"}),
        ("ProductQuantizer", {"product", "quantizer"}),
    ],
)
def test_an_identifier_is_read_word_by_word(name: str, found: set[str]) -> None:
    assert words(name) == found


@pytest.mark.parametrize("old", ["--embedder", "--escape"])
def test_former_spellings_are_answered_with_the_new(
    old: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from kinpack.cli import app

    with pytest.raises(SystemExit) as stop:
        app(["pack", "pictures", "-o", "packed.kin", old, "kin"])
    assert stop.value.code == 2
    assert {"--embedder": "--describer", "--escape": "--classic"}[old] in capsys.readouterr().err


PAGES = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
SECTIONS = ("Question", "Measured", "Decided", "Not taken", "What it costs")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_decisions_are_of_one_form(page: Path) -> None:
    text = page.read_text()
    number = page.name[:4]
    assert text.startswith(f"# {number}. "), f"{page.name}: its heading begins with its number"
    parts = [part for part in text.split("\n\n")[1:] if not part.startswith("> Superseded")]
    assert re.match(r"\d{4}-\d\d-\d\d, (issue|archive format)", parts[0]), (
        f"{page.name}: say when, and for which issue"
    )
    found = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert found == [name for name in SECTIONS if name in found], f"{page.name}: {found}"
    assert {"Question", "Decided"} <= set(found)
    long = [line for line in text.splitlines() if len(line) > 120 and not line.startswith("|")]
    assert not long, f"{page.name}: {long[0][:60]}"


def test_decisions_are_numbered_one_after_the_other() -> None:
    assert [int(page.name[:4]) for page in PAGES] == list(range(1, len(PAGES) + 1))
