"""Fields that several operations' inputs share, each with its grammar and its words for the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from guardhouse.catalog import Home
from guardhouse.model.call import Resource
from guardhouse.model.facts import Principal
from guardhouse.model.instants import Micros, rfc3339
from guardhouse.model.repositories import DEFAULT_REPOSITORY

AgentId = Annotated[str, Field(pattern=r"^agt_[0-9a-z]{1,60}$", description="an agent's id, as `list_agents` shows it")]
PersonId = Annotated[
    str, Field(pattern=r"^per_[0-9a-z]{1,60}$", description="a person's id, as `list_people` shows it")
]
TokenId = Annotated[str, Field(pattern=r"^tok_[0-9a-z]{1,60}$", description="a token's id, as `list_tokens` shows it")]
ApprovalId = Annotated[
    str, Field(pattern=r"^apr_[0-9a-z]{1,60}$", description="the `approval_id` that a held call was answered with")
]
DecisionId = Annotated[str, Field(pattern=r"^dec_[0-9a-z]{1,60}$", description="a decision's id")]
Slug = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        description="1 to 63 lower-case letters, digits and hyphens, with none at an end",
    ),
]
PersonName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$",
        description="the name the person is known by, such as their login name",
    ),
]
Reason = Annotated[str, Field(max_length=2000, description="why, for the people who read it later")]
RequiredReason = Annotated[
    str, Field(min_length=1, max_length=2000, description="why, for the people who read it later")
]
Label = Annotated[str, Field(max_length=200, description="a note that helps people tell this one from others")]
Limit = Annotated[int, Field(ge=1, le=500, description="the most to answer with")]
Cursor = Annotated[str, Field(max_length=200, description="`next` of the page before; empty for the first page")]
_REPOSITORY: Any = {"max_length": 200, "pattern": r"^([^\s/\x00-\x1f\x7f][^\x00-\x1f\x7f]*)?$"}
Repository = Annotated[
    str, Field(**_REPOSITORY, description="the repository that bare paths lie in; empty for `default`")
]
HomeRepository = Annotated[str, Field(**_REPOSITORY, description="its repository; empty for the session's own")]
RepositoryFilter = Annotated[
    str,
    Field(
        **_REPOSITORY,
        description="only of this repository (`default`: of sessions that name none); empty: of all",
    ),
]

AGENT_PREFIX = "agt_"


def principal_resource(principal_id: str, home: Home) -> Resource:
    """What a call about a principal touches: the agent, or for a person the workspace."""
    if principal_id.startswith(AGENT_PREFIX):
        return Resource("Agent", principal_id)
    return Resource("Workspace", home.workspace_id)


def home_repository(given: str, caller: Principal) -> str:
    """The repository that something is kept under: the one that was named, else the session's, else `default`."""
    return given or caller.repository or DEFAULT_REPOSITORY


def workspace_resource(_ask: Any, home: Home) -> Resource:
    """The workspace as a whole."""
    return Resource("Workspace", home.workspace_id)


def instant(at: Micros) -> str:
    """An instant for an answer: RFC 3339, or empty for none."""
    return rfc3339(at) if at else ""


def page(rows: Sequence[dict[str, Any]], limit: int, cursor: str) -> tuple[Sequence[dict[str, Any]], bool, str]:
    """Cut `limit + 1` rows to a page: (the page, whether there is more, the cursor of the next page)."""
    kept = rows[:limit]
    more = len(rows) > limit
    return kept, more, str(kept[-1][cursor]) if more else ""
