"""The queue's tables: tasks, and which task waits for which."""

from __future__ import annotations

from sqlalchemy import Index
from sqlmodel import SQLModel

from guardhouse.storage.columns import counter, identifier, instant, json_text, small, table_of, text


class Task(SQLModel, table=True):
    """One piece of work, and who holds it now.

    `waiting_on` counts the needs that are not done; it is counted again, under the workspace's write
    lock, whenever one of them changes. `due_at` is the next instant at which the clock alone changes
    the task (its lease lapses, its deadline passes), or 0. `fence` rises with every claim and at every
    involuntary end of one. `submit_sequence` and `record_sequence` name the entries whose payloads hold
    the same words, so that an erasure finds the copies.
    """

    __tablename__ = "task"
    workspace_id: str = identifier(key=True)
    id: str = identifier(key=True)
    type: str = identifier()
    title: str = text()
    detail: str = text(default="")
    definition_of_done: str = text(default="")
    input_json: str = json_text(default="{}")
    labels_json: str = json_text(default="[]")
    priority: int = small()
    raw_priority: int = small(default=0)
    parent_id: str = identifier(default="")
    feature: str = identifier(default="")
    repository: str = text(default="")
    assignee_id: str = identifier(default="")
    status: str = identifier()
    blocked_reason: str = text(default="")
    waiting_on: int = small(default=0)
    attempts: int = small(default=0)
    max_attempts: int = small()
    deadline: int = instant(default=0)
    lease_seconds: int = small()
    due_at: int = instant(default=0)
    fence: int = counter(default=0)
    holder_id: str = identifier(default="")
    holder_session: str = identifier(default="")
    claimed_at: int = instant(default=0)
    lease_until: int = instant(default=0)
    created_by: str = identifier()
    created_at: int = instant()
    ended_at: int = instant(default=0)
    ended_by: str = identifier(default="")
    ended_session: str = identifier(default="")
    error_code: str = identifier(default="")
    summary: str = text(default="")
    result: str = text(default="")
    artifacts_json: str = json_text(default="[]")
    next_step: str = text(default="")
    submit_sequence: int = counter(default=-1)
    record_sequence: int = counter(default=-1)
    erased_at: int = instant(default=0)
    __table_args__ = (
        Index("task_in_order", "workspace_id", "status", "waiting_on", "priority", "created_at", "id"),
        Index("task_by_due", "workspace_id", "due_at"),
        Index("task_by_holder", "workspace_id", "holder_id", "status"),
        Index("task_by_submission", "workspace_id", "submit_sequence"),
        Index("task_by_record", "workspace_id", "record_sequence"),
    )


class TaskEdge(SQLModel, table=True):
    """`waiter_id` waits for `awaited_id`: it needs it (kind `need`), or is its parent (kind `child`).

    One table for both, so that one walk finds a cycle that runs through needs and parents alike.
    """

    __tablename__ = "task_edge"
    workspace_id: str = identifier(key=True)
    waiter_id: str = identifier(key=True)
    awaited_id: str = identifier(key=True)
    kind: str = identifier(key=True)
    added_at: int = instant()
    __table_args__ = (Index("task_edge_by_awaited", "workspace_id", "awaited_id", "kind", "waiter_id"),)


TASK = table_of(Task)
TASK_EDGE = table_of(TaskEdge)
