"""`python -m tests.gateway.crashing serve`: the real command over a catalog with four handlers written in a hurry.

`renew_lock` raises before it has done anything; `acquire_lock` of a key under `res:crash` raises after its
effect, and so do `complete_work` with a summary `crash` and `get_work` for CRASH_SECONDS. Everything else is as shipped.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from guardhouse import __main__, app
from guardhouse.catalog import Catalog, Context, Operation
from guardhouse.operations import CATALOG

CRASH_SECONDS = 4_242
_HANDLERS = {operation.name: operation.handler for operation in CATALOG}


def _before(_context: Context, _ask: Any) -> Any:
    raise RuntimeError("a handler that was written in a hurry")


def _after(context: Context, ask: Any) -> Any:
    done = _HANDLERS[context.call.operation](context, ask)
    if getattr(ask, "key", "").startswith("res:crash") or _meant(ask):
        raise RuntimeError("a handler that fails after its effect")
    return done


def _meant(ask: Any) -> bool:
    return getattr(ask, "summary", "") == "crash" or getattr(ask, "lease_seconds", 0) == CRASH_SECONDS


def _declared(operation: Operation) -> Operation:
    crashing = {"renew_lock": _before, **dict.fromkeys(("acquire_lock", "complete_work", "get_work"), _after)}.get(
        operation.name
    )
    return replace(operation, handler=crashing) if crashing else operation


def crashing_catalog() -> Catalog:
    """The shipped catalog with the crashing handlers."""
    return Catalog([_declared(operation) for operation in CATALOG])


if __name__ == "__main__":
    app.CATALOG = crashing_catalog()
    __main__.main()
