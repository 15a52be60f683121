"""The catalog: an operation is declared once, and every door, policy, entry and page speaks of it by that name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from guardhouse.bundle import Bundle
from guardhouse.errors import Refusal
from guardhouse.guardrails.text import UNSEEN, Examined, Seen
from guardhouse.model.call import Call, Category, Resource
from guardhouse.model.decision import Decision
from guardhouse.model.facts import Facts, Principal
from guardhouse.model.ids import Ids
from guardhouse.model.instants import Micros
from guardhouse.storage.store import Transaction


class Ask(BaseModel):
    """The base of every operation's input: strict types, unknown fields refused, frozen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Answer(BaseModel):
    """The base of every operation's output. The door adds `decision_id` to each."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Home:
    """What prepare knows of the caller when it canonicalises: the workspace and the session's repository."""

    workspace_id: str
    principal_id: str
    repository: str = "default"


@dataclass(slots=True)
class Context:
    """What a handler is given: an open transaction and what is already known. It fetches nothing else.

    `key` is the workspace's HMAC key. `evidence` is what the operation's `gather` made in prepare; `seen` what examining `texts` gave there.
    `present`: the caller's session is known to be there; False means that nobody has looked. `unfit` tells of a stored
    bundle why this version cannot load it, where that was found out.
    `objects` collects references (`lock:…`, `approval:…`) for the entry. `after_commit` collects
    notices that leave only when the entry is durable.
    """

    tx: Transaction
    call: Call
    facts: Facts
    decision: Decision
    bundle: Bundle
    ids: Ids
    key: bytes
    sequence: int
    texts: tuple[Examined, ...] = ()
    seen: Seen = UNSEEN
    evidence: Any = None
    present: bool = False
    unfit: Callable[[str], str] = lambda _digest: ""
    objects: list[str] = field(default_factory=list)
    after_commit: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    @property
    def now(self) -> Micros:
        """The transaction's one time."""
        return self.tx.now

    @property
    def caller(self) -> Principal:
        """Who asks."""
        return self.facts.principal

    @property
    def workspace_id(self) -> str:
        """The workspace that the call lies in."""
        return self.facts.workspace.id


Apart = Callable[[Mapping[str, Any], float], Any]
"""Has a process of its own read: (what is asked, seconds) -> what it found; None where it is to be read here.

TimeoutError when the time is over."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What a fetch is given: a read-only connection, and the tree size that its entry allows it to see.

    `timeout_seconds` bounds the whole reading on SQLite and each of its statements on PostgreSQL. The connection is opened
    by who first asks for it. `apart`: where there is a process that reads recalls, how to ask it.
    """

    opened: Callable[[], Connection]
    workspace_id: str
    tree_size: int
    now: Micros
    caller: Principal
    bundle: Bundle
    timeout_seconds: float = 30.0
    apart: Apart | None = None

    @property
    def connection(self) -> Connection:
        """The connection, the same each time."""
        return self.opened()


Handler = Callable[[Context, Any], Any]
"""Performs the effect inside the transaction and returns the output model, or raises `Refusal`."""

Gather = Callable[[Any, Bundle], Any]
"""Makes evidence before the train, without any lock: (ask, the law to prepare under) -> `Context.evidence`."""

Fetch = Callable[[Reader, Any], Any]
"""Reads the answer after the commit, at the permitted tree size, and returns the output model."""


Due = Callable[[Transaction, str, Any], bool]
"""Whether there is anything left to do, asked before deciding: (tx, workspace id, ask). The house's own calls have it."""

Authority = Callable[[Transaction, str, Principal, Bundle, str], Refusal | None]
"""Whose a thing must be: (tx, workspace id, principal, law, resource id) -> why not, or None. A `Refusal` may be raised too."""

Measure = Callable[[Transaction, str, Principal, Any], int]
"""Reads how much of a limit a principal uses now: (tx, workspace id, principal, ask) -> amount."""

