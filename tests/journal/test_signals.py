"""A signal handler may log, or raise, while its own thread is inside an append."""

from collections import Counter
from pathlib import Path

import pytest

from tests.journal.support import damages, drained, read_all
from tests.journal.test_processes import run
from tracelet.events import Metric
from tracelet.journal.reader import Reader


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    directory.mkdir()
    return directory


LOGS_FROM_A_SIGNAL_HANDLER = """
import signal, sys
from pathlib import Path
from tracelet.events import Note
from tracelet.journal.writer import Writer

writer = Writer(Path(sys.argv[1]), segment=50_000)
outcomes = []

def handle(*_):
    step = len(outcomes)
    scalar = step % 2 and writer.scalar("handler", 1.0, step, 1.0)
    outcomes.append(bool(scalar or (not step % 2 and writer.event(Note(1.0, "handler")))))

signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
index = 0
while len(outcomes) < 800 or outcomes.count(False) < 3:
    assert writer.scalar("main", 1.0, index, 1.0)
    assert writer.scalar(f"other/{index % 1000}", 1.0, index, 1.0)
    assert writer.stepless("main", 1.0, 1.0)
    index += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(index, sum(outcomes), outcomes.count(False), writer.dropped, writer.lost)
"""


def test_a_signal_handler_that_logs_does_not_deadlock_and_every_record_is_accounted_for(
    journal: Path,
) -> None:
    with run(LOGS_FROM_A_SIGNAL_HANDLER, journal) as process:
        try:
            output, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert not errors
    main, written, refused, dropped, lost = (int(word) for word in output.split())

    found = read_all(journal)
    counts = Counter(str(getattr(record.event, "name", "handler")).partition("/")[0] for record in found)

    assert counts == {"main": 2 * main, "other": main, "handler": written}
    assert (dropped, lost) == (refused, 0)
    steps = [
        e.step for r in found if isinstance(e := r.event, Metric) and e.name == "main" and e.step is not None
    ]
    assert steps == list(range(main))


RAISES_FROM_A_SIGNAL_HANDLER = """
import signal, sys, threading
from pathlib import Path
from tracelet.journal.writer import Writer

writer = Writer(Path(sys.argv[1]), segment=50_000)

class Stop(Exception):
    pass

def handle(*_):
    raise Stop

signal.signal(signal.SIGALRM, handle)
told = []
index = interrupts = 0
while interrupts < 300:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0001 + interrupts % 13 * 0.00003)
        while True:
            assert writer.scalar("main", 1.0, index, 1.0)
            told.append(index)
            index += 1
            assert writer.scalar(f"name/{index}", 1.0, index, 1.0)
            assert writer.stepless("main", 1.0, 1.0)
    except Stop:
        interrupts += 1
        index += 1
thread = threading.Thread(target=lambda: print(writer.scalar("thread", 1.0, 1, 1.0)), daemon=True)
print(*told)
thread.start()
thread.join(60)
"""


@pytest.mark.slow
def test_a_signal_handler_that_raises_harms_no_append_that_returned(journal: Path) -> None:
    with run(RAISES_FROM_A_SIGNAL_HANDLER, journal) as process:
        try:
            output, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert not errors
    *lines, last = output.split()
    told = [int(line) for line in lines]

    records = read_all(journal)
    steps = [
        e.step
        for r in records
        if isinstance(e := r.event, Metric) and e.name == "main" and e.step is not None
    ]

    assert last == "True"
    assert not damages(records)
    assert steps == sorted(set(steps))
    assert set(told) <= set(steps)
    assert len(drained(Reader(journal), limit=11)) == len(records)
