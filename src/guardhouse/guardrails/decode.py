"""Encodings that a shell text can undo on its way to being run; undone here the same way, within bounds."""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import zlib

from guardhouse.guardrails import words
from guardhouse.guardrails.words import MOST_TEXT, UNKNOWN

DECODERS = frozenset(
    [
        "base64",
        "base32",
        "xxd",
        "openssl",
        "gunzip",
        "zcat",
        "gzip",
        "bunzip2",
        "bzcat",
        "xz",
        "unxz",
        "xzcat",
        "uudecode",
        "rev",
        "tr",
        "bzip2",
        "zstd",
        "lz4",
        "unzip",
        "tar",
        "gpg",
        "gpg2",
        "uudecode",
        "ascii2binary",
    ]
)
UNPACKERS = frozenset(["gunzip", "zcat", "bunzip2", "bzcat", "unxz", "xzcat", "uudecode", "ascii2binary"])
"""Programs that decode by themselves; the others need to be told."""
_RANGE = re.compile(r"(.)-(.)", re.S)


def decoded(program: str, args: list[str], text: str | None) -> str | None:
    """What `program args` would print for this input, or None when that is not simple enough to know."""
    if text is None or UNKNOWN in text:
        return None
    options = [arg for arg in args if arg.startswith("-")]
    try:
        if program == "base64" and any(
            option in ("-d", "-D", "--decode", "-di", "-id") or option.startswith("--d") for option in options
        ):
            return _text(base64.b64decode(re.sub(r"[^A-Za-z0-9+/=]", "", text) + "==", validate=False))
        if program == "base32" and any(option in ("-d", "--decode") for option in options):
            return _text(base64.b32decode(re.sub(r"\s", "", text)))
        if program == "xxd" and any("r" in option for option in options):
            return _text(bytes.fromhex(re.sub(r"[^0-9a-fA-F]", "", text)))
        if program == "openssl" and ("base64" in args or "-base64" in args or "-a" in args) and "-d" in args:
            return _text(base64.b64decode(re.sub(r"\s", "", text) + "=="))
        if program == "rev":
            return "\n".join(line[::-1] for line in text.split("\n"))
        if program == "tr":
            return _translate([arg for arg in args if not arg.startswith("-") or len(arg) == 1], options, text)
        if program in ("gunzip", "zcat", "gzip"):
            return _text(gzip.decompress(text.encode("latin-1")))
    except (ValueError, binascii.Error, OSError, EOFError, zlib.error, UnicodeError):
        return None
    return None


def _text(data: bytes) -> str | None:
    if len(data) > MOST_TEXT:
        return None
    try:
        return words.clean(data.decode("utf-8"))
    except UnicodeDecodeError:
        return words.clean(data.decode("latin-1"))


def _translate(args: list[str], options: list[str], text: str) -> str | None:
    def spread(letters: str) -> str:
        letters = letters.replace("[:upper:]", "A-Z").replace("[:lower:]", "a-z").replace("[:digit:]", "0-9")
        return _RANGE.sub(
            lambda m: "".join(map(chr, range(ord(m[1]), ord(m[2]) + 1))) if ord(m[1]) <= ord(m[2]) < 256 else m[0],
            words.ansi(letters),
        )

    if "-d" in options and args:
        return text.translate({ord(letter): None for letter in spread(args[0])})
    if len(args) != 2 or options or "[:" in re.sub(r"\[:(?:upper|lower|digit):\]", "", args[0] + args[1]):
        return None
    left, right = spread(args[0]), spread(args[1])
    if not left or not right:
        return None
    right = right + right[-1] * max(0, len(left) - len(right))
    return text.translate(dict(zip(map(ord, left), right, strict=False)))


def printed(program: str, args: list[str]) -> str | None:
    """What `echo` or `printf` prints, or None where a part of it is unknown."""
    if any(UNKNOWN in arg for arg in args):
        return None
    if program == "echo":
        newline, escapes = "\n", False
        while args and re.fullmatch(r"-[neE]+", args[0]):
            newline = "" if "n" in args[0] else newline
            escapes = "e" in args[0] or escapes
            args = args[1:]
        text = " ".join(args)
        return (words.ansi(text) if escapes else text) + newline
    if args[:1] == ["--"]:
        args = args[1:]
    if not args or args[0] == "-v":
        return ""
    return _formatted(args[0], args[1:])


_FORMAT = re.compile(r"%(?:%|[-+ #0]*\d*(?:\.\d+)?([a-zA-Z]))")


def _formatted(pattern: str, values: list[str]) -> str | None:
    made, left = [], values[::-1]
    parts = re.split(r"(%(?:%|[-+ #0]*\d*(?:\.\d+)?[a-zA-Z]))", pattern)
    if len(parts) * (len(values) + 1) > MOST_TEXT:
        return None
    while True:
        used = 0

        def one(match: re.Match[str]) -> str:
            nonlocal used
            if match[1] is None:
                return "%"
            used += 1
            value = left.pop() if left else ""
            return words.ansi(value) if match[1] == "b" else value

        # Escapes belong to the format, never to the values.
        made.append("".join(one(m) if (m := _FORMAT.fullmatch(part)) else words.ansi(part) for part in parts))
        if not left or not used:
            break
    text = words.clean("".join(made))
    return text if len(text) <= MOST_TEXT else None
