"""Standing: what a token says, and what nobody can make it say."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import event, insert, update

from guardhouse.errors import Refusal
from guardhouse.governance import agents, control, modes, people, repositories, standing, tokens, workspaces
from guardhouse.governance.tables import AGENT, SESSION, TOKEN
from guardhouse.model.instants import DAY, HOUR, MINUTE


def chain_of(ground: Any, trusts: list[int]) -> list[tuple[str, str]]:
    """Agents that each act for the one before."""
    made: list[tuple[str, str]] = []
    for number, trust in enumerate(trusts):
        above = made[-1][0] if made else ""
        made.append(ground.add_agent(f"link-{number}", trust, delegated_by=above))
    return made


def test_nobody_stands_behind_nothing(ground: Any) -> None:
    with ground.store.reading() as connection:
        assert standing.read_principals(connection, ground.workspace_id, []) == {}
        assert standing.read_principals(connection, ground.workspace_id, ["0" * 64]) == {}
        assert standing.locate_token(connection, "0" * 64) is None
        assert standing.locate_token(connection, "") is None


def test_a_token_of_one_workspace_stands_for_nobody_in_another(ground: Any) -> None:
    with ground.writing() as tx:
        other = workspaces.found(tx, ground.ids, "other", "bob")
    hashed = standing.hash_token(other.token.text)
    with ground.store.reading() as connection:
        assert standing.read_principals(connection, ground.workspace_id, [hashed]) == {}
        located = standing.locate_token(connection, hashed)
    assert located is not None
    assert located.workspace_id == other.workspace_id
    assert located.handle == "bob"


def test_the_token_text_is_kept_nowhere(ground: Any) -> None:
    _, token = ground.add_agent("keeper")
    assert re.fullmatch(r"gdh_agent_[0-9a-z]+_[A-Za-z0-9_-]{43}", token)
    secret = token.split("_", 3)[3]
    with ground.store.reading() as connection:
        for table in (TOKEN, SESSION, AGENT):
            for row in connection.execute(table.select()):
                assert secret not in repr(row)
    assert standing.token_id_of(token).startswith("tok_")
    for wrong in ("", "gdh_agent_x", "gdh_root_1_x", "xyz_agent_1_x", "gdh_agent__x"):
        with pytest.raises(ValueError, match="not a token"):
            standing.token_id_of(wrong)
    with pytest.raises(ValueError, match="no token of kind"):
        standing.mint(ground.ids, "root")


def test_the_first_person_has_all_three_roles(ground: Any) -> None:
    operator = ground.operator()
    assert (operator.kind, operator.roles) == ("person", ("auditor", "operator", "security"))
    assert operator.token_expires_at == ground.clock() + 30 * DAY


def test_many_principals_and_their_chains_cost_one_statement(ground: Any) -> None:
    made = chain_of(ground, [4, 3, 3, 2])
    hashes = [standing.hash_token(token) for _, token in made] + [standing.hash_token(ground.founded.token.text)]
    seen: list[str] = []
    with ground.store.reading() as connection:
        event.listen(connection, "before_cursor_execute", lambda *args: seen.append(args[2]))
        found = standing.read_principals(connection, ground.workspace_id, hashes)
        assert len(seen) == 1
        standing.read_workspace(connection, ground.workspace_id)
        assert len(seen) == 2
    assert len(found) == 5


def test_effective_trust_is_the_least_along_the_chain(ground: Any) -> None:
    made = chain_of(ground, [3, 1, 4])
    last = ground.principal(made[2][1])
    assert (last.trust, last.effective_trust) == (4, 1)
    assert last.delegation == (made[1][0], made[0][0])
    with ground.writing() as tx:
        agents.set_trust(tx, ground.workspace_id, made[0][0], 0)
    assert ground.principal(made[2][1]).effective_trust == 0


@pytest.mark.parametrize("length", [1, 2, 3, 9, 12])
def test_a_cycle_of_delegation_lends_no_trust_and_ends(ground: Any, length: int) -> None:
    made = [ground.add_agent(f"ring-{number}", 4) for number in range(length)]
    with ground.writing() as tx:
        for number, (agent_id, _) in enumerate(made):
            above = made[(number + 1) % length][0]
            tx.execute(update(AGENT).where(AGENT.c.id == agent_id).values(delegated_by=above))
    for _, token in made:
        principal = ground.principal(token)
        assert principal.effective_trust == 0
        assert len(principal.delegation) <= standing.MAX_DELEGATION


def test_a_chain_longer_than_allowed_is_refused_and_lends_no_trust(ground: Any) -> None:
    made = chain_of(ground, [3] * 9)
    assert ground.principal(made[8][1]).effective_trust == 3
    with pytest.raises(Refusal) as refused:
        ground.add_agent("too-deep", 3, delegated_by=made[8][0])
    assert refused.value.code == "delegation_too_deep"
    agent_id, token = ground.add_agent("forged", 3)
    with ground.writing() as tx:
        tx.execute(update(AGENT).where(AGENT.c.id == agent_id).values(delegated_by=made[8][0]))
    assert ground.principal(token).effective_trust == 0


def test_nobody_is_lent_trust_by_the_missing_the_retired_or_the_suspended(ground: Any) -> None:
    top, middle, last = chain_of(ground, [3, 3, 3])
    operator = ground.operator()
    with ground.writing() as tx:
        control.order(tx, ground.ids, ground.workspace_id, ("agent", top[0]), control.SUSPENDED, operator, "")
    assert ground.principal(last[1]).effective_trust == 0
    assert ground.principal(top[1]).effective_trust == 3, "its own suspension is the control gate's to say"
    with ground.writing() as tx:
        control.reinstate(tx, ground.workspace_id, ("agent", top[0]))
    assert ground.principal(last[1]).effective_trust == 3
    with ground.writing() as tx:
        agents.retire(tx, ground.workspace_id, middle[0])
    assert ground.principal(last[1]).effective_trust == 0
    orphan_id, orphan = ground.add_agent("orphan", 3)
    with ground.writing() as tx:
        tx.execute(update(AGENT).where(AGENT.c.id == orphan_id).values(delegated_by="agt_nobody"))
    assert ground.principal(orphan).effective_trust == 0


def test_a_forged_token_row_stands_for_nobody(ground: Any) -> None:
    agent_id, token = ground.add_agent("victim", 4)
    mine = ground.principal(ground.add_agent("mallory", 1)[1])
    text, hashed = standing.mint(ground.ids, "agent")
    with ground.writing() as tx:
        tx.execute(
            insert(TOKEN).values(
                workspace_id=ground.workspace_id,
                id=standing.token_id_of(text),
                hash=hashed,
                kind="agent",
                principal_kind="agent",
                principal_id=agent_id,
                session_id=mine.session_id,
                issued_at=ground.clock(),
                expires_at=ground.clock() + DAY,
            )
        )
    with ground.store.reading() as connection:
        assert standing.read_principals(connection, ground.workspace_id, [hashed]) == {}
    assert ground.principal(token).id == agent_id


def test_the_workspace_is_read_with_all_that_is_not_ended(ground: Any) -> None:
    agent_id, _ = ground.add_agent("worker")
    operator = ground.operator()
    until = ground.clock() + HOUR
    subject = ("agent", agent_id)
    with ground.writing() as tx:
        control.order(tx, ground.ids, ground.workspace_id, subject, control.PAUSED, operator, "", until)
        modes.observe(
            tx, ground.ids, ground.workspace_id, "role", "agent", by_id=operator.id, until=ground.clock() + DAY
        )
        workspaces.configure(tx, ground.workspace_id, {"single_person": True, "approval_grant_seconds": 60})
        assert repositories.register(tx, ground.workspace_id, "github.com/example/app", operator.id)
        assert not repositories.register(tx, ground.workspace_id, "github.com/example/app", operator.id)
    facts, key = ground.workspace()
    assert len(key) == 32
    assert [(order.subject_id, order.state, order.until) for order in facts.controls] == [(agent_id, "paused", until)]
    assert [(mode.scope_kind, mode.scope_id) for mode in facts.observations] == [("role", "agent")]
    assert (facts.single_person, facts.approval_grant_seconds) == (True, 60)
    ground.clock.advance(2 * 3600)
    assert ground.workspace()[0].controls == facts.controls, "instants are kept, not judged"
    with ground.writing() as tx:
        modes.end(tx, ground.workspace_id, "role", "agent")
    assert ground.workspace()[0].observations == ()
    with ground.store.reading() as connection:
        assert standing.read_repositories(connection, ground.workspace_id) == {"github.com/example/app"}
        with pytest.raises(Refusal):
            standing.read_workspace(connection, "wsp_none")


def test_a_rotated_token_works_for_ten_minutes_more_and_rotates_once(ground: Any) -> None:
    _, old = ground.add_agent("worker")
    before = ground.principal(old)
    ground.clock.advance(60)
    with ground.writing() as tx:
        issued, ends = tokens.rotate(tx, ground.ids, ground.workspace_id, before.token_id)
    assert ends == ground.clock() + 10 * MINUTE
    after, new = ground.principal(old), ground.principal(issued.text)
    assert after.token_revoked_at == ends
    assert (new.id, new.session_id, new.token_revoked_at) == (before.id, before.session_id, 0)
    assert new.token_expires_at == ground.clock() + 90 * DAY
    with pytest.raises(Refusal, match="already rotated"), ground.writing() as tx:
        tokens.rotate(tx, ground.ids, ground.workspace_id, before.token_id)
    with ground.writing() as tx:
        tokens.revoke(tx, ground.workspace_id, before.token_id)
    assert ground.principal(old).token_revoked_at == ground.clock(), "a revocation does not wait for the grace"
    assert ground.principal(issued.text).token_revoked_at == ground.clock(), "what it was rotated into ends with it"


def test_revoking_any_token_of_a_chain_ends_the_whole_chain_and_no_other(ground: Any) -> None:
    _, first = ground.add_agent("worker")
    _, other = ground.add_agent("other")
    chain = [first]
    for _ in range(3):
        with ground.writing() as tx:
            issued, _ends = tokens.rotate(tx, ground.ids, ground.workspace_id, ground.principal(chain[-1]).token_id)
        chain.append(issued.text)
    with ground.writing() as tx:
        tokens.revoke(tx, ground.workspace_id, ground.principal(chain[1]).token_id)
    assert {ground.principal(text).token_revoked_at for text in chain} == {ground.clock()}
    assert ground.principal(other).token_revoked_at == 0


def test_rotating_near_the_end_never_lengthens_the_old_token(ground: Any) -> None:
    _, old = ground.add_agent("worker")
    before = ground.principal(old)
    ground.clock.at = before.token_expires_at - MINUTE
    with ground.writing() as tx:
        _, ends = tokens.rotate(tx, ground.ids, ground.workspace_id, before.token_id)
    assert ends == before.token_expires_at
    _, gone = ground.add_agent("late")
    late = ground.principal(gone)
    ground.clock.at = late.token_expires_at
    with pytest.raises(Refusal) as refused, ground.writing() as tx:
        tokens.rotate(tx, ground.ids, ground.workspace_id, late.token_id)
    assert refused.value.code == "token_not_live"


def test_a_session_lives_twelve_hours_by_renewal_and_never_after_a_rotation(ground: Any) -> None:
    agent_id, long = ground.add_agent("worker")
    with ground.writing() as tx:
        short = tokens.issue(tx, ground.ids, ground.workspace_id, "agent", agent_id, kind="session")
    assert short.expires_at == ground.clock() + 12 * HOUR
    ground.clock.advance(3600)
    with ground.writing() as tx:
        assert tokens.renew(tx, ground.workspace_id, short.token_id) == (ground.clock() + 12 * HOUR, True)
        assert tokens.renew(tx, ground.workspace_id, ground.principal(long).token_id)[1] is False
    renewed = ground.principal(short.text)
    assert renewed.token_expires_at == renewed.session_expires_at == ground.clock() + 12 * HOUR
    with ground.writing() as tx:
        tokens.rotate(tx, ground.ids, ground.workspace_id, short.token_id)
        assert tokens.renew(tx, ground.workspace_id, short.token_id)[1] is False


def test_disabling_and_retiring_end_every_token(ground: Any) -> None:
    agent_id, token = ground.add_agent("worker")
    person_id, theirs = ground.add_person("bob", "auditor")
    with ground.writing() as tx:
        assert agents.retire(tx, ground.workspace_id, agent_id) == 1
        assert people.disable(tx, ground.workspace_id, person_id) == 1
    for text in (token, theirs):
        principal = ground.principal(text)
        assert principal.disabled
        assert principal.token_revoked_at == principal.session_revoked_at == ground.clock()
    with pytest.raises(Refusal):
        ground.add_agent("worker")
    with pytest.raises(Refusal):
        ground.add_person("bob", "operator")


def test_the_last_operator_stays(ground: Any) -> None:
    person_id, _ = ground.add_person("bob", "security", "auditor")
    with pytest.raises(Refusal) as refused, ground.writing() as tx:
        people.disable(tx, ground.workspace_id, ground.founded.person_id)
    assert refused.value.code == "last_operator"
    with ground.writing() as tx:
        people.disable(tx, ground.workspace_id, person_id)
    second, _ = ground.add_person("carol", "operator")
    with ground.writing() as tx:
        people.disable(tx, ground.workspace_id, ground.founded.person_id)
    with pytest.raises(Refusal) as refused, ground.writing() as tx:
        people.disable(tx, ground.workspace_id, second)
    assert refused.value.code == "last_operator"


def test_an_agent_needs_a_real_owner_and_a_real_delegator(ground: Any) -> None:
    for options in ({"owner": "per_none"}, {"delegated_by": "agt_none"}):
        with pytest.raises(Refusal) as refused:
            ground.add_agent("worker", 2, **options)
        assert refused.value.code == "not_found"


def test_a_workspace_slug_is_given_once(ground: Any) -> None:
    with pytest.raises(Refusal) as refused, ground.writing() as tx:
        workspaces.create(tx, ground.ids, "acme")
    assert refused.value.code == "slug_taken"
    with ground.writing() as tx:
        assert workspaces.by_slug(tx, "acme") == ground.workspace_id
        assert workspaces.by_slug(tx, "none") is None


def test_tenants_do_not_see_each_other(ground: Any) -> None:
    with ground.writing() as tx:
        workspaces.found(tx, ground.ids, "stranger", "eve")
        workspaces.found(tx, ground.ids, "daughter", "bob", created_by=ground.founded.person_id)
        listed = workspaces.listed(tx, ground.workspace_id, 10, "")
    assert [row["slug"] for row in listed] == ["acme", "daughter"]
    assert all("key" not in row for row in listed)
