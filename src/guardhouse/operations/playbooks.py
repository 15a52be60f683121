"""Operations on playbooks: the rules for everybody and the caller's own guide, for every work cycle; and which roles there are.

The active bundle holds one playbook a role, with invariants and a guide. An invariant binds everybody,
whichever playbook states it; a guide is for its role. The role is the one the agent was registered
with, never one that the call names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from guardhouse.catalog import Answer, Ask, Context, operation
from guardhouse.model.call import Category, Resource
from guardhouse.model.canonical import digest, encode

_EVERYBODY = "default"
"""The playbook whose guide serves a role without one of its own."""


class GetPlaybookAsk(Ask):
    if_none_match: Annotated[
        str, Field(max_length=200, description="the `etag` you have; the text is left out while it is the same")
    ] = ""


class GetPlaybookAnswer(Answer):
    role: str
    etag: str
    not_modified: bool
    version: str = Field(description="the digest of the active bundle, as `check_policy` and `get_my_profile` name it")
    title: str = ""
    invariants: tuple[str, ...] = Field((), description="rules for every agent, whatever its role")
    guide: str = Field("", description="what your role is asked to do, and how")


def _invariants(playbooks: Mapping[str, Any]) -> tuple[str, ...]:
    """Every playbook's invariants, in order of the roles, each once."""
    stated = (invariant for role in sorted(playbooks) for invariant in playbooks[role].get("invariants") or ())
    return tuple(dict.fromkeys(str(invariant) for invariant in stated))


def _guide(playbooks: Mapping[str, Any], role: str) -> tuple[str, str]:
    """The title and text of a role's guide; the default one where the role has none."""
    playbook = playbooks.get(role) or playbooks.get(_EVERYBODY) or {}
    return str(playbook.get("title") or ""), str(playbook.get("guide") or "")


@operation(
    "get_playbook",
    Category.READ,
    ask=GetPlaybookAsk,
    answer=GetPlaybookAnswer,
    resource=lambda _ask, _home: Resource("Document", "playbook/own"),
    aliases=("policy_show", "show_playbook"),
)
def get_playbook(ctx: Context, ask: GetPlaybookAsk) -> GetPlaybookAnswer:
    """Read the rules for everybody and the guide of your own role, from the active version.

    Ask at the start of every work cycle with the `etag` you have: while nothing changed the answer is
    only `not_modified: true`. The role is the one you were registered with.
    """
    role = ctx.caller.role
    invariants = _invariants(ctx.bundle.playbooks)
    title, guide = _guide(ctx.bundle.playbooks, role)
    etag = digest(encode([role, title, guide, list(invariants)]))
    if ask.if_none_match == etag:
        return GetPlaybookAnswer(role=role, etag=etag, not_modified=True, version=ctx.bundle.digest)
    return GetPlaybookAnswer(
        role=role,
        etag=etag,
        not_modified=False,
        version=ctx.bundle.digest,
        title=title,
        invariants=invariants,
        guide=guide,
    )


class ListRolesAsk(Ask):
    pass


class RoleItem(Answer):
    role: str
    title: str
    yours: bool


class ListRolesAnswer(Answer):
    roles: tuple[RoleItem, ...]
    version: str


@operation(
    "list_roles",
    Category.READ,
    ask=ListRolesAsk,
    answer=ListRolesAnswer,
    resource=lambda _ask, _home: Resource("Document", "playbook/roles"),
    aliases=("policy_roles",),
)
def list_roles(ctx: Context, _ask: ListRolesAsk) -> ListRolesAnswer:
    """List the roles that the active version has a guide for, in order of their names."""
    return ListRolesAnswer(
        roles=tuple(
            RoleItem(role=role, title=_guide(ctx.bundle.playbooks, role)[0], yours=role == ctx.caller.role)
            for role in sorted(ctx.bundle.playbooks)
        ),
        version=ctx.bundle.digest,
    )


OPERATIONS = (get_playbook, list_roles)
