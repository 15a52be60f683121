"""Effects: the paths a command reads, writes, deletes or sends, and what flows out of them."""

from __future__ import annotations

from guardhouse.guardrails import paths
from guardhouse.guardrails.programs import Arguments, Program
from guardhouse.guardrails.statements import Reader
from guardhouse.guardrails.units import Flow
from guardhouse.guardrails.words import UNKNOWN, Word

SENSITIVE = frozenset({"credential", "account", "memory"})
_PATTERNS = frozenset(["-e", "-f", "--regexp", "--file", "--files", "--from-file"])
"""Options that hold what a search looks for, or say that nothing is looked for."""


class Effects(Reader):
    """A reader that notes what commands do to files and hosts."""

    workspace = ""

    def effect(self, operator: str, targets: list[Word], gets: Flow | None = None) -> frozenset[str]:
        """Note that paths are read, written (with what `gets` tells), deleted or sent; what flows out of them."""
        kinds: set[str] = set()
        for word in targets:
            if not word.text or word.text == "-":
                continue
            self.unit(operator, [word], word.start, word.end, None).gets = gets
            if operator in ("<read>", "<send>"):
                found = paths.classes(word.text, self.state.cwd, self.workspace)
                if found & SENSITIVE:
                    kinds.add("secret")
                if "glob" in found or "dynamic" in found:
                    kinds.add("file")
                    if word.text == UNKNOWN:
                        kinds.add("unnamed")
                if operator == "<read>" and found & {"home", "root"}:
                    kinds.add("homes")
                kinds |= word.kinds & {"secret"}
                written = self.state.files.get(word.text)
                if written is not None:
                    kinds |= written.kinds & {"secret", "env", "secretvar", "log"}
            elif operator == "<assign>":
                self.assigned(word)
        return frozenset(kinds)

    def _touches(
        self, program: Program, given: Arguments, rest: list[Word], feed: Flow | None = None
    ) -> frozenset[str]:
        kinds: set[str] = set()
        for operator, way, flags in program.touches:
            if way == "rest" and program.data and any(option in _PATTERNS for option, _ in given.options):
                way = "all"  # the pattern stands in an option, and every word is a file
            touched = chosen(given.positionals, way)
            touched += _named_files(rest) if operator == "<read>" and program.data else []
            if flags:
                for word in given.value(flags):
                    text = word.text
                    if operator == "<send>":
                        if program.sink and "@" in text:
                            text = text.rpartition("@")[2].partition(";")[0]
                        elif "=" in text and "<" in text:
                            text = text.rpartition("<")[2]
                        elif not any(
                            name in ("-T", "--upload-file", "--post-file", "--body-file")
                            for name, value in given.options
                            if value is word
                        ):
                            continue
                    touched.append(Word(text, word.start, word.end, word.kinds))
                for word in rest:
                    key, equals, value = word.text.partition("=")
                    if equals and key in flags and not key.startswith("-"):
                        touched.append(Word(value, word.start, word.end))
            if touched:
                kinds |= self.effect(operator, touched, feed if program.flow == "same" else None)
        if not program.sink and program.flow != "bulk":
            kinds.discard("homes")
        return frozenset(kinds)

    def _sinks(
        self,
        name: str,
        program: Program,
        rest: list[Word],
        feed: Flow | None,
        start: int,
        end: int,
        touched: set[str] | None = None,
    ) -> None:
        carried: set[str] = set(touched or ())
        for word in rest:
            carried |= word.kinds
        if feed is not None and (
            program.stdin
            or any(word.text in ("-", "@-", "-F-") or word.text.endswith("@-") for word in rest)
            or name
            in (
                "nc",
                "ncat",
                "netcat",
                "socat",
                "telnet",
                "mail",
                "mailx",
                "sendmail",
                "rclone",
                "aws",
                "gsutil",
                "ssh",
            )
        ):
            carried |= feed.kinds
            if "shellout" in feed.kinds and name in ("nc", "ncat", "netcat", "socat", "telnet", "openssl"):
                self.event("reverse", start, end)
        piped = feed is not None and "secretvar" in feed.kinds
        if carried & {"secret", "env", "homes", "log", "clipboard"}:
            self.event("exfil", start, end, name)
        elif feed is not None and "bulk" in feed.kinds and name not in ("ssh", "aws", "gsutil", "rclone", "mail"):
            self.event("exfil.bulk", start, end, name)
        elif "secretvar" in carried and (piped or not self._authorises(rest)):
            self.event("exfil.variable", start, end, name)

    @staticmethod
    def _authorises(rest: list[Word]) -> bool:
        """Whether the secret stands where a request's own authorisation belongs."""
        for before, word in zip([Word(""), *rest[:-1]], rest, strict=True):
            if (
                "secretvar" in word.kinds
                and before.text
                not in ("-H", "--header", "-u", "--user", "--token", "-t", "--password", "--oauth2-bearer")
                and not word.text.lower().startswith(("authorization", "x-api-key", "-h", "--token", "--password"))
            ):
                return False
        return True


def _named_files(rest: list[Word]) -> list[Word]:
    """The files that `jq` binds to names: `--slurpfile NAME FILE`."""
    return [rest[at + 2] for at, word in enumerate(rest[:-2]) if word.text in ("--slurpfile", "--rawfile")]


def chosen(positionals: tuple[Word, ...], way: str) -> list[Word]:
    """The positionals that a program touches in this way."""
    if not way or not positionals:
        return []
    if way == "all":
        return list(positionals)
    if way == "first":
        return [positionals[0]]
    if way == "rest":
        return list(positionals[1:])
    if way == "init":
        return list(positionals[:-1])
    return [positionals[-1]] if len(positionals) > 1 else []