Ahead = Callable[[Transaction, str, Sequence[tuple[Principal, Any]]], None]
"""Reads for all calls of one train, at once, what each handler would read alone: (tx, workspace id, (caller, ask) of each).

It MUST change nothing but `tx.ahead`, and no call's outcome: what a handler finds there is what it would find itself."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked.

    `texts` maps (ask) to the texts that guardrails examine; `tightens` (ask) to the text of the repository's own
    `.guardhouse.yaml`, which may make their findings stricter; `destinations` maps (ask) to (field, host)
    pairs for the network lists. `examines`: what is given is examined, not carried, so findings make a
    verdict and never deny the call. `secrets`: input fields that are never recorded; `secret_outputs`:
    output fields given once and cut from the stored first outcome. `measures`: what this operation uses
    of a profile's limits, read inside the transaction just before deciding (limit name -> reader). `authority`:
    who may do this to which thing, asked before the handler and by `check_policy`, beside what the gates say. `meanwhile`: what
    a caller is told to do while a person is asked about it.
    `writes`: the handler changes
    tables, so it runs in a savepoint. `people_only`: governs, so an agent's token is refused by the
    profile gate whatever its trust. `gather`: pure or child-process work done in prepare. `due`: a call that finds
    nothing left to do is not made, and leaves no entry. `ahead` reads for all calls of a train what each would read alone.
    """

    name: str
    category: Category
    ask: type[Ask]
    answer: type[Answer]
    resource: Callable[[Any, Home], Resource]
    handler: Handler
    summary: str
    description: str
    writes: bool
    people_only: bool
    examines: bool
    aliases: tuple[str, ...]
    texts: Callable[[Any], tuple[Examined, ...]] | None
    tightens: Callable[[Any], str] | None
    destinations: Callable[[Any], tuple[tuple[str, str], ...]] | None
    secrets: tuple[str, ...]
    secret_outputs: tuple[str, ...]
    gather: Gather | None
    fetch: Fetch | None
    measures: Mapping[str, Measure]
    due: Due | None = None
    authority: Authority | None = None
    meanwhile: str = ""
    ahead: Ahead | None = None


def operation(
    name: str,
    category: Category,
    *,
    ask: type[Ask],
    answer: type[Answer],
    resource: Callable[[Any, Home], Resource],
    writes: bool = False,
    people_only: bool = False,
    examines: bool = False,
    aliases: tuple[str, ...] = (),
    texts: Callable[[Any], tuple[Examined, ...]] | None = None,
    tightens: Callable[[Any], str] | None = None,
    destinations: Callable[[Any], tuple[tuple[str, str], ...]] | None = None,
    secrets: tuple[str, ...] = (),
    secret_outputs: tuple[str, ...] = (),
    gather: Gather | None = None,
    fetch: Fetch | None = None,
    measures: Mapping[str, Measure] | None = None,
    due: Due | None = None,
    authority: Authority | None = None,
    meanwhile: str = "",
    ahead: Ahead | None = None,
) -> Callable[[Handler], Operation]:
    """Declare an operation. The handler's docstring is product text: its first line is the summary."""

    def declare(handler: Handler) -> Operation:
        text = (handler.__doc__ or "").strip()
        if not text:
            raise ValueError(f"operation `{name}` needs a docstring: it is what agents and people read")
        lines = text.splitlines()
        return Operation(
            name=name,
            category=category,
            ask=ask,
            answer=answer,
            resource=resource,
            handler=handler,
            summary=lines[0].strip(),
            description="\n".join(line.strip() for line in lines).strip(),
            writes=writes,
            people_only=people_only,
            examines=examines,
            aliases=aliases,
            texts=texts,
            tightens=tightens,
            destinations=destinations,
            secrets=secrets,
            secret_outputs=secret_outputs,
            gather=gather,
            fetch=fetch,
            measures=measures or {},
            due=due,
            authority=authority,
            meanwhile=meanwhile,
            ahead=ahead,
        )

    return declare


class Catalog:
    """All operations by name. Aliases resolve here, before any gate, so that no second name dodges a policy."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._operations: dict[str, Operation] = {}
        self._aliases: dict[str, str] = {}
        for declared in operations:
            if declared.name in self._operations:
                raise ValueError(f"operation `{declared.name}` is declared twice")
            self._operations[declared.name] = declared
        for declared in self._operations.values():
            for alias in declared.aliases:
                if alias in self._operations or alias in self._aliases:
                    raise ValueError(f"alias `{alias}` of `{declared.name}` is already a name")
                self._aliases[alias] = declared.name

    @classmethod
    def of(cls, *groups: Iterable[Operation]) -> Catalog:
        """The catalog of several modules' operations, in the order written."""
        return cls(declared for group in groups for declared in group)

    def find(self, name: str) -> Operation | None:
        """The operation of this name or alias, or None."""
        return self._operations.get(self._aliases.get(name, name))

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._operations.values())

    def __len__(self) -> int:
        return len(self._operations)

    def categories(self) -> dict[str, Category]:
        """Every operation's category, by name: what the Cedar schema must equal."""
        return {declared.name: declared.category for declared in self}
