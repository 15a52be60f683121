"""Where the domain lists let a call reach: every way to write a host, and none that slips past."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardhouse.errors import LawFault
from guardhouse.gates.network import check, match, parse
from guardhouse.model.facts import DomainFinding
from tests.judging import call, facts

LISTS = b"""
allow:
  - {id: net.ok, domains: [example.com, "*.example.org", b\xc3\xbccher.example, 203.0.113.0/24, 127.0.0.1, "2001:db8::/32", Mixed.Example.Com]}
deny:
  - {id: net.no, domains: [bad.example.org, "*.bad.example.org", 127.0.0.0/8, 169.254.0.0/16, "::1/128", 203.0.113.7]}
"""
RULES = parse({"network/x.yaml": LISTS})
ALLOW, DENIED, UNLISTED, UNREADABLE = "listed_allowed", "listed_denied", "not_listed", "unreadable_destination"
TABLE = [
    ("example.com", ALLOW),
    ("EXAMPLE.Com", ALLOW),
    ("example.com.", ALLOW),
    ("https://example.com/a?b#c", ALLOW),
    ("https://example.com:8443/", ALLOW),
    ("example.com:443", ALLOW),
    ("//example.com/x", ALLOW),
    ("https://user:word@example.com/", ALLOW),
    ("mixed.example.com", ALLOW),
    ("www.example.com", UNLISTED),
    ("notexample.com", UNLISTED),
    ("example.com.evil.example", UNLISTED),
    ("https://example.com@evil.example/", UNLISTED),
    ("https://evil.example/example.com", UNLISTED),
    ("https://evil.example?example.com", UNLISTED),
    ("https://evil.example#example.com", UNLISTED),
    ("a.example.org", ALLOW),
    ("a.b.example.org", ALLOW),
    ("A.B.EXAMPLE.ORG.", ALLOW),
    ("example.org", UNLISTED),
    ("xexample.org", UNLISTED),
    ("bad.example.org", DENIED),
    ("a.bad.example.org", DENIED),
    ("notbad.example.org", ALLOW),
    ("b\u00fccher.example", ALLOW),
    ("B\u00dcCHER.example", ALLOW),
    ("xn--bcher-kva.example", ALLOW),
    ("example\u3002com", ALLOW),
    ("\uff45xample.com", ALLOW),
    ("203.0.113.9", ALLOW),
    ("203.0.113.7", DENIED),
    ("127.0.0.1", DENIED),
    ("http://127.0.0.1:8080/x", DENIED),
    ("2130706433", DENIED),
    ("0x7f000001", DENIED),
    ("0X7F.1", DENIED),
    ("0177.0.0.1", DENIED),
    ("017700000001", DENIED),
    ("127.1", DENIED),
    ("127.0.1", DENIED),
    ("127.0.0.1.", DENIED),
    ("\uff11\uff12\uff17.0.0.1", DENIED),
    ("[::1]", DENIED),
    ("http://[::1]:80/", DENIED),
    ("http://[::ffff:127.0.0.1]/", DENIED),
    ("http://[::ffff:7f00:1]/", DENIED),
    ("[2001:db8::5]", ALLOW),
    ("http://[2001:DB8:0:0::5]/", ALLOW),
    ("[2001:db9::5]", UNLISTED),
    ("169.254.169.254", DENIED),
    ("2852039166", DENIED),
    ("8.8.8.8", UNLISTED),
    ("", UNREADABLE),
    ("http://", UNREADABLE),
    ("http:///x", UNREADABLE),
    ("1.2.3.4.5", UNREADABLE),
    ("256.1.1.1", UNREADABLE),
    ("4294967296", UNREADABLE),
    ("08.1.1.1", UNREADABLE),
    ("a.1", UNREADABLE),
    ("[::1", UNREADABLE),
    ("[fe80::1%25eth0]", UNREADABLE),
    ("example.com:port", UNREADABLE),
    ("example.com:99999", UNREADABLE),
    ("exa mple.com", UNREADABLE),
    ("example..com", UNREADABLE),
    (".example.com", UNREADABLE),
    ("example.com%00.evil.example", UNREADABLE),
    ("example.com\x00", UNREADABLE),
    ("evil.example\\@example.com", UNREADABLE),
    ("ex\tample.com", UNREADABLE),
    ("example.com\n", UNREADABLE),
    ("a" * 64 + ".example.org", UNREADABLE),
    ("a." * 130 + "example.org", UNREADABLE),
]


def test_trivially_false():
    assert match(parse({}), "url", "example.com") == DomainFinding("url", "deny", UNLISTED)
    assert match(parse({}), "url", "127.0.0.1").effect == "deny"


@pytest.mark.parametrize(("host", "code"), TABLE, ids=[repr(host)[:40] for host, _ in TABLE])
def test_what_the_lists_say(host, code):
    found = match(RULES, "url", host)
    assert found.code == code
    assert found.effect == ("allow" if code == ALLOW else "deny")
    assert found.rule == {ALLOW: "net.ok", DENIED: "net.no"}.get(code, "")


@given(st.text(max_size=40))
def test_no_text_raises_and_nothing_but_the_listed_is_reached(text):
    found = match(RULES, "url", text)
    assert found.effect == "deny" or found.rule == "net.ok"


@pytest.mark.parametrize(
    "domain",
    [
        "*",
        "*.",
        "a.*.example",
        "*example.com",
        "https://example.com",
        "exa mple",
        '""',
        "300.1.1.1",
        "10.0.0.1/8",
        "a/b",
        "*.10.0.0.1",
    ],
)
def test_a_pattern_that_cannot_be_read_is_a_fault_with_its_line(domain):
    text = f"allow:\n  - id: x\n    domains:\n      - {domain!r}\n"
    with pytest.raises(LawFault) as caught:
        parse({"network/a.yaml": text.encode()})
    assert caught.value.problems[0].file == "network/a.yaml"
    assert caught.value.problems[0].line > 1


def test_a_network_that_ipv6_wraps_is_that_network():
    rules = parse({"network/a.yaml": b"allow:\n  - {id: in, domains: ['::ffff:192.0.2.0/120', '2001:db8::/32']}\n"})
    for host in ("192.0.2.7", "[::ffff:192.0.2.7]", "[2001:db8::7]"):
        assert match(rules, "url", host).rule == "in"
    assert match(rules, "url", "192.0.3.7").effect == "deny"


def test_the_gate_denies_when_any_destination_is():
    good, bad = DomainFinding("url", "allow", ALLOW, "ok"), DomainFinding("urls.1", "deny", UNLISTED)
    assert check(call(), facts(domains=(good,)), RULES, ()).code == "listed"
    step = check(call(), facts(domains=(good, bad)), RULES, ())
    assert (step.effect, step.code) == ("deny", "network_denied")
    assert "`urls.1` (not_listed)" in step.message
    step = check(call("check_network"), facts(domains=(bad,)), RULES, ())
    assert (step.effect, step.code, step.warn) == ("allow", "examined", True)
