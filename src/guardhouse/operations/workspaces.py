"""Operations on workspaces: create, settle, list; and the repositories that people vouch for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from guardhouse.bundle import versions
from guardhouse.catalog import Answer, Ask, Context, operation
from guardhouse.errors import Refusal
from guardhouse.governance import repositories, workspaces
from guardhouse.model.call import Category
from guardhouse.model.canonical import keyed_digest
from guardhouse.operations.fields import (
    Cursor,
    Limit,
    PersonName,
    Reason,
    Repository,
    Slug,
    instant,
    page,
    workspace_resource,
)


class CreateWorkspaceAsk(Ask):
    slug: Slug
    person_name: Annotated[PersonName, Field(description="the first person there, who gets all three roles")]


class CreateWorkspaceAnswer(Answer):
    workspace_id: str
    slug: str
    person_id: str
    person_name: str
    token_id: str
    token: str = Field(description="the first person's bearer token; shown this once and kept nowhere")
    token_expires_at: str
    bundle: str


@operation(
    "create_workspace",
    Category.ADMIN,
    ask=CreateWorkspaceAsk,
    answer=CreateWorkspaceAnswer,
    resource=workspace_resource,
    writes=True,
    people_only=True,
    secret_outputs=("token",),
)
def create_workspace(ctx: Context, ask: CreateWorkspaceAsk) -> CreateWorkspaceAnswer:
    """Create a workspace: its own ledger, people, agents and law, apart from every other.

    It starts under the bundle that is active here, with one person who has all three roles and whose
    token is shown in this answer and nowhere else. Refusal: `slug_taken`.
    """
    made = workspaces.found(ctx.tx, ctx.ids, ask.slug, ask.person_name, created_by=ctx.caller.id)
    digest = versions.store(ctx.tx, made.workspace_id, ctx.bundle)
    versions.activate(ctx.tx, made.workspace_id, digest, ctx.bundle.law, by_id=made.person_id, decision_id=ctx.call.id)
    ctx.objects.append(f"workspace:{made.workspace_id}")
    return CreateWorkspaceAnswer(
        workspace_id=made.workspace_id,
        slug=made.slug,
        person_id=made.person_id,
        person_name=made.person_name,
        token_id=made.token.token_id,
        token=made.token.text,
        token_expires_at=instant(made.token.expires_at),
        bundle=ctx.bundle.digest,
    )


class SetWorkspaceAsk(Ask):
    single_person: bool | None = Field(
        None, description="whether a person may decide their own question; each time is recorded"
    )
    approval_pending_seconds: Annotated[int, Field(ge=60, le=2_592_000)] | None = Field(
        None, description="how long a question waits for an answer"
    )
    approval_grant_seconds: Annotated[int, Field(ge=10, le=86_400)] | None = Field(
        None, description="how long a grant can be used"
    )
    reason: Reason = ""


class WorkspaceAnswer(Answer):
    workspace_id: str
    slug: str
    single_person: bool
    approval_pending_seconds: int
    approval_grant_seconds: int
    created_at: str


@operation(
    "set_workspace",
    Category.ADMIN,
    ask=SetWorkspaceAsk,
    answer=WorkspaceAnswer,
    resource=workspace_resource,
    writes=True,
    people_only=True,
)
def set_workspace(ctx: Context, ask: SetWorkspaceAsk) -> WorkspaceAnswer:
    """Change the settings of this workspace; what is left out stays as it is, and the answer shows all.

    Refusal: `wrong_role`, where somebody without the security role would let people decide their own questions.
    """
    if ask.single_person and "security" not in ctx.caller.roles:
        raise Refusal("wrong_role", "`single_person` lets people approve their own calls: it needs the security role")
    changes = ask.model_dump(exclude_none=True, exclude={"reason"})
    row = workspaces.configure(ctx.tx, ctx.workspace_id, changes)
    ctx.objects.append(f"workspace:{ctx.workspace_id}")
    return _shown(row)


class ListWorkspacesAsk(Ask):
    limit: Limit = 100
    after: Cursor = ""


class ListWorkspacesAnswer(Answer):
    workspaces: tuple[WorkspaceAnswer, ...]
    more: bool
    next: str


@operation(
    "list_workspaces",
    Category.READ,
    ask=ListWorkspacesAsk,
    answer=ListWorkspacesAnswer,
    resource=workspace_resource,
    people_only=True,
)
def list_workspaces(ctx: Context, ask: ListWorkspacesAsk) -> ListWorkspacesAnswer:
    """List this workspace and those that its people created, in order of their slugs."""
    rows, more, following = page(
        workspaces.listed(ctx.tx, ctx.workspace_id, ask.limit + 1, ask.after), ask.limit, "slug"
    )
    return ListWorkspacesAnswer(workspaces=tuple(_shown(row) for row in rows), more=more, next=following)


def _shown(row: workspaces.Row) -> WorkspaceAnswer:
    return WorkspaceAnswer(
        workspace_id=row["id"],
        slug=row["slug"],
        single_person=row["single_person"],
        approval_pending_seconds=row["approval_pending_seconds"],
        approval_grant_seconds=row["approval_grant_seconds"],
        created_at=instant(row["created_at"]),
    )


class RegisterRepositoryAsk(Ask):
    name: Annotated[
        Repository,
        Field(min_length=1, description="the name as sessions give it, such as `github.com/example/app`"),
    ]


class RegisterRepositoryAnswer(Answer):
    name: str
    created: bool = Field(description="false when somebody had vouched for it before")


@operation(
    "register_repository",
    Category.ADMIN,
    ask=RegisterRepositoryAsk,
    answer=RegisterRepositoryAnswer,
    resource=workspace_resource,
    writes=True,
    people_only=True,
)
def register_repository(ctx: Context, ask: RegisterRepositoryAsk) -> RegisterRepositoryAnswer:
    """Vouch for a repository's name, so that policies may permit something because of it.

    A name that nobody vouched for is only a label: it keeps keys apart and shows in reports.
    """
    created = repositories.register(ctx.tx, ctx.workspace_id, ask.name, ctx.caller.id)
    ctx.objects.append(f"repository:{keyed_digest(ctx.key, 'repository', ask.name.encode())}")
    return RegisterRepositoryAnswer(name=ask.name, created=created)


OPERATIONS = (create_workspace, set_workspace, list_workspaces, register_repository)
