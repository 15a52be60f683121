"""What an interpreter's literal code would do, said as shell commands, so that one set of rules judges both."""

# ruff: noqa: PERF401  one shape for every kind of call reads better than ten generator expressions
from __future__ import annotations

import re
import shlex
from itertools import islice

from guardhouse.guardrails import constants, delimited, folding, literals, quoting, sending

MOST_CODE = 8 * 1024
MOST_CALLS = 100
"""Calls of one piece of code; more are told as `size`."""
_STRING = r"""(?:[rbfu]{0,2}(?P<q>['"`])(?P<s>(?:\\.|(?!(?P=q))[^\\])*+)(?P=q))"""
"""A literal. A backslash is read in one way only, and what was read is not given back: or a text without an end costs twice as
much for each backslash in it. So it is with each of the patterns here."""
_SHELL = re.compile(
    r"(?:\b(?:os\.)?(?:system|popen|getoutput|getstatusoutput|exec|execSync|spawnSync?|execFileSync?|shell_exec|passthru|proc_open|run|call|check_call|check_output|Popen|sh|backtick|IO\.popen|Open3\.\w+|os\.execute|capture2e?)|Command::new)"
    r"\s*[\(\s]\s*" + _STRING,
    re.S,
)
_LISTED = re.compile(
    r"\b(?:run|call|check_call|check_output|Popen|execv[pe]*|spawn[lvpe]*|spawnSync|execFile(?:Sync)?|system|exec)\s*\(\s*(?:['\"][\w/.-]+['\"]\s*,\s*)?[\[\(]([^\]\)]{1,2000})[\]\)]",
    re.S,
)
_ARGS = re.compile(
    r"\b(?:spawn(?:Sync)?|execFile(?:Sync)?|execl[pe]*)\s*\(\s*(['\"])([\w/.-]+)\1\s*,\s*\[([^\]]{1,2000})\]", re.S
)
_SEVERAL = re.compile(
    r"\b(?:system|exec|spawn|execlp?|execvp?)\s*\(?\s*((?:['\"][^'\"\n]{1,2000}['\"]\s*,\s*)+['\"][^'\"\n]{1,2000}['\"])"
)
_ENDLESS_LIST = re.compile(
    r"\b(?:run|call|check_call|check_output|Popen|execv[pe]*|execl[pe]*|spawn[lvpe]*|spawn(?:Sync)?|execFile(?:Sync)?|system|exec|cmd)\s*\(\s*(?:['\"][\w/.-]+['\"]\s*,\s*)?(?:[\[\(][^\]\)]{2000}|['\"][^'\"\n]{2000})"
)
"""A call whose arguments are longer than is read: told as `size`."""
_BACKTICK = re.compile(
    r"`([^`\n]{1,1000})`|(?:%x|\bqx)\s*(?:\(([^\)]{1,1000})|\{([^\}]{1,1000})|\[([^\]]{1,1000})|/([^/]{1,1000})/|!([^!]{1,1000})!|'([^']{1,1000})')"
)
_QUERY = re.compile(
    r"\b(?:execute\w*|query\w*|raw\w*|exec_sql|exec_query|run_sql|prepare|do)\s*\(?\s*(?:[\w.]{0,20}\b(?:text|SQL|sql|raw)\s*\(\s*)?"
    + _STRING,
    re.S,
)
_OTHER_SHELL = re.compile(
    r"\b(?:do shell script|shell-command(?:-to-string)?|start-process-shell-command|System\.cmd|system|Process\.system|cmd)\s*\(?\s*"
    + _STRING,
    re.S,
)
_GETLINE = re.compile(r"\s*+\|\s*+getline")
_EXECUTES = re.compile(r"\s*+\.\s*+execute\s*\(")
_SPAWNED = re.compile(r"(?m)^[^\S\n]*+(?:exec|spawn|system)\s+([^\"\n;]{2,500})")
_RUN_LIST = re.compile(r"System\.cmd\s*\(?\s*\"([\w/.-]+)\"\s*,\s*\[([^\]]{0,500})\]")
_JULIA = re.compile(r"\brun\s*\(\s*`([^`\n]{1,1000})`")
_HOMED = re.compile(
    r"\b(?:readFileSync|readFile|open|createReadStream|read_text|read)\s*\(\s*[\w.$()\[\]'\"]{1,60}\s*\+\s*" + _STRING,
    re.S,
)
_SETUID = re.compile(r"\b(?:setuid|setgid|setreuid|setresuid)\s*\(\s*0|\bProcess::Sys\.setuid\(0|\$<\s*=\s*0")
_RECURSIVE = r"(?:shutil\.rmtree|rmtree|remove_tree|rmSync|rmdirSync|fs(?:['\"]\))?\.rm(?:dir)?\b|promises\.rm|removeSync|rimraf(?:Sync|\.sync)?|FileUtils\.(?:rm_rf|rm_r|remove_dir|remove_entry_secure|rmtree)|Deno\.remove(?:Sync)?|del_tree|RemoveAll|deltree|remove_dir_all)"
_SINGLE = (
    r"(?:os\.(?:remove|unlink|rmdir|removedirs)|unlink(?:Sync)?|fs\.unlink|File\.(?:delete|unlink)|rmdir|Path(?:name)?)"
)
_CALL_PATH = r"\s*\(?\s*(?:glob\s*\(?\s*)?(?:Path\()?(?:os\.path\.expanduser\()?\s*"
_REMOVED = re.compile(r"\b" + _RECURSIVE + _CALL_PATH + r"(?:" + _STRING + r"|(?P<v>[\w$.@]+(?:\([^)]*\))?))", re.S)
_UNLINKED = re.compile(r"\b" + _SINGLE + _CALL_PATH + _STRING + r"(?P<after>[^\n;]{0,40})", re.S)
_PAIRED = re.compile(
    r"\b(shutil\.(?:move|copy\w*)|os\.(?:rename|replace|symlink|link)|(?:fs|promises)(?:['\"]\))?\.(?:rename|copyFile|symlink|cp)(?:Sync)?|FileUtils\.(?:mv|cp_r|cp|ln_s\w*)|File\.(?:rename|symlink))\s*\(?\s*"
    + _STRING
    + r"\s*,\s*(?P<p>['\"])(?P<t>(?:\\.|(?!(?P=p))[^\\])*+)(?P=p)",
    re.S,
)
_PAIRS = (("symlink", "ln -s"), ("ln_s", "ln -s"), ("link", "ln"), ("copy", "cp -r"), ("cp", "cp -r"), ("", "mv"))
_MODES = re.compile(
    r"\b(?:os|fs(?:['\"]\))?|File|FileUtils)\.chmod\w*\s*\(?\s*(?:['\"]([^'\"\n]{1,500})['\"]\s*,\s*(?:0o?)?([0-7]{3,4})|(?:0o?)?([0-7]{3,4})\s*,\s*['\"]([^'\"\n]{1,500})['\"])"
)
_EACH_GLOBBED = re.compile(
    r"\b(?:array_map|array_walk|map)\s*\(\s*['\"](?:unlink|rmdir)['\"]\s*,\s*glob\s*\(\s*" + _STRING, re.S
)
_KILLED = re.compile(r"\b(?:process|os|posix)(?:\.|_)kill(?:pg)?\s*\(\s*(-?\d+)\s*(?:,\s*['\"]?([\w.]+)['\"]?)?\s*\)")
_SIGNALLED = re.compile(r"(?<![.\w])(?:Process\.)?kill\s*\(?\s*['\":]?(\w{1,10})['\"]?\s*,\s*(-?\d{1,9})\b")
"""Perl and Ruby name the signal first."""
_LISP_REMOVED = re.compile(r"\((delete-directory|delete-file)\s+\"((?:\\.|[^\"\\]){1,500})\"")
_WRITTEN = re.compile(
    r"\b(?:open|fopen|file_put_contents|writeFile(?:Sync)?|appendFile(?:Sync)?|createWriteStream|File\.(?:write|open)|truncate(?:Sync)?)\s*\(?\s*"
    + _STRING
    + r"(?P<after>[^\n;]{0,30})",
    re.S,
)
_READ = re.compile(
    r"\b(?:open|readFile(?:Sync)?|file_get_contents|File\.(?:read!?|readlines|open|foreach|stream!)|IO\.read|readlines?|readLines|read|read_file|read_text|readfile|readTextFile(?:Sync)?|Bun\.file|getlines?|fileinput\.input|file|Path|createReadStream|slurp|copyfile|copy2?|copyFile(?:Sync)?|move|rename(?:Sync)?)\s*\(?\s*(?:[\w.]{0,24}(?:expanduser|expand_path|resolve|normalize|normpath|abspath|realpath|fspath|Path)\(\s*){0,3}"
    + _STRING,
    re.S,
)
_OPENED = re.compile(
    r"\bopen\s*\(?\s*(?:my\s+)?[$*]?\w+\s*,\s*(?:['\"]\s*\+?<[^'\"]{0,20}['\"]\s*,\s*)?" + _STRING,
    re.S,
)
"""Perl names the handle first."""
_PARTS = r"['\"][^'\"\n]{1,80}['\"]\s*"
_OF_HOME = re.compile(
    rf"(?:Path\.home\(\)|Path\(\s*['\"]~['\"]\s*\)(?:\.expanduser\(\))?)\s*((?:/\s*{_PARTS}){{1,6}})(\)?\s*\.\s*\w+)?"
    r"|\bjoin(?:path)?\s*\(\s*(?:(?:os\.path\.)?expanduser\(\s*['\"]~/?['\"]\s*\)|(?:Path\.home|(?:os\.)?homedir|require\(['\"](?:node:)?os['\"]\)\.homedir)\(\)"
    rf"|Dir\.home|process\.env\.HOME|(?:os\.environ|ENV)\[\s*['\"]HOME['\"]\s*\]|os\.getenv\(\s*['\"]HOME['\"]\s*\))\s*((?:,\s*{_PARTS}){{1,6}})\)"
)
"""A path put together below a home."""
_RUNS_INPUT = re.compile(r"\bsystem\s*\(\s*\$\d|\$\d\s*\|\s*getline|\|\s*\$\d")
"""What `awk` reads, run as a command."""
_ENCODED = re.compile(
    r"(?:b64decode|atob|Buffer\.from|decode64|base64_decode|fromhex|unhexlify)\s*\(\s*[rb]?(['\"])([A-Za-z0-9+/=_-]{8,4000})\1"
)
_RUNS_MADE = re.compile(
    r"\b(?:exec|eval|os\.system|system|subprocess\.\w+|popen|execSync|Popen|Function|compile|instance_eval)\s*\(?\s*\[?\s*(?:['\"][A-Za-z0-9+/=]{4,}['\"]\s*\]\s*\.pack|decode_base64|base64_decode|gzinflate|str_rot13|hex2bin|pack\(|Base64|__import__\(|base64|b64decode|bytes|codecs|zlib|marshal|atob|Buffer|requests|urllib|urlopen|chr\(|''\.join|\"\"\.join|decode|unhexlify|open\(|eval\()",
    re.S,
)
_FETCHED = re.compile(
    r"\b(?:exec|eval|os\.system|system|Function|instance_eval|popen|run)\b.{0,120}(?:urlopen|requests\.|urllib|http\.get|fetch\(|URI\.open|Net::HTTP|LWP|\bget\s*\(?\s*['\"]https?:|file_get_contents\s*\(\s*['\"]https?:|open\s*\(\s*['\"]https?:)"
    r"|\b(?:fetch|urlopen|requests\.get|https?\.get)\s*\(.{0,200}\b(?:eval|exec)\b",
    re.S,
)
_DECODES = re.compile(
    r"b64|[bB]ase64|atob|fromhex|hex2bin|unhexlify|\.pack|pack\(|gzinflate|str_rot13|marshal|zlib|codecs|rot13|unpack"
)
_SOCKET_SHELL = re.compile(
    r"(?:socket|Socket|fsockopen|TCPSocket|net\.connect|net\.Socket|IO::Socket|require\(['\"](?:node:)?(?:net|tls)['\"]\)).{0,600}(?:/bin/(?:ba|z|da|k)?sh|dup2|pty\.spawn|exec\b|spawn)|pty\.spawn\(\s*['\"](?:/bin/)?(?:ba|z)?sh",
    re.S,
)
_BOMB = re.compile(
    r"while\s*(?:True|1|\(1\)|\(true\))\s*[:{]\s*(?:os\.)?fork|fork\s+while\s+(?:fork|1)|while\s+1\s*\{\s*fork|loop\s*\{\s*fork|fork\(\)\s*while|os\.fork\(\)\s+for\b"
)
_REMOVES_EACH = re.compile(
    r"\b(?:File\.(?:delete|unlink)|FileUtils\.rm\w*|unlink|remove|rmtree|rmdir|removedirs|unlinkSync|rmSync)\s*\("
)
_EACH_BELOW = re.compile(
    r"(?:os\.walk|os\.scandir|os\.listdir|glob\.i?glob|readdirSync|Dir\.glob)\s*\(\s*(?:os\.path\.expanduser\(\s*)?['\"](?P<at>[/~][^'\"\n]*)['\"]"
    r"|Path\(\s*['\"](?P<of>[/~][^'\"\n]*)['\"]\s*\)(?:\.expanduser\(\))?\.(?:r?glob|iterdir|walk)\("
    r"|(?:Path\.home\(\)\.(?:r?glob|iterdir|walk)|(?:os\.walk|readdirSync)\s*\(\s*(?:str\(\s*)?(?:Path\.home|os\.homedir))\s*\("
)
_CODE_IN_CODE = re.compile(
    r"\b(?:exec|eval|compile|Function|(?:instance|class|module)_eval|parse)\s*\(?\s*" + _STRING, re.S
)
_MOST_NESTED, _MOST_NESTED_LETTERS = 4, 2048
_LEAST_NESTED = 8
"""Letters that a call needs at least."""
_REMOVED_ELSEWHERE = re.compile(
    r"""(?:\bFile\.rm_rf!?|(?<![\w.])rm(?=\s*\([^()]*recursive\s*=\s*true)|removeDirectoryRecursive|removePathForcibly|delete-directory/files"""
    r"""|removeItem\s*\(\s*at(?:Path)?:(?:\s*URL\(fileURLWithPath:)?|Directory\.Delete|os\.remove\.all|\bFile\s*(?=\([^()]*\)\s*\.\s*delete(?:Dir|Recursively)))"""
    r"""\s*\(?\s*(?:os\.Path\(\s*)?\"((?:\\.|[^\"\\]){1,500})\"|\bfile\s+delete\s+(?:-force\s+|--\s+)*([~/.][\w./~*-]*)"""
)
"""What deletes a folder with all in it in Elixir, Julia, Haskell, Racket, Swift, C#, Scala, Groovy, Kotlin and Tcl."""
_SH_LIST = re.compile(r"""\(\s*(?:[\w.]{1,40}/)?sh\s+((?:\"(?:\\.|[^\"\\]){1,300}\"\s*){1,20})""")
_WIPES = re.compile(r"/dev/(?:[shv]d[a-z]|nvme\d|disk\d)")


