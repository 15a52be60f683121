"""Operations on people: add, list, disable."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from guardhouse.catalog import Answer, Ask, Context, operation
from guardhouse.governance import people, tokens
from guardhouse.model.call import Category
from guardhouse.operations.fields import (
    Cursor,
    Limit,
    PersonId,
    PersonName,
    Reason,
    instant,
    page,
    workspace_resource,
)

Role = Literal["operator", "security", "auditor"]


class AddPersonAsk(Ask):
    name: PersonName
    roles: Annotated[
        tuple[Role, ...], Field(min_length=1, max_length=3, description="what the person may act as; one or more")
    ]


class AddPersonAnswer(Answer):
    person_id: str
    name: str
    roles: tuple[str, ...]
    session_id: str
    token_id: str
    token: str = Field(description="the bearer token; shown this once and kept nowhere")
    token_expires_at: str


@operation(
    "add_person",
    Category.ADMIN,
    ask=AddPersonAsk,
    answer=AddPersonAnswer,
    resource=workspace_resource,
    writes=True,
    people_only=True,
    secret_outputs=("token",),
)
def add_person(ctx: Context, ask: AddPersonAsk) -> AddPersonAnswer:
    """Add a person with one or more roles and issue their first token.

    `auditor` reads everything and changes nothing; `operator` runs agents, people, tokens and locks;
    `security` decides the law, trust and erasures. The token is shown in this answer and nowhere else;
    it lasts 30 days. Refusal: `name_taken`.
    """
    row = people.add(ctx.tx, ctx.ids, ctx.workspace_id, ask.name, ask.roles)
    issued = tokens.issue(ctx.tx, ctx.ids, ctx.workspace_id, "person", row["id"])
    ctx.objects += [f"person:{row['id']}", f"token:{issued.token_id}"]
    return AddPersonAnswer(
        person_id=row["id"],
        name=row["name"],
        roles=tuple(sorted(set(ask.roles))),
        session_id=issued.session_id,
        token_id=issued.token_id,
        token=issued.text,
        token_expires_at=instant(issued.expires_at),
    )


class ListPeopleAsk(Ask):
    limit: Limit = 100
    after: Cursor = ""


class PersonItem(Answer):
    person_id: str
    name: str
    roles: tuple[str, ...]
    created_at: str
    disabled_at: str


class ListPeopleAnswer(Answer):
    people: tuple[PersonItem, ...]
    more: bool
    next: str


@operation(
    "list_people",
    Category.READ,
    ask=ListPeopleAsk,
    answer=ListPeopleAnswer,
    resource=workspace_resource,
    people_only=True,
)
def list_people(ctx: Context, ask: ListPeopleAsk) -> ListPeopleAnswer:
    """List the people of this workspace in order of their names, also those disabled."""
    rows, more, following = page(people.listed(ctx.tx, ctx.workspace_id, ask.limit + 1, ask.after), ask.limit, "name")
    items = tuple(
        PersonItem(
            person_id=row["id"],
            name=row["name"],
            roles=row["roles"],
            created_at=instant(row["created_at"]),
            disabled_at=instant(row["disabled_at"]),
        )
        for row in rows
    )
    return ListPeopleAnswer(people=items, more=more, next=following)


class DisablePersonAsk(Ask):
    person_id: PersonId
    reason: Reason = ""


class DisablePersonAnswer(Answer):
    person_id: str
    tokens_revoked: int


@operation(
    "disable_person",
    Category.ADMIN,
    ask=DisablePersonAsk,
    answer=DisablePersonAnswer,
    resource=workspace_resource,
    writes=True,
    people_only=True,
)
def disable_person(ctx: Context, ask: DisablePersonAsk) -> DisablePersonAnswer:
    """End a person's access: every token and session of theirs is revoked at once.

    The last operator of a workspace cannot be disabled. Refusals: `last_operator`, `already_disabled`,
    `not_found`.
    """
    revoked = people.disable(ctx.tx, ctx.workspace_id, ask.person_id)
    ctx.objects.append(f"person:{ask.person_id}")
    return DisablePersonAnswer(person_id=ask.person_id, tokens_revoked=revoked)


OPERATIONS = (add_person, list_people, disable_person)
