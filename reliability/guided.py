"""Fuzz the readers of strangers' files guided by coverage, with atheris.

    python -m reliability.guided [--minutes 30] [--turn 4] [--targets manifest,...]
        [--corpus FOLDER]

Inputs that reach new lines of the package are kept and changed further; checksums are made to hold,
so that what lies behind them is reached. What is read must be refused by an error of kinpack's of
one line, or be right: the promise of `reliability.fuzz`, which changes whole files blindly.

It goes in turns, each in a process of its own and noted in the result file when it is over, until
every target has so many minutes of processor time there: it may be stopped whenever one likes, and
goes on where it was. --corpus keeps all inputs meanwhile; in the end those that reach lines that
no other reaches go to `reliability/corpus`, which the tests read. atheris is not among the packages
that the project installs: `pip install atheris` beside it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from reliability import ROOT
from reliability.fuzz_seeds import make_seeds
from reliability.guided_targets import TARGETS
from reliability.guided_turn import PROGRAM
from reliability.report import Trials, parser

CORPUS = Path(__file__).with_name("corpus")
"""Inputs that reached something new, a folder for each target."""

COMMAND = [sys.executable, "-m", "reliability.guided_turn"]
"""What a turn runs, with a target and words of libFuzzer's behind it."""

_LIMIT = 300  # seconds of one input, by the clock: others may use the machine too
_MEMORY = 3072  # MiB of the process
_LONGEST = 1 << 16  # bytes of an input
_MOST = 300  # inputs that are kept from turn to turn before they are sifted
_WORDS = (
    f"-timeout={_LIMIT}",
    f"-rss_limit_mb={_MEMORY}",
    f"-max_len={_LONGEST}",
    f"-report_slow_units={_LIMIT}",
)
_RUNS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_COVERED = re.compile(r"\bcov: (\d+)")


class Fuzzer:
    """Fuzzes targets, one turn after the other.

    Args:
        folder: holds the inputs, a folder for each target.
        trials: where findings go.
        sums: what has been counted so far, by target; added to.
    """

    def __init__(self, folder: Path, trials: Trials, sums: dict[str, dict[str, Any]]) -> None:
        self._folder = folder
        self._trials = trials
        self._sums = sums
        self._begun = folder / "begun"
        seeds = make_seeds()
        for name, target in TARGETS.items():
            for place in (
                folder / name,
                folder / "found" / name,
                self._begun / name,
                CORPUS / name,
            ):
                place.mkdir(parents=True, exist_ok=True)
            for number, data in enumerate(target(seeds)[1]):
                (self._begun / name / str(number)).write_bytes(data)

    def turn(self, name: str, minutes: float) -> bool:
        """Fuzz a target for so many minutes, and add up what that gave; tells if all was well."""
        place = self._folder / name
        if sum(1 for _ in place.iterdir()) > _MOST:
            self._sift(name)
        began = os.times()
        found = self._folder / "found" / name
        known = set(found.iterdir())
        words = [f"-max_total_time={round(60 * minutes)}", "-print_final_stats=1"]
        words += [f"-artifact_prefix={found}/"]
        status, said = self._run(name, [place, self._begun / name, CORPUS / name], words)
        took = os.times()
        spent = took.children_user + took.children_system
        spent -= began.children_user + began.children_system
        sums = self._sums.setdefault(name, {"minutes": 0.0, "inputs": 0, "turns": 0, "covered": 0})
        sums["minutes"] = round(sums["minutes"] + spent / 60, 4)
        sums["inputs"] += sum(map(int, _RUNS.findall(said)))
        sums["turns"] += 1
        sums["covered"] = max([sums["covered"], *map(int, _COVERED.findall(said))])
        new = [file.name for file in found.iterdir() if file not in known]
        if status or new:
            tail = " ".join(said.strip().splitlines()[-12:])[-600:]
            self._trials.fail(f"{name}: ended with {status}; {', '.join(new)}: {tail}")
        return not (status or new)

    def _sift(self, name: str) -> None:
        """Leave of a target's inputs those that reach something no smaller one reaches."""
        place, sifted = self._folder / name, self._folder / "sifted"
        shutil.rmtree(sifted, ignore_errors=True)
        sifted.mkdir()
        if self._run(name, [sifted, place], ["-merge=1"])[0] == 0:
            shutil.rmtree(place)
            sifted.rename(place)

    def keep(self, name: str) -> None:
        """Put into the corpus what reaches lines that its inputs and the first ones do not."""
        kept, known = CORPUS / name, self._folder / "known"
        shutil.rmtree(known, ignore_errors=True)
        shutil.copytree(self._begun / name, known)
        shutil.copytree(kept, known, dirs_exist_ok=True)
        before = {file.name for file in known.iterdir()}
        words = ["-merge=1", "-use_counters=0"]  # a line that is reached twice is no other line
        status, said = self._run(name, [known, self._folder / name], words)
        if status:
            self._trials.fail(f"{name}: the merge ended with {status}: {said[-300:]}")
        for file in known.iterdir():
            if file.name not in before:
                shutil.copyfile(file, kept / file.name[:16])

    def _run(self, name: str, folders: Iterable[Path], words: list[str]) -> tuple[int, str]:
        """Run a turn's process; gives its exit status and what it said."""
        program = self._folder / f"turn-{name}"
        program.write_text(f'#!/bin/sh\nexec {shlex.join([*COMMAND, name])} "$@"\n')
        program.chmod(0o700)
        done = subprocess.run(
            [program, *folders, *_WORDS, *words],
            cwd=ROOT,
            env={**os.environ, PROGRAM: str(program)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        return done.returncode, done.stderr.decode(errors="replace")


def _counts(sums: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the result file says beside the machine."""
    return {
        "minutes": round(sum(one["minutes"] for one in sums.values()), 1),
        "inputs": sum(one["inputs"] for one in sums.values()),
        "targets": {name: sums[name] for name in TARGETS if name in sums},
    }


def main() -> None:
    """Fuzz until every target has its minutes, and write the result file after each turn."""
    options = parser(__doc__, "guided")
    options.add_argument("--minutes", type=float, default=30.0, help="of each target, in all")
    options.add_argument("--turn", type=float, default=4.0, help="minutes of a turn")
    options.add_argument("--targets", default=",".join(TARGETS), help="which targets")
    options.add_argument("--corpus", type=Path, help="keeps all inputs (a temporary folder)")
    options.add_argument("--anew", action="store_true", help="forget what the result file counts")
    chosen = options.parse_args()
    if find_spec("atheris") is None:
        sys.exit("atheris is not installed here: pip install atheris")
    trials = Trials("guided", chosen)
    sums: dict[str, dict[str, Any]] = {}
    if chosen.output.exists() and not chosen.anew:
        result = json.loads(chosen.output.read_text())
        sums, trials.failures = result["targets"], list(result.get("failed", []))
    names = chosen.targets.split(",")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        fuzzer = Fuzzer((chosen.corpus or Path(folder)).resolve(), trials, sums)

        def spent(name: str) -> float:
            return float(sums.get(name, {"minutes": 0.0})["minutes"])

        going = list(names)
        while going and spent(name := min(going, key=spent)) < chosen.minutes:
            if not fuzzer.turn(name, min(chosen.turn, chosen.minutes - spent(name) + 0.1)):
                going.remove(name)  # until it is mended it would find the same again
            trials.write(_counts(sums))
        for name in names:
            fuzzer.keep(name)
    trials.finish(_counts(sums))


if __name__ == "__main__":
    main()
