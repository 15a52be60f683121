"""May this call name that place on the network?

Deny wins over allow, and what no list names is denied. `*.example.com` matches every name below
`example.com` on label boundaries and not the apex itself; a plain name matches only itself. Names are
compared in their A-label form (IDNA, UTS 46), lower case, without port or trailing dot. Addresses in
any spelling that a resolver takes (decimal, octal, hexadecimal, IPv4-mapped) are compared as the
address they mean, and only an address or network in a list matches them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import idna

from guardhouse.gates.source import Source, raise_all, under
from guardhouse.model.call import Call
from guardhouse.model.decision import Step, allow, deny
from guardhouse.model.facts import DomainFinding, Facts

NAME = "network"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]*|[0-9]+)\Z")


@dataclass(frozen=True, slots=True)
class Lists:
    """One side (allow or deny): rule ids by exact name, by the suffix a wildcard covers, and by network."""

    exact: Mapping[str, str] = field(default_factory=dict)
    below: Mapping[str, str] = field(default_factory=dict)
    networks: tuple[tuple[Network, str], ...] = ()
    everything: str = ""

    def find(self, name: str, address: Address | None) -> str:
        """The id of the rule that names this place, or ""."""
        if address is not None:
            named = (
                rule for network, rule in self.networks if address.version == network.version and address in network
            )
            return next(named, self.everything)
        if name in self.exact:
            return self.exact[name]
        rest = name
        while "." in rest:
            rest = rest.split(".", 1)[1]
            if rest in self.below:
                return self.below[rest]
        return self.everything


@dataclass(frozen=True, slots=True)
class Rules:
    """The domain lists of all `network/*.yaml` files together."""

    allow: Lists
    deny: Lists


def parse(files: Mapping[str, bytes]) -> Rules:
    """Read `network/*.yaml`; LawFault with every problem in them."""
    sources = []
    sides: dict[str, tuple[dict[str, str], dict[str, str], list[tuple[Network, str]], list[str]]] = {
        "allow": ({}, {}, [], []),
        "deny": ({}, {}, [], []),
    }
    for path, data in under(files, "network/"):
        source = Source(path, data)
        sources.append(source)
        top = source.mapping(source.value, {"id", "description", "allow", "deny"}, {"id"}, path)
        name = source.items(top, "id", str, "")
        for side, (exact, below, networks, everything) in sides.items():
            for pattern in source.words(top, side):
                rule = f"network.{name}.{side}:{pattern}"
                problem = _add(pattern, rule, exact, below, networks, everything)
                if problem:
                    source.fault(
                        top,
                        side,
                        f"`{pattern}` {problem}",
                        "write `name.example.com`, `*.example.com`, an address or a network",
                    )
    raise_all(sources)
    made = {
        side: Lists(exact, below, tuple(networks), everything[0] if everything else "")
        for side, (exact, below, networks, everything) in sides.items()
    }
    return Rules(made["allow"], made["deny"])


def _add(
    pattern: str,
    rule: str,
    exact: dict[str, str],
    below: dict[str, str],
    networks: list[tuple[Network, str]],
    everything: list[str],
) -> str:
    """File one pattern; what is wrong with it, or ""."""
    if pattern == "*":
        everything.append(rule)
        return ""
    if "/" in pattern or ":" in pattern or _NUMBER.match(pattern.rsplit(".", 1)[-1]):
        try:
            networks.append((ipaddress.ip_network(pattern.strip("[]"), strict=False), rule))
        except ValueError:
            return "is neither a name nor an address"
        return ""
    wildcard = pattern.startswith("*.")
    name = canonical_name(pattern.removeprefix("*."))
    if name is None or "*" in name:
        return "is not a domain name"
    (below if wildcard else exact).setdefault(name, rule)
    return ""


def canonical_name(text: str) -> str | None:
    """A host name in its A-label form, lower case, without a trailing dot; None when it is none."""
    name = text.strip().rstrip(".")
    if not name or len(name) > 1000:
        return None
    try:
        name = name.lower() if name.isascii() else idna.encode(name, uts46=True, transitional=False).decode()
    except (idna.IDNAError, UnicodeError):
        return None
    name = name.lower()
    if len(name) > 253 or not all(_LABEL.match(label) for label in name.split(".")):
        return None
    return name


def _number(part: str) -> int | None:
    if not _NUMBER.match(part):
        return None
    try:
        if part.lower().startswith("0x"):
            return int(part[2:] or "0", 16)
        return int(part, 8) if len(part) > 1 and part.startswith("0") else int(part)
    except ValueError:
        return None


def canonical_address(host: str) -> Address | None:
    """The address that a host text means, in any spelling resolvers take (WHATWG URL, host parsing); else None."""
    text = host.strip().rstrip(".")
    if ":" in text:
        try:
            six = ipaddress.IPv6Address(text.split("%", 1)[0])
        except ValueError:
            return None
        return six.ipv4_mapped or six
    parts = text.split(".")
    if len(parts) > 4:
        return None
    numbers = [_number(part) for part in parts]
    if any(number is None for number in numbers):
        return None
    *leading, last = [number for number in numbers if number is not None]
    if any(number > 255 for number in leading) or last >= 256 ** (5 - len(parts)):
        return None
    value = last
    for position, number in enumerate(leading):
        value += number << (8 * (3 - position))
    return ipaddress.IPv4Address(value)


def host_of(text: str) -> str | None:
    """The host that a URL or a bare `host[:port]` leads to; None when that cannot be told."""
    if any(ord(character) < 33 or character in "\\\x7f" for character in text.strip()):
        return None
    cleaned = text.strip()
    try:
        parts = urlsplit(cleaned if "://" in cleaned else f"//{cleaned}")
        host = parts.hostname
    except ValueError:
        return None
    if not host:
        return None
    return unquote(host) if "%" in host and ":" not in host else host


def match(rules: Rules, name: str, text: str) -> DomainFinding:
    """What the lists say of one destination; `name` is the input field it stands in."""
    host = host_of(text)
    if host is None:
        return DomainFinding(name, "deny", "not_a_destination")
    address = canonical_address(host)
    canonical = "" if address is not None else canonical_name(host)
    if canonical is None:
        return DomainFinding(name, "deny", "not_a_destination")
    if address is None and _number(canonical.rsplit(".", 1)[-1]) is not None:
        return DomainFinding(name, "deny", "not_a_destination")
    denied = rules.deny.find(canonical, address)
    if denied:
        return DomainFinding(name, "deny", "denied_by_list", denied)
    allowed = rules.allow.find(canonical, address)
    if allowed:
        return DomainFinding(name, "allow", "allowed_by_list", allowed)
    return DomainFinding(name, "deny", "not_in_any_list")


EXAMINING = frozenset({"check_network"})
"""Operations whose destinations are asked about, not gone to: they never deny their own call."""


def check(call: Call, facts: Facts, rules: Rules, so_far: tuple[Step, ...]) -> Step:
    """Every destination that the call names must be allowed."""
    del rules, so_far
    named = tuple(sorted({finding.rule for finding in facts.domains if finding.rule}))
    if call.operation in EXAMINING:
        return allow(NAME, "examined", rules=named)
    if not facts.domains:
        return allow(NAME, "no_destination")
    refused = [finding for finding in facts.domains if finding.effect != "allow"]
    if refused:
        fields = ", ".join(sorted({finding.field for finding in refused}))
        rule_ids = tuple(sorted({finding.rule for finding in refused if finding.rule}))
        return deny(
            NAME, "network_denied", f"the destination in `{fields}` is not allowed by the domain lists", rule_ids
        )
    return allow(NAME, "allowed_destination", rules=named)