def as_shell(code: str, lang: str) -> tuple[list[str], list[str]]:
    """Shell commands with the same effects as the calls this code makes, and the names of events seen in it."""
    code = code[:MOST_CODE]
    made, events = _as_shell(code, lang)
    readings, whole = quoting.readings(code, lang)
    for reading in [*readings, *_nested(code)]:
        more, seen = _as_shell(reading, lang)
        made += more
        events += seen
    made = list(dict.fromkeys(made))
    if len(made) > MOST_CALLS or not whole:
        events.append("size")
    return made[:MOST_CALLS], list(dict.fromkeys(events))


def _nested(code: str) -> list[str]:
    """The literal texts that code runs as more code of its own language, and theirs: `exec('…')`."""
    found: list[str] = []
    waiting = [code]
    left = _MOST_NESTED_LETTERS
    while waiting and len(found) < _MOST_NESTED:
        for match in islice(_CODE_IN_CODE.finditer(waiting.pop()), _MOST_NESTED):
            text = _unquote(match["s"])
            left -= len(text)
            if len(text) >= _LEAST_NESTED and left >= 0:
                found.append(text)
                waiting.append(text)
    return found[:_MOST_NESTED]


def _as_shell(code: str, lang: str) -> tuple[list[str], list[str]]:
    """The same for one reading of the code."""
    made: list[str] = []
    events: list[str] = []
    folded, complete = (folding.folded(code), True) if lang == "python" else constants.filled(code)
    if not complete:
        events.append("size")
    for source in dict.fromkeys((code, folded)):
        for match in _SHELL.finditer(source):
            made.append(_unquote(match["s"]))
        for match in _LISTED.finditer(source):
            listed = _literals(match[1])
            if listed:
                made.append(shlex.join(listed))
        for match in _ARGS.finditer(source):
            made.append(shlex.join([match[2], *_literals(match[3])]))
        for match in _SEVERAL.finditer(source):
            made.append(shlex.join(_literals(match[1])))
        for match in _REMOVED.finditer(source):
            made.append(
                f"rm -rf {shlex.quote(_unquote(match['s']))}" if match["s"] is not None else _named_target(match["v"])
            )
        for match in _UNLINKED.finditer(source):
            if match[0].startswith("Path") and ".unlink" not in match["after"] and ".rmdir" not in match["after"]:
                continue
            made.append(f"rm {shlex.quote(_unquote(match['s']))}")
        for match in _WRITTEN.finditer(source):
            if re.search(r"['\"][wax]b?\+?['\"]|write|append|put|trunc", match[0] + match["after"]):
                made.append(f": > {shlex.quote(_unquote(match['s']))}")
        for match in _READ.finditer(source):
            made.append(f"cat {shlex.quote(_unquote(match['s']))}")
        for match in _HOMED.finditer(source):
            if "/" in match["s"]:
                made.append(f"cat ~/{shlex.quote(_unquote(match['s']).lstrip('/'))}")
        for match in _OF_HOME.finditer(source):
            path = shlex.quote("/".join(part.strip("/") for part in _literals(match[1] or match[3])))
            how = match[2] or ""
            made.append(f"{': >' if 'write' in how else 'rm' if 'unlink' in how else 'cat'} ~/{path}")
        if lang not in ("python", "perl", "php", "awk"):
            made += _elsewhere(source)
        for match in _PAIRED.finditer(source):
            way = next(way for name, way in _PAIRS if name in match[1].casefold())
            made.append(f"{way} {shlex.quote(_unquote(match['s']))} {shlex.quote(_unquote(match['t']))}")
        for match in _MODES.finditer(source):
            made.append(f"chmod {match[2] or match[3]} {shlex.quote(match[1] or match[4])}")
        for match in _EACH_GLOBBED.finditer(source):
            made.append(f"rm -rf {_unquote(match['s'])}")
        for match in _KILLED.finditer(source):
            made.append(f"kill -{(match[2] or 'TERM').rpartition('.')[2].removeprefix('SIG')} {match[1]}")
    if lang == "perl":
        for match in _OPENED.finditer(code):
            made.append(f"cat {shlex.quote(_unquote(match['s']).lstrip('+< '))}")
    if lang in ("ruby", "perl"):
        for match in _SIGNALLED.finditer(code):
            made.append(f"kill -{match[1].removeprefix('SIG')} {match[2]}")
    if lang in ("ruby", "perl", "php"):
        for match in _BACKTICK.finditer(code):
            made.append(next(filter(None, match.groups()), ""))
    if lang == "awk" and _RUNS_INPUT.search(code):
        events.append("code")
    if lang == "awk":
        for match in re.finditer(
            r'\bsystem\s*\(\s*"((?:\\.|[^"\\])*+)"|\|\s*"((?:\\.|[^"\\])*+)"',
            folded,
        ):
            made.append(_unquote(match[1] or match[2] or ""))
        made += _before(_GETLINE, folded)
        for match in re.finditer(r'\bgetline\s*+(?:\w++\s*+)?+<\s*\(?\s*"((?:\\.|[^"\\])++)"', code):
            made.append(f"cat {shlex.quote(_unquote(match[1]))}")
        for match in re.finditer(r'>>?\s*"((?:\\.|[^"\\])++)"', code):
            made.append(f": > {shlex.quote(_unquote(match[1]))}")
    for match in _ENCODED.finditer(code):
        inner = _undone(match[2])
        if inner:
            made.append(inner)
            if _RUNS_MADE.search(code) or "exec" in code or "system" in code:
                events.append("decoded")
    if _FETCHED.search(code):
        events.append("fetched")
    elif (made_up := _RUNS_MADE.search(folded)) is not None:
        around = folded[made_up.start() : made_up.end() + 80]
        events.append("decoded" if _DECODES.search(around) else "code")
    if sending.leaves(folded):
        events.append("exfil")
    if _SETUID.search(folded):
        events.append("setuid")
    if _SOCKET_SHELL.search(code):
        events.append("reverse")
    if _BOMB.search(code):
        events.append("bomb")
    if lang == "php" and re.search(r"-r\b|fsockopen", code) and "fsockopen" in code:
        events.append("reverse")
    if lang not in ("python", "ruby", "perl", "php", "awk", "sed"):
        # The templates of `Bun.$`, `zx` and `execa`.
        for match in re.finditer(r"\$\s*(?:\([^()\n]{0,200}\)\s*)?`((?:\\.|[^`\\]){1,2000})`", code):
            made.append(match[1])
    if _REMOVES_EACH.search(folded):
        # What removes one file after the other of all that is found below a place removes the place.
        for match in _EACH_BELOW.finditer(folded):
            made.append(
                f"rm -rf {shlex.quote(match['at'] or match['of'])}" if match["at"] or match["of"] else "rm -rf ~"
            )
    made += literals.commands(folded)
    told = [one for one in dict.fromkeys(made) if one]
    if _ENDLESS_LIST.search(code):
        events.append("size")
    return told, events


