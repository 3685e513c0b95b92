"""Several people answer at once, and processes are killed: nothing is lost, nothing doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from visionkit.flywheel.answers import Conflict, Correction
from visionkit.flywheel.catalog import Catalog, open_catalog
from visionkit.types import Sample

# Answers pictures in turn, each anew until it counts; prints the id of each answer that does. It
# knows of none that it had sent before, as a page that was loaded again, but sends the same ids.
REVIEWER = """
import sys
from visionkit.flywheel.answers import Conflict, Correction
from visionkit.flywheel.catalog import open_catalog
catalog = open_catalog(sys.argv[1])
reviewer, count = sys.argv[2], int(sys.argv[3])
for number in range(count):
    sample, name = f"p{number % 5}", f"{reviewer}-{number}"
    while True:
        revision = catalog.truth(sample).revision
        try:
            catalog.correct(Correction(name, sample, revision, reviewer, "edit", (name,)))
        except Conflict:
            continue
        break
    print(name, flush=True)
"""


def with_pictures(catalog: Catalog, count: int = 5) -> None:
    catalog.add_samples([Sample(f"p{n}", f"/{n}.jpg", 8, 8, f"h{n}") for n in range(count)])


def check_log(catalog: Catalog) -> None:
    """Of each picture the answers follow each other, each to the one before."""
    revisions: dict[str, int] = {}
    for entry in catalog.corrections():
        assert entry.revision == revisions.get(entry.sample_id, 0)
        revisions[entry.sample_id] = entry.revision + 1
    assert {name: truth.revision for name, truth in catalog.truths().items() if truth.revision} == (
        revisions
    )


def start(catalog: Catalog, reviewer: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", REVIEWER, catalog.uri, reviewer, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_threads_of_one_catalog(catalog: Catalog) -> None:
    with_pictures(catalog)

    def review(reviewer: int) -> int:
        conflicts = 0
        for number in range(20):
            sample = f"p{number % 5}"
            done = False
            while not done:
                revision = catalog.truth(sample).revision
                name = f"{reviewer}-{number}"
                try:
                    catalog.correct(Correction(name, sample, revision, str(reviewer), "edit"))
                    done = True
                except Conflict:
                    conflicts += 1
        return conflicts

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(review, range(4)))
    names = [entry.id for entry in open_catalog(catalog.uri).corrections()]
    assert sorted(names) == sorted(f"{who}-{number}" for who in range(4) for number in range(20))
    check_log(open_catalog(catalog.uri))


def test_processes_that_are_killed_and_start_again(catalog: Catalog) -> None:
    with_pictures(catalog)
    told: set[str] = set()
    running = {name: start(catalog, name, 30) for name in ("ann", "ben", "cleo")}
    for _ in range(3):
        lines = running["ann"].stdout
        assert lines is not None
        for _ in range(4):
            told.add(lines.readline().strip())
        time.sleep(0.003)  # somewhere in the middle of the next one
        os.kill(running["ann"].pid, signal.SIGKILL)
        told.update(lines.read().split())
        running["ann"].wait()
        lines.close()
        running["ann"] = start(catalog, "ann", 30)
    for process in running.values():
        assert process.communicate()[0]
        assert process.returncode == 0
    names = [entry.id for entry in catalog.corrections()]
    expected = {f"{who}-{number}" for who in ("ann", "ben", "cleo") for number in range(30)}
    assert len(names) == len(set(names))
    assert set(names) == expected
    assert told <= set(names)
    check_log(catalog)
    check_log(open_catalog(catalog.uri))


@pytest.mark.parametrize("others", [0, 70])
def test_the_log_is_the_same_after_it_was_made_one_file(
    catalog: Catalog, tmp_path: Path, others: int
) -> None:
    with_pictures(catalog, 2)
    reader = open_catalog(catalog.uri)
    for number in range(70 + others):
        catalog.correct(Correction(str(number), "p0", number, "ann", "edit", (str(number),)))
    assert [entry.id for entry in reader.corrections()] == [str(n) for n in range(70 + others)]
    assert reader.truth("p0").labels == (str(69 + others),)
    data = Path(catalog.uri) / "corrections.lance" / "data"
    assert sum(1 for _ in data.iterdir()) >= 1
    check_log(reader)
