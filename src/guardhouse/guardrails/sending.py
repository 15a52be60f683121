"""Interpreter code that hands the whole environment to another host."""

from __future__ import annotations

import re2

_WHOLE = re2.compile(
    r"\bos\.environb?\s*(?:[),}:;\n]|$|\.(?:items|copy|values|data)\b)"
    r"|\b(?:dict|str|repr|dumps|urlencode|list|sorted|bytes|vars)\s*\(\s*os\.environ|\*\*os\.environ|\bin\s+os\.environ\b"
    r"|\b(?:process\.env|Bun\.env|import\.meta\.env)\s*(?:[),};:\n`]|$)|\.\.\.process\.env\b|\b(?:in|of)\s+process\.env\b|Deno\.env\.toObject"
    r"|\bENV\.(?:to_h|to_a|to_hash|inspect|each|map|collect|sort|entries|select|filter|reject|to_json|to_s)\b|\bENV\s*[),}]|#\{ENV\}"
    r"|[\\@%]+ENV\b|\bkeys\s+%ENV|\$_ENV\b(?:[^\[]|$)|\$_SERVER\b(?:[^\[]|$)|\bgetenv\s*\(\s*\)|\bphpinfo\s*\("
    r"|\bSystem\.getenv\s*\(\s*\)|\bos\.Environ\s*\(\s*\)|\bSys\.getenv\s*\(\s*\)|\bProcessInfo\.processInfo\.environment\b"
)
"""All variables at once, not one by its name."""
_AS_ENVIRONMENT = re2.compile(
    r"\benv\s*[=:]\s*(?:dict\(|\{\s*(?:\*\*|\.\.\.)\s*)?(?:os\.environ|process\.env|Bun\.env)(?:\.copy\(\))?|\benv(?:iron)?\s*\|\s*os\.environ|os\.environ\s*\|"
)
"""The environment given to a child: it goes nowhere."""
_SENDS = re2.compile(
    r"(?i)\brequests\s*\.\s*(?:post|put|patch|request|get|session)|\bsession\(\)\.(?:post|put)|\burlopen\s*\(|\burlretrieve\s*\(|\bRequest\s*\(|\bhttpx\s*\.|\baiohttp\b|\bhttp\.client\b|\bHTTPS?Connection\b|\burllib3\b"
    r"|\bfetch\s*\(|\baxios\b|\bXMLHttpRequest\b|\bhttps?['\"]?\)?\s*\.\s*(?:request|get)\s*\(|\bgot\s*[.(]|\bneedle\b|\bsuperagent\b|\bsendBeacon\b|\bundici\b|\bWebSocket\b|\bdgram\b|\bnode-fetch\b"
    r"|\bnet['\"]?\)?\s*\.\s*(?:connect|createConnection|Socket)|\btls['\"]?\)?\s*\.\s*connect"
    r"|Net::(?:HTTP|SMTP|FTP)|\bRestClient\b|\bHTTParty\b|\bFaraday\b|\bExcon\b|\bTCPSocket\b|\bUDPSocket\b|URI\.(?:open|parse)|\bopen-uri\b"
    r"|\bLWP\b|HTTP::Tiny|IO::Socket|WWW::Mechanize|Mojo::UserAgent"
    r"|\bcurl_(?:init|exec|setopt)|\bfsockopen\s*\(|\bstream_socket_client\b|\bstream_context_create\b|file_get_contents\s*\(\s*['\"]https?:|\bGuzzle|\bmail\s*\("
    r"|\bsocket\.(?:socket|create_connection)\b|\bsmtplib\b|\bftplib\b|\bparamiko\b|\bboto3\b|\bsendall\s*\(|\bHttpClient\b|\bhttp\.Post\b|\bhttr\b"
)


def leaves(code: str) -> bool:
    """Whether code takes all variables of the environment and speaks to another host."""
    folded = code.casefold()
    if "env" not in folded and "phpinfo" not in folded:
        return False
    return _SENDS.search(code) is not None and _WHOLE.search(_AS_ENVIRONMENT.sub("", code)) is not None