def _before(follows: re.Pattern[str], code: str) -> list[str]:
    """The texts behind which stands a pattern."""
    made, behind = [], 0
    for at, to in delimited.pairs(code):
        if at >= behind and follows.match(code, to + 1):
            made.append(_unquote(code[at + 1 : to]))
            behind = to + 1
    return made


def _elsewhere(code: str) -> list[str]:
    """Calls of the less usual languages."""
    made = [_unquote(match["s"]) for match in _OTHER_SHELL.finditer(code)]
    if "execute" in code:
        made += _before(_EXECUTES, code)
    for match in _LISP_REMOVED.finditer(code):
        made.append(f"{'rm -rf' if match[1] == 'delete-directory' else 'rm'} {shlex.quote(_unquote(match[2]))}")
    for match in _REMOVED_ELSEWHERE.finditer(code):
        made.append(f"rm -rf {shlex.quote(_unquote(match[1] or match[2]))}")
    made += [shlex.join(_literals(match[1])) for match in _SH_LIST.finditer(code)]
    made += [match[1] for match in _SPAWNED.finditer(code)]
    made += [match[1] for match in _JULIA.finditer(code)]
    made += [shlex.join([match[1], *_literals(match[2])]) for match in _RUN_LIST.finditer(code)]
    return made


_SED_FILE = re.compile(
    r"(?:^|[;{}\n])[^\S\n]*+(?:(?:\d++|\$|/(?:\\.|[^/\n\\])*+/)(?:[,~+!]|[^\S\n])*+)*+([rRwW])\s++([^\n;}]+)"
    r"|s([^\w\s\\])(?:\\.|(?!\3)[^\\\n]){0,200}+\3(?:\\.|(?!\3)[^\\\n]){0,200}+\3[\dgpiImMe]*+w\s++([^\n;}]+)"
)


