"""What the clock ends, written down: a task, and with an epic its open children, since nobody is left to ask for them."""

from __future__ import annotations

from sqlalchemy import literal, select

from guardhouse.services.queue import graph
from guardhouse.services.queue.states import CANCELLED, ENDED, Row, as_of, changes_due
from guardhouse.services.queue.tables import TASK, TASK_EDGE
from guardhouse.storage.store import Transaction


def write_down(tx: Transaction, row: Row, changes: Row, most: int = graph.MOST_CLOSED) -> list[Row]:
    """Make `changes` of the clock to one task; the tasks that changed, as they are now, the one itself first.

    An epic that ends so takes its open descendants along, as one that is given up does: `cancelled`,
    `closed_with_parent`; one whose own time is over ends by that. At most `most` of them: where more are left the epic
    itself stays due, and whoever writes down next goes on.
    """
    if not changes:
        return []
    if row["type"] != "epic" or changes.get("status") not in ENDED:
        return [graph.change(tx, row, changes)]
    open_ones = graph.open_descendants(tx, row["workspace_id"], row["id"], most)
    own = [(child, due) for child in open_ones[:most] if (due := changes_due(child, tx.now)).get("status") in ENDED]
    timed = {child["id"] for child, _due in own}
    others = [child for child in open_ones[:most] if child["id"] not in timed]
    closed = [graph.change(tx, child, due) for child, due in own]
    closed += graph.close(tx, row["workspace_id"], others, CANCELLED, "")
    return closed if len(open_ones) > most else [graph.change(tx, row, changes), *closed]


def ended_above(tx: Transaction, row: Row) -> Row | None:
    """The epic above a task that the clock has ended and nobody has written down yet; None where there is none.

    Those that have ended otherwise have closed what was below them.
    """
    if not row["parent_id"]:
        return None
    above = select(literal(row["id"]).label("id")).cte("above", recursive=True)
    above = above.union(
        select(TASK_EDGE.c.waiter_id).where(
            TASK_EDGE.c.workspace_id == row["workspace_id"],
            TASK_EDGE.c.awaited_id == above.c.id,
            TASK_EDGE.c.kind == graph.CHILD,
        )
    )
    epics = tx.rows(
        select(TASK)
        .where(
            TASK.c.workspace_id == row["workspace_id"],
            TASK.c.id.in_(select(above.c.id)),
            TASK.c.id != row["id"],
            TASK.c.type == "epic",
            TASK.c.due_at > 0,
            TASK.c.due_at <= tx.now,
        )
        .order_by(TASK.c.id)
    )
    return next((epic for epic in epics if as_of(epic, tx.now)["status"] in ENDED), None)
