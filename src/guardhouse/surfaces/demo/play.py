"""The play: which acts there are, in which order, and what is told at the end."""

from __future__ import annotations

import http.client
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from guardhouse.surfaces.cli import render
from guardhouse.surfaces.demo import account as accounts
from guardhouse.surfaces.demo import commands, fleet, law, proof, sample, work
from guardhouse.surfaces.demo.account import Account
from guardhouse.surfaces.demo.stage import Stage, StageFault, stage

Act = Callable[[Stage, Account], None]

ACTS: tuple[Act, ...] = (
    fleet.hire,
    fleet.race,
    work.share,
    fleet.destroy,
    fleet.approve,
    fleet.suspend,
    law.edit,
    law.observe,
)
"""What is played before the sample and the ledger."""


def play(file: Path | None = None, *, as_json: bool = False) -> bool:
    """Play every act on a gateway of its own; whether everything went as told.

    `file` holds the commands of the sample, else the shipped ones are sent. InvalidInput when it cannot
    be read. The gateway is ended also on Ctrl-C, SIGTERM and errors.
    """
    samples = commands.read(file) if file is not None else commands.shipped()
    account, started = Account(quiet=as_json), time.monotonic()
    with _ended_by_signals():
        try:
            with stage() as set_up:
                if not as_json:
                    render.say(f"A gateway of the demo's own listens at {set_up.address} (process {set_up.pid}).")
                for act in ACTS:
                    act(set_up, account)
                sample.send(set_up, account, samples)
                proof.prove(set_up, account)
        except (StageFault, OSError, http.client.HTTPException) as fault:
            account.step("the play goes on to its end", False, str(fault) or type(fault).__name__)
    if as_json:
        render.print_json(account.to_json())
    else:
        sample.tell(dict(account.sample))
        accounts.tell(account, time.monotonic() - started)
    return account.ok


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM ends the play as Ctrl-C does: through every `finally`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
