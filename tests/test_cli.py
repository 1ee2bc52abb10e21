"""The command line: options, exit codes, JSON, and what is never imported."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kinpack
from kinpack.archive.segments.segment_tail import Tail
from kinpack.cli import reporting
from kinpack.cli.reporting import Report, columns, one_line
from tests.cli_runs import PROGRAM, ask, pack_six, pictures, run, without_progress

COMMANDS = (
    "pack", "add", "sync", "unpack", "get", "search", "info", "verify", "ls", "learn",
    "rm", "mv", "history", "compact", "gc", "copy", "merge", "seal", "unseal", "repair", "export",
    "cluster", "map", "gram",
)  # fmt: skip


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of six pictures of two labels; nobody changes it."""
    return pack_six(tmp_path_factory.mktemp("packed"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    text = run(command, "--help").stdout
    assert re.search(rf"^  Example:\n    kinpack {command} ", text, flags=re.MULTILINE)
    assert "--json" in text
    assert "--quiet" in text


def test_the_program_has_help_and_a_version() -> None:
    text = run("--help").stdout
    assert all(re.search(rf"^  {command} ", text, flags=re.MULTILINE) for command in COMMANDS)
    assert "Example:\n    kinpack pack" in text
    assert "..." not in text.partition("Commands:")[2], "a summary is too long for its line"
    assert run("--version").stdout == f"kinpack {kinpack.__version__}\n"
    module = [sys.executable, "-m", "kinpack", "--version"]
    said = subprocess.run(module, capture_output=True, text=True, check=True).stdout
    assert said == f"kinpack {kinpack.__version__}\n"


def test_help_is_fast() -> None:
    seconds = []
    for _ in range(4):
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([PROGRAM, "--help"], check=True, capture_output=True)
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        # The processor's seconds, which do not count what else the machine is doing.
        seconds.append(end.ru_utime - start.ru_utime + end.ru_stime - start.ru_stime)
    assert min(seconds) < 0.5


def test_errors_and_help_import_nothing_heavy() -> None:
    code = (
        "import sys; from kinpack.cli import app\n"
        "for words in (['--help'], ['pack', '--help'], ['get', 'x']):\n"
        "    try: app(words)\n"
        "    except SystemExit: pass\n"
        "heavy = {'pyarrow', 'onnxruntime', 'constriction', 'faiss', 'torch', 'datasets'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        (),
        ("unknown",),
        ("pack",),
        ("pack", "photos"),
        ("pack", "photos", "-o"),
        ("pack", "photos", "-o", "x.kin", "--quality", "0"),
        ("pack", "photos", "-o", "x.kin", "--quality", "101"),
        ("pack", "photos", "-o", "x.kin", "--quality", "high"),
        ("pack", "photos", "-o", "x.kin", "--size", "-1"),
        ("pack", "photos", "-o", "x.kin", "--threads", "0"),
        ("pack", "photos", "-o", "x.kin", "--limit", "0"),
        ("pack", "photos", "-o", "x.kin", "--escape", "off"),
        ("pack", "photos", "-o", "x.kin", "--on-duplicate", "ask"),
        ("pack", "photos", "-o", "x.kin", "--nonsense"),
        ("--nonsense",),
        ("add", "x.kin"),
        ("unpack", "x.kin"),
        ("unpack", "x.kin", "-o", "out", "--format", "gif"),
        ("get", "x.kin"),
        ("search", "x.kin"),
        ("search", "x.kin", "q.png", "-k", "0"),
        ("info",),
        ("info", "x.kin", "y.kin"),
        ("verify",),
        ("ls", "x.kin", "--limit", "0"),
        ("ls", "x.kin", "--at", "0"),
        ("rm", "x.kin"),
        ("compact",),
        ("gc", "x.kin", "--keep", "0"),
        ("gc", "x.kin", "--min-age", "-1"),
        ("history",),
        ("copy", "x.kin"),
        ("seal", "x.kin"),
        ("export", "x.kin", "-o", "out"),
        ("export", "x.kin", "-o", "out", "--format", "zarr"),
        ("repair", "x.kin"),
        ("unseal", "x.kin.zip"),
        ("merge", "-o", "x.kin"),
        ("learn", "photos"),
        ("learn", "photos", "-o", "x.kinc", "--minutes", "1", "--steps", "1"),
        ("learn", "photos", "-o", "x.kinc", "--minutes", "0"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line_and_exit_2(words: tuple[str, ...]) -> None:
    result = run(*words, code=2)
    assert result.stdout == ""
    assert re.fullmatch(r"kinpack: error: .+; see: kinpack.* --help\n", result.stderr)
    as_json = run(*words[:1], "--json", *words[1:], code=2)
    assert set(json.loads(as_json.stderr)) == {"error"}
    assert as_json.stderr.count("\n") == 1


def test_pack_reports_what_it_did(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 3)
    (tmp_path / "photos" / "broken.jpg").write_text("no picture")
    done = run(
        *("pack", tmp_path / "photos", "-o", tmp_path / "x.kin", "--codec", "classic"),
        *("--skip-broken", "--size", "16", "--quality", "40"),
    )
    assert re.search(r"3 images added, 1 left out that cannot be read; 3 images in ", done.stdout)
    assert done.stderr.startswith("kinpack: left out: ")
    assert "broken.jpg" in done.stderr
    assert done.stderr.count("\n") == 1
    info = ask("info", tmp_path / "x.kin")
    assert info["metadata"] == {
        "codec": "classic",
        "quality": 40,
        "size": 16,
        "classic": "auto",
        "effort": "default",
    }
    assert {entry["width"] for entry in ask("ls", tmp_path / "x.kin")} == {16}


def test_pack_answers_in_json(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 2)
    (tmp_path / "photos" / "broken.jpg").write_text("no picture")
    answer = ask(
        *("pack", tmp_path / "photos", "-o", tmp_path / "x.kin", "--codec", "classic"),
        "--skip-broken",
    )
    assert (answer["added"], answer["replaced"], answer["skipped"]) == (2, 0, 0)
    assert [one["id"] for one in answer["broken"]] == ["broken.jpg"]
    assert answer["images"] == 2
    assert answer["bytes_on_disk"] > 0


def test_several_files_are_one_source(tmp_path: Path) -> None:
    beach = pictures(tmp_path / "photos", 2, label="beach")
    forest = pictures(tmp_path / "photos", 2, label="forest")
    run("pack", *beach, *forest, "-o", tmp_path / "x.kin", "--codec", "classic")
    assert [entry["id"] for entry in ask("ls", tmp_path / "x.kin")] == [
        "beach/00.png",
        "beach/01.jpg",
        "forest/00.png",
        "forest/01.jpg",
    ]


def test_limit_takes_the_first(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 4)
    words = ("pack", tmp_path / "photos", "-o", tmp_path / "x.kin", "--codec", "classic")
    assert ask(*words, "--limit", "3")["added"] == 3
    assert [one["id"] for one in ask("ls", tmp_path / "x.kin")][-1] == "beach/02.webp"


def test_add_keeps_to_the_settings_of_the_archive(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 2)
    pictures(tmp_path / "more", 2, label="city")
    pictures(tmp_path / "yet", 2, label="village")
    archive = tmp_path / "x.kin"
    words = ("--codec", "classic", "--quality", "33", "--size", "20")
    run("pack", tmp_path / "photos", "-o", archive, *words)
    run("add", archive, tmp_path / "more")
    run("add", archive, tmp_path / "yet", "--size", "0", "--quality", "80")
    entries = ask("ls", archive)
    assert [entry["quality"] for entry in entries] == [33, 33, 33, 33, 80, 80]
    assert [max(entry["width"], entry["height"]) for entry in entries] == [20] * 4 + [48] * 2


def test_adding_reads_no_more_of_other_segments_than_ids_and_sums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack_six(tmp_path)
    decoded: list[list[str]] = []
    before = Tail.read

    def counted(tail: Tail, names: list[str]) -> dict[str, object]:
        decoded.append(names)
        return before(tail, names)

    monkeypatch.setattr(Tail, "read", counted)
    told = run("add", path, *pictures(tmp_path / "more", 1, label="more")).stdout
    images, n_bytes = re.findall(r"([0-9,]+) images in ([0-9,]+) bytes", told)[-1]
    assert decoded[:2] == [["id"], ["checksum", "length"]]  # the latter to find repeated images
    monkeypatch.undo()
    facts = ask("info", path)
    assert int(images) == facts["images"] == 7
    earlier = sum(file.stat().st_size for file in sorted((path / "manifests").iterdir())[:-1])
    assert int(n_bytes.replace(",", "")) == facts["bytes_on_disk"] - earlier


def test_duplicates(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 2)
    archive = tmp_path / "x.kin"
    run("pack", tmp_path / "photos", "-o", archive, "--codec", "classic")
    before = sorted(archive.rglob("*"))
    refused = run("add", archive, tmp_path / "photos", code=1)
    assert "beach/00.png" in refused.stderr
    assert sorted(archive.rglob("*")) == before
    skipped = run("add", archive, tmp_path / "photos", "--on-duplicate", "skip")
    assert "0 images added, 2 skipped" in skipped.stdout
    replaced = ask("add", archive, tmp_path / "photos", "--on-duplicate", "replace")
    assert (replaced["added"], replaced["replaced"], replaced["images"]) == (0, 2, 2)


def test_quiet_prints_results_alone(packed: Path, tmp_path: Path) -> None:
    result = run("verify", packed, "--quiet")
    assert (result.stdout, result.stderr) == ("", "")
    run_out = run("unpack", packed, "-o", tmp_path / "out", "-q")
    assert (run_out.stdout, run_out.stderr) == ("", "")
    got = run("get", packed, "beach/00.png", "-o", tmp_path / "x.png", "-q")
    assert (got.stdout, got.stderr) == ("", "")
    assert run("ls", packed, "-q").stdout.count("\n") == 6
    assert run("search", packed, "id:beach/00.png", "-k", "2", "-q").stdout.count("\n") == 2
    assert "images" in run("info", packed, "-q").stdout


def test_json_is_one_document_everywhere(packed: Path, tmp_path: Path) -> None:
    beach = packed.parent / "photos" / "beach" / "00.png"
    info = ask("info", packed)
    assert {
        "images",
        "pixels",
        "codec_id",
        "codec_bytes",
        "bytes_on_disk",
        "payload_bytes",
        "bytes_per_image",
        "bits_per_pixel",
    } <= set(info)
    assert info["images"] == 6
    on_disk = sum(path.stat().st_size for path in packed.rglob("*") if path.is_file())
    describers = sum(one["describer_bytes"] for one in info["describers"].values())
    assert info["bytes_on_disk"] + info["codec_bytes"] + describers == on_disk
    assert info["bytes_per_image"] == pytest.approx(info["bytes_on_disk"] / 6)
    assert info["bits_per_pixel"] == pytest.approx(8 * info["bytes_on_disk"] / info["pixels"])

    hits = ask("search", packed, beach, "-k", "3")
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    assert hits[0]["id"] == "beach/00.png"
    assert hits[0]["label"] == "beach"
    assert hits == sorted(hits, key=lambda hit: float(hit["distance"]))

    entries = ask("ls", packed)
    assert [entry["id"] for entry in entries][:2] == ["beach/00.png", "beach/01.jpg"]
    assert {"id", "label", "width", "height", "channels", "kind", "quality", "length"} == set(
        entries[0]
    )
    assert sum(entry["length"] for entry in entries) == info["payload_bytes"]

    report = ask("verify", packed, "--deep")
    assert (report["ok"], report["problems"], report["images"]) == (True, [], 6)
    unpacked = ask("unpack", packed, "-o", tmp_path / "out")
    assert unpacked["images"] == 6
    assert ask("get", packed, "beach/00.png", "-o", tmp_path / "x.png")["width"] == 48
    assert ask("info", "classic")["name"] == "classic"


def test_ls_filters(packed: Path) -> None:
    assert [one["label"] for one in ask("ls", packed, "--label", "forest")] == ["forest"] * 3
    assert len(ask("ls", packed, "--limit", "4")) == 4
    assert run("ls", packed, "--label", "nowhere").stdout == ""
    line = run("ls", packed, "--limit", "1").stdout.split()
    assert line[0] == "48×40"
    assert line[2:] == ["beach", "beach/00.png"]


def test_an_error_with_json_is_json_too(packed: Path) -> None:
    result = run("get", packed, "nowhere", "-o", "x.png", "--json", code=1)
    assert result.stdout == ""
    assert "nowhere" in json.loads(result.stderr)["error"]
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("place", [0, 1, 5])
def test_debug_shows_where_an_error_comes_from(packed: Path, place: int) -> None:
    words = ["get", str(packed), "nowhere", "-o", "x.png"]
    words.insert(place, "--debug")
    errors = run(*words, code=1).stderr
    assert errors.startswith("Traceback")
    assert "\nkinpack: error: " in errors


def test_what_follows_two_dashes_is_no_option(packed: Path) -> None:
    result = run("get", packed, "-o", "x.png", "--", "--debug", code=1)
    assert "'--debug'" in result.stderr


def test_a_bug_is_one_line_too(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kinpack.archive.archive import Archive

    def fail(self: Archive) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(Archive, "info", fail)
    errors = run("info", packed, code=1).stderr
    assert re.fullmatch(r"kinpack: error: .*ZeroDivisionError: two lines.*--debug.*\n", errors)
    assert "Traceback" in run("info", packed, "--debug", code=1).stderr


def test_progress_is_plain_lines_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reporting, "SECONDS_BETWEEN_LINES", 0.01)

    def until_told(told: str) -> str:
        """All lines so far, once one of them tells this; they come by themselves."""
        seen = ""
        while told not in seen:
            seen += capsys.readouterr().err
            time.sleep(0.01)
        return seen

    with Report().meter("packing", 5000) as meter:
        meter.advance(1000)
        meter.advance(2000)
        errors = until_told("kinpack: packing: 3,000 of 5,000 images, ")
        meter.move(0.5, "halfway")
        errors += until_told("kinpack: packing: 50%, halfway\n")
    with Report().meter("verifying", None) as meter:
        meter.advance(7)
        errors += until_told("kinpack: verifying: 7 images, ")
    errors += capsys.readouterr().err
    assert without_progress(errors) == ""
    assert without_progress(told := "kinpack: error: 21 images\n") == told


def test_progress_is_a_bar_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with Report().meter("packing", 8) as meter:
        meter.advance(8)
    out, errors = capsys.readouterr()
    assert out == ""
    assert "packing" in errors
    assert "8/8" in errors


@pytest.mark.parametrize("report", [Report(quiet=True), Report(json=True)])
def test_no_progress_beside_quiet_or_json(
    report: Report, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with report.meter("packing", 8) as meter:
        meter.advance(8)
        meter.move(1.0, "done")
    assert capsys.readouterr() == ("", "")


def test_lines_for_people() -> None:
    facts = {"images": 1234, "rate": 0.5, "kinds": {"avif": 3}, "empty": {}, "none": None}
    assert list(columns(facts.items())) == [
        "images  1,234",
        "rate    0.500",
        "kinds   avif 3",
        "empty   -",
        "none    -",
    ]
    assert one_line("a\nb\tc \x1b[31m") == "a b c \\x1b[31m"
