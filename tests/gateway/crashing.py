"""`python -m tests.gateway.crashing serve`: the real command over a catalog with two handlers written in a hurry.

`renew_lock` raises before it has done anything; `acquire_lock` of a key under `res:crash` raises after its
effect. Everything else is as shipped.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from guardhouse import __main__, app
from guardhouse.catalog import Catalog, Context, Operation
from guardhouse.operations import CATALOG

_ACQUIRE = next(operation.handler for operation in CATALOG if operation.name == "acquire_lock")


def _before(_context: Context, _ask: Any) -> Any:
    raise RuntimeError("a handler that was written in a hurry")


def _after(context: Context, ask: Any) -> Any:
    done = _ACQUIRE(context, ask)
    if ask.key.startswith("res:crash"):
        raise RuntimeError("a handler that fails after its effect")
    return done


def _declared(operation: Operation) -> Operation:
    crashing = {"renew_lock": _before, "acquire_lock": _after}.get(operation.name)
    return replace(operation, handler=crashing) if crashing else operation


def crashing_catalog() -> Catalog:
    """The shipped catalog with the two crashing handlers."""
    return Catalog([_declared(operation) for operation in CATALOG])


if __name__ == "__main__":
    app.CATALOG = crashing_catalog()
    __main__.main()
