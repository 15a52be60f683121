"""Do the domain lists let the call reach where it wants to go?"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

import idna

from guardhouse.gates.reading import Problems
from guardhouse.model.call import Call
from guardhouse.model.decision import Step, allow, deny
from guardhouse.model.facts import DomainFinding, Facts

NAME = "network"
_NUMBER = re.compile(r"(?:0[xX][0-9a-fA-F]*|[0-9]+)\Z")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Listed:
    """One list compiled: exact names, `*.` suffixes and networks, each with its rule's id."""

    exact: Mapping[str, str]
    suffix: Mapping[str, str]
    networks: tuple[tuple[Network, str], ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """Deny wins; what neither list names is denied."""

    allowed: Listed
    denied: Listed


def parse(files: Mapping[str, bytes]) -> Rules:
    """Both lists from every `network/*.yaml`; LawFault naming each bad pattern."""
    problems = Problems()
    parts: dict[str, tuple[dict[str, str], dict[str, str], list[tuple[Network, str]]]] = {
        "allow": ({}, {}, []),
        "deny": ({}, {}, []),
    }
    seen: set[str] = set()
    for file in sorted(files):
        if not (file.startswith("network/") and file.endswith(".yaml")):
            continue
        read = problems.read(file, files[file])
        if read is None:
            continue
        value, lines = read
        top = problems.keys(value, lines, (), ("allow", "deny"))
        for effect, entries in top.items():
            if not isinstance(entries, list):
                problems.add(lines, (effect,), "a list of rules is needed here", "begin each with `- id:`")
                continue
            for index, entry in enumerate(entries):
                path = (effect, index)
                rule = problems.keys(entry, lines, path, ("id", "domains", "why"))
                name = problems.name(rule.get("id"), lines, path, seen)
                if name is None:
                    continue
                for pattern in problems.words(rule.get("domains"), lines, (*path, "domains")):
                    if not _add(parts[effect], pattern, name):
                        problems.add(
                            lines,
                            (*path, "domains"),
                            f"`{pattern}` is not a domain, address or network",
                            "use `example.com`, `*.example.com`, `192.0.2.0/24`",
                        )
    problems.stop()
    made = {
        effect: Listed(MappingProxyType(exact), MappingProxyType(suffix), tuple(networks))
        for effect, (exact, suffix, networks) in parts.items()
    }
    return Rules(made["allow"], made["deny"])


def _add(part: tuple[dict[str, str], dict[str, str], list[tuple[Network, str]]], pattern: str, rule: str) -> bool:
    exact, suffix, networks = part
    try:
        networks.append((_plain_network(ipaddress.ip_network(pattern)), rule))
    except ValueError:
        wild = pattern.startswith("*.")
        name = host_of(pattern[2:] if wild else pattern)
        if not isinstance(name, str) or any(mark in pattern for mark in "/@:"):
            return False
        (suffix if wild else exact).setdefault(name, rule)
    return True


def host_of(text: str) -> str | Address | None:
    """The canonical host of a host, host:port or URL: an A-label name without trailing dot, or an address; None for neither.

    Nothing is trimmed: programs differ in what they do with white space around a URL, so one that has it is neither.
    """
    if not text or any(character.isspace() or ord(character) < 33 or character in '\\<>"' for character in text):
        return None
    try:
        if text.count(":") > 1 and "//" not in text and not text.startswith("["):
            return _plain(ipaddress.ip_address(text))
        parts = urlsplit(text if "://" in text else f"//{text.removeprefix('//')}")
        parts.port  # noqa: B018  # a port that is no number raises ValueError here
        host = parts.hostname
        if not host or "%" in host:
            return None
        if ":" in host:
            return _plain(ipaddress.ip_address(host))
        return _name(host)
    except (ValueError, UnicodeError):
        return None


def _name(host: str) -> str | Address | None:
    if not host.isascii():
        host = idna.encode(host, uts46=True).decode()
    host = host.lower().removesuffix(".")
    pieces = host.split(".")
    # WHATWG URL, "ends in a number": such a host is an IPv4 address or nothing.
    if _NUMBER.match(pieces[-1]):
        return _ipv4(pieces)
    if len(host) > 253 or not all(_LABEL.match(piece) for piece in pieces):
        return None
    return host


def _ipv4(pieces: list[str]) -> Address | None:
    """WHATWG URL 3.5: one to four parts, each decimal, octal (`0…`) or hexadecimal (`0x…`); the last fills the rest."""
    if len(pieces) > 4 or not all(_NUMBER.match(piece) for piece in pieces):
        return None
    numbers = [_integer(piece) for piece in pieces]
    *heads, last = numbers
    if any(number > 255 for number in heads) or last >= 256 ** (4 - len(heads)):
        return None
    value = last
    for index, number in enumerate(heads):
        value += number << (8 * (3 - index))
    return ipaddress.IPv4Address(value)


def _integer(piece: str) -> int:
    if piece[:2].lower() == "0x":
        return int(piece[2:] or "0", 16)
    return int(piece, 8) if len(piece) > 1 and piece[0] == "0" else int(piece)


def _plain(address: Address) -> Address:
    """An IPv4 address that IPv6 wraps is that address."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _plain_network(network: Network) -> Network:
    """An IPv4 network that IPv6 wraps is that network, as with addresses."""
    start = network.network_address
    if isinstance(start, ipaddress.IPv6Address) and start.ipv4_mapped and network.prefixlen >= 96:
        return ipaddress.ip_network((start.ipv4_mapped, network.prefixlen - 96))
    return network


def match(rules: Rules, field: str, host_or_url: str) -> DomainFinding:
    """What the lists say of one destination. Never raises; what cannot be read is denied."""
    host = host_of(host_or_url)
    if host is None:
        return DomainFinding(field, "deny", "unreadable_destination")
    if rule := _find(rules.denied, host):
        return DomainFinding(field, "deny", "listed_denied", rule)
    if rule := _find(rules.allowed, host):
        return DomainFinding(field, "allow", "listed_allowed", rule)
    return DomainFinding(field, "deny", "not_listed")


def _find(listed: Listed, host: str | Address) -> str:
    if not isinstance(host, str):
        return next(
            (rule for network, rule in listed.networks if host.version == network.version and host in network), ""
        )
    if host in listed.exact:
        return listed.exact[host]
    rest = host
    while "." in rest:
        rest = rest.partition(".")[2]
        if rest in listed.suffix:
            return listed.suffix[rest]
    return ""


def check(call: Call, facts: Facts, rules: Rules, so_far: tuple[Step, ...]) -> Step:
    """Deny when any destination is. `check_network` is told the finding instead of being denied for asking."""
    del rules, so_far
    ids = tuple(sorted({finding.rule for finding in facts.domains if finding.rule}))
    refused = [finding for finding in facts.domains if finding.effect != "allow"]
    if not refused:
        return allow(NAME, "listed" if facts.domains else "no_destination", rules=ids)
    names = tuple(sorted({finding.rule for finding in refused if finding.rule}))
    fields = ", ".join(sorted({f"`{finding.field}` ({finding.code})" for finding in refused}))
    if call.operation == "check_network":
        return allow(NAME, "examined", f"the domain lists would not let it reach {fields}", names, warn=True)
    return deny(NAME, "network_denied", f"the domain lists do not let it reach {fields}", names)
