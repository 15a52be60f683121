"""Ids and salts: every byte of randomness is used once, in one process."""

from __future__ import annotations

import os
import threading
from itertools import count

from guardhouse.model.ids import RandomIds, Randomness


def test_no_byte_is_given_twice_whatever_the_sizes() -> None:
    pages = count()
    given = Randomness(lambda size: bytes([next(pages)]) * size, page=16)
    taken = [given(size) for size in (10, 6, 1, 40, 15, 16)]
    assert [len(piece) for piece in taken] == [10, 6, 1, 40, 15, 16]
    assert b"".join(taken) == b"\0" * 16 + b"\1" + b"\2" * 40 + b"\3" * 15 + b"\4" * 16


def test_threads_share_it_without_sharing_a_byte() -> None:
    numbers = count()
    given = Randomness(lambda size: b"".join(next(numbers).to_bytes(8, "big") for _ in range(size // 8)), page=64)
    taken: list[bytes] = []

    def take() -> None:
        taken.extend(given(8) for _ in range(2_000))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 8_000


def test_a_child_that_is_forked_off_gets_other_bytes() -> None:
    ids = RandomIds(lambda: 0)
    ids.secret(16)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, ids.secret(16))
        os._exit(0)
    os.close(writer)
    other = os.read(reader, 64)
    os.close(reader)
    assert os.waitpid(child, 0)[1] == 0
    assert len(other) == 16
    assert other != ids.secret(16)