def sed_files(code: str) -> list[tuple[str, str]]:
    """The files that a sed script reads or writes by its own commands, as (effect, path)."""
    return [
        ("<read>" if match[1] in ("r", "R") else "<write>", (match[2] or match[4]).strip())
        for match in _SED_FILE.finditer(code[:MOST_CODE])
    ]


def queries(code: str, lang: str) -> list[str]:
    """The SQL that code hands to a database."""
    code = code[:MOST_CODE]
    made = (
        _unquote(match["s"])
        for reading in (code, *quoting.readings(code, lang)[0])
        for match in _QUERY.finditer(reading)
        if " " in match["s"]
    )
    return list(dict.fromkeys(made)) if lang in quoting.LANGUAGES else list(made)


def _named_target(name: str | None) -> str:
    name = name or ""
    if name.startswith(("tmp", "temp", "tempfile")):
        return ""
    if re.match(r"(?:os\.path\.expanduser|Path\.home|os\.homedir|Dir\.home|homedir)", name):
        return "rm -rf ~"
    if re.match(r"(?:os\.getcwd|process\.cwd|Dir\.pwd)", name):
        return "rm -rf ."
    return 'rm -rf "$path"'


def _literals(text: str) -> list[str]:
    return [_unquote(one) for one in delimited.said(text)]


_ESCAPE = re.compile(r"\\(?:x\{?([0-9A-Fa-f]{1,6})\}?|u\{?([0-9A-Fa-f]{1,6})\}?|([0-7]{1,3})|(\n)|(.))", re.S)


def _unquote(text: str) -> str:
    """A literal's text: the escapes that most languages share, each read once."""
    return _ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(match: re.Match[str]) -> str:
    number = int(match[1] or match[2] or "0", 16) or int(match[3] or "0", 8)
    if number:
        return chr(number) if 8 < number < 0xD800 or 0xDFFF < number < 0x110000 else "\ufffd"
    if match[4] is not None:
        return ""
    if match[5] is None:
        return "\ufffd"
    return {"n": "\n", "t": "\t", "r": "\r"}.get(match[5], match[5] if match[5] in "'\"`\\$ " else match[0])


def _undone(text: str) -> str:
    import base64
    import binascii

    try:
        data = bytes.fromhex(text) if re.fullmatch(r"(?:[0-9a-fA-F]{2})+", text) else base64.b64decode(text + "==")
        return data.decode("utf-8")
    except (ValueError, binascii.Error):
        return ""
