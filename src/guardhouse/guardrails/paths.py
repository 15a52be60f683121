"""What kind of place a path names: the root, a home, a system tree, a credential, the workspace, a build product."""

# ruff: noqa: S108  names of places in texts, no file is made
from __future__ import annotations

import posixpath
import re
from functools import lru_cache

from guardhouse.guardrails.words import UNKNOWN

CLASSES = frozenset(
    {
        "root",
        "home",
        "system",
        "device",
        "disk",
        "git",
        "credential",
        "shellrc",
        "schedule",
        "temp",
        "build",
        "workspace",
        "outside",
        "here",
        "dynamic",
        "glob",
        "account",
        "memory",
        "agentconf",
        "remote",
        "url",
        "null",
        "personal",
        "scratch",
        "users",
    }
)
_SYSTEM = re.compile(
    r"/(?:etc|usr|bin|sbin|lib|lib32|lib64|libx32|boot|var|opt|sys|proc|dev|srv|run|private|System|Library|Applications|"
    r"snap|nix|cores|Windows|mnt|media|Volumes|data|home|Users)(?:/.*)?",
    re.S,
)
_MACHINE = re.compile(
    r"/(?:etc|usr|bin|sbin|lib|lib32|lib64|libx32|boot|var|sys|proc|dev|run|private|System|Library|Applications|snap|nix|cores|Windows)"
    r"(?:/.*)?",
    re.S,
)
_TREES = re.compile(
    r"/(?:usr/(?:local/)?src|(?:private/)?var/(?:www|lib/[^/]+/workspace|lib/[^/]+/\.?builds?))/.+", re.S
)
"""Where people and builders do keep working trees below the machine's own places."""
_ROOT = re.compile(r"/(?:\*|\?+|\[.*\])+/?.*")
_BENIGN_SYSTEM = re.compile(r"/(?:dev/(?:null|stdout|stderr|stdin|tty|fd/\d+|zero|u?random|full)|proc/self/fd/\d+)")
_HOME = re.compile(
    r"(?:~[\w.-]*|/root|/home/[^/]+|/Users/[^/]+|/home|/Users)(?:/(?:\*|\.\*|\.\??\*)?)?|/home/\*.*|/Users/\*.*"
)
_IN_HOME = re.compile(r"(?:~[\w.-]*|/root|/home/[^/]+|/Users/[^/]+)/.+", re.S)
_HIDDEN_IN_HOME = re.compile(r"(?:/root|/home/[^/]+|/Users/[^/]+)/(?:\.|Library(?:/|$))")
_DISK = re.compile(
    r"/dev/(?:(?:[shv]|xv)d[a-z*?\[].*|nvme\d.*|mmcblk\d.*|r?disk\d.*|loop\d.*|md\d.*|dm-\d.*|mapper/.+|disk/.+|sd\*|vg.*|pmem.*|zd\d.*|nbd\d.*)"
)
_MEMORY = re.compile(
    r"/dev/(?:mem|kmem|port)|/proc/(?:kcore|kmem|\d+/mem|self/mem|\*/mem|[^/]+/environ|sysrq-trigger|[^/]+/(?:uid_map|gid_map|setgroups))|/sys/fs/cgroup/.*release_agent"
)
_TEMP = re.compile(r"/(?:private/)?(?:var/)?tmp/.+|/var/folders/.+|/dev/shm/.+", re.S)
_SCRATCH = frozenset(["/tmp", "/tmp/*", "/var/tmp", "/var/tmp/*", "/private/tmp", "/private/tmp/*", "/tmp/.*"])
"""The whole of what every program's temporary files share."""
_ACCOUNT = re.compile(
    r"/etc/(?:g?shadow-?|master\.passwd|security/opasswd|sudoers(?:\.d)?(?:/.*)?|passwd-?|group-?|pam\.d(?:/.*)?|krb5\.keytab|ld\.so\.preload)"
)
_CREDENTIAL = re.compile(
    r"(?:^|.*/)(?:"
    r"\.ssh(?:/(?!known_hosts|config|authorized_keys|[^/]*\.pub$).*)?"
    r"|[^/]*id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?(?!\.pub)"
    r"|\.aws(?:/(?:credentials|sso/.*|cli/cache.*|\*|config))?|\.azure(?:/.*)?|\.config/gcloud(?:/.*)?|\.kube(?:/config.*)?"
    r"|\.docker/config\.json|\.netrc|\.pgpass|\.my\.cnf|\.mylogin\.cnf|\.npmrc|\.yarnrc\.yml|\.pypirc|\.gem/credentials|\.cargo/credentials(?:\.toml)?"
    r"|\.git-credentials|\.config/git/credentials|\.config/gh(?:/hosts\.yml)?|\.config/hub|\.config/glab-cli(?:/.*)?|\.gnupg(?:/.*)?|\.password-store(?:/.*)?|\.vault-token"
    r"|\.terraform\.d/credentials.*|\.terraformrc|\.m2/settings(?:-security)?\.xml|\.gradle/gradle\.properties|\.config/helm/.*|\.helm/repository/repositories\.yaml"
    r"|\.circleci/cli\.yml|\.s3cfg|\.boto|\.config/rclone/rclone\.conf|rclone\.conf|\.config/doctl/.*|\.config/heroku/.*|\.databrickscfg|\.snowsql/config"
    r"|\.cache/huggingface/token|\.huggingface/token|\.kaggle/kaggle\.json|\.age/.*|[^/]*\.(?:kdbx?|p12|pfx|jks|keystore|ppk|agekey)"
    r"|\.config/(?:op|bitwarden.*|sops)/.*|\.config/sops|[^/]*(?:private|server|client|tls|ssl|host|ca|rsa|ec|master|secret|signing)[_.-]?key(?:\.(?:pem|key|txt|json))?"
    r"|(?:server|tls|ssl|host|ca|privkey|private)[^/]*\.key|privkey[^/]*\.pem|[^/]*private[^/]*\.pem|ssh_host_[^/]*_key"
    r"|credentials(?:\.(?:json|ya?ml|toml|ini|csv|xml))?|[^/]*service[_-]?account[^/]*\.json|[^/]*client_secret[^/]*\.json|secrets?\.(?:json|ya?ml|toml|env|txt)"
    r"|\.env[?*]?|\.env(?:\.(?!example|sample|template|dist|schema)[\w.-]+)?|\.envrc|\.htpasswd|shadow\.bak|master\.key"
    r"|wireguard/.+|swanctl/.+|ipsec\.secrets|krb5cc_.*|system-connections/.*|kubelet/pki/.*|etc/kubernetes/(?:admin\.conf|pki/.*)|ssl/private(?:/.*)?"
    r"|run/secrets/.+|serviceaccount/token|Login Data.*|Cookies(?:\.sqlite)?|logins\.json|key[34]\.db|cookies\.sqlite|Keychains?(?:/.*)?|login\.keychain.*"
    r"|\.bash_history|\.zsh_history|\.psql_history|\.mysql_history|\.python_history|\.node_repl_history"
    r"|\.claude/\.credentials\.json|\.codex/auth\.json|\.gemini/oauth_creds\.json|\.config/github-copilot/.*"
    r"|\.electrum/.*|\.bitcoin/wallet.*|wallet\.dat|\.ethereum/keystore.*|\.config/solana/id\.json|\.local/share/keyrings(?:/.*)?|\.terraform/terraform\.tfstate|SAM|ntds\.dit"
    r")$",
    re.S,
)
_KEPT_AT_HOME = tuple(
    tuple(one.split("/"))
    for one in [
        ".aws/credentials",
        ".ssh/id_rsa",
        ".ssh/id_ed25519",
        ".netrc",
        ".pgpass",
        ".npmrc",
        ".pypirc",
        ".git-credentials",
        ".vault-token",
        ".kube/config",
        ".docker/config.json",
        ".config/gh/hosts.yml",
        ".config/gcloud/credentials.db",
        ".azure/accessTokens.json",
        ".cargo/credentials.toml",
        ".gnupg/secring.gpg",
        ".claude/.credentials.json",
        ".codex/auth.json",
        ".config/rclone/rclone.conf",
        ".m2/settings.xml",
        ".my.cnf",
        ".s3cfg",
    ]
)
_KEPT_IN_ETC: tuple[tuple[str, ...], ...] = (("shadow",), ("gshadow",), ("sudoers",))
_KEPT_HERE = ((".env",), (".netrc",), (".npmrc",), (".aws", "credentials"), (".ssh", "id_rsa"))
"""Files that hold secrets under names that everybody gives them: what a glob is held against."""
_LONGEST_KEPT = 40
_BELOW_HOME = re.compile(r"(?:~[\w.-]*|/root|/home/[^/]+|/Users/[^/]+)/")
_GLOB = re.compile(r"([^*?\[]*)(?:[*?\[](?:.*[*?\]])?([^*?\]]*))?", re.S)
"""One name: what stands before its marks, and what behind them (None where it has none)."""
_SHELLRC = re.compile(
    r"(?:.*/)?(?:\.bashrc|\.bash_profile|\.bash_login|\.bash_logout|\.profile|\.zshrc|\.zshenv|\.zprofile|\.zlogin|\.config/fish/config\.fish|\.ssh/authorized_keys2?"
    r"|\.ssh/config|\.ssh/rc|\.xinitrc|\.xsession|\.config/autostart/.*|LaunchAgents/.*|LaunchDaemons/.*|\.gitconfig|\.config/git/config|\.inputrc|\.vimrc|\.pam_environment"
    r"|\.config/systemd/user/.*|\.tmux\.conf|\.wgetrc|\.curlrc)|/etc/(?:profile|profile\.d/.*|bash\.bashrc|zsh/.*|environment|rc\.local|init\.d/.*|ld\.so\.conf.*)"
)
_SCHEDULE = re.compile(
    r"/etc/cron.*|/var/spool/cron.*|/etc/systemd/.*|/usr/lib/systemd/.*|/lib/systemd/.*|/etc/anacrontab"
)
_AGENTCONF = re.compile(
    r"(?:.*/)?(?:\.claude(?:\.json|/(?:settings(?:\.local)?\.json|hooks?(?:/.*)?|CLAUDE\.md))?|\.codex(?:/(?:config\.toml|hooks\.json|rules.*))?|\.gemini(?:/settings\.json)?"
    r"|\.cursor/(?:hooks\.json|mcp\.json|permissions\.json|cli-config\.json)|\.mcp\.json|\.guardhouse\.ya?ml|\.git/hooks(?:/.*)?)"
)
_GIT = re.compile(r"(?:.*/)?\.git(?:/.*)?")
_BUILD = re.compile(
    r"(?:.*/)?(?:node_modules|dist|build|out|target|__pycache__|\.pytest_cache|\.mypy_cache|\.ruff_cache|\.tox|\.nox|\.venv|venv|\.next|\.nuxt|\.turbo|\.parcel-cache"
    r"|\.gradle|coverage|htmlcov|\.coverage|\.cache|\.eggs|[^/]*\.egg-info|\.terraform|tmp|temp|\.tmp|cmake-build-[^/]*|bin|obj|\.svelte-kit|storybook-static|vendor/bundle|bower_components|cdk\.out|\.aws-sam|\.serverless|\.dart_tool|\.bundle|Pods|DerivedData|\.hypothesis|\.ipynb_checkpoints|\.sass-cache|\.angular|\.vite|\.output|\.nyc_output|test-results|playwright-report|package-lock\.json|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?|logs?|[^/]*\.(?:pyc|pyo|o|log|tmp|class|bak|swp|orig))(?:/[^.].*|/\*|/)?"
)
_PERSONAL = re.compile(
    r"(?:~[\w.-]*|/root|/home/[^/]+|/Users/[^/]+)/(?:Desktop|Documents|Downloads|Music|Pictures|Videos|Movies|Library|Public|OneDrive|Dropbox|iCloud)(?:/.*)?",
    re.S,
)
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]?\*?")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://")
_REMOTE = re.compile(r"(?:[\w.-]+@)?[\w.-]+:(?!//).*")


def resolve(path: str, cwd: str) -> str:
    """The path seen from `cwd`, with `..` and doubled slashes folded; `~` stays at its start."""
    if path.startswith(("~", UNKNOWN)):
        head, _, rest = path.partition("/")
        folded = posixpath.normpath(rest) if rest else ""
        if folded.startswith(".."):
            return "/"
        return f"{head}/{folded}" if folded not in ("", ".") else head
    if not path.startswith("/") and cwd not in ("", "."):
        if cwd.startswith("~"):
            return resolve(f"{cwd}/{path}", "")
        path = f"{cwd}/{path}"
    made = posixpath.normpath(path) if path else ""
    return made[1:] if made.startswith("//") else made


@lru_cache(maxsize=256)
def believed(workspace: str) -> bool:
    """Whether a directory may be somebody's working tree: never the root, a home, or a place of the machine's own.

    A caller names the tree, and `git init /etc` makes one, so what lies inside must not become harmless by that name.
    """
    path = resolve(workspace, "")
    if not path.startswith(("/", "~")):
        return True
    if path == "/" or _HOME.fullmatch(path) or (path.count("/") == 1 and _SYSTEM.fullmatch(path)):
        return False
    return _MACHINE.fullmatch(path) is None or _TREES.fullmatch(path) is not None or _TEMP.fullmatch(path) is not None


@lru_cache(maxsize=256)
def working(cwd: str) -> str:
    """The working tree of a command of which only the folder it runs in is known: that folder, or empty where it is none.

    A home, what programs keep hidden below one, and the machine's own places are nobody's working tree.
    """
    path = resolve(cwd, "")
    return cwd if path.startswith("/") and believed(path) and _HIDDEN_IN_HOME.match(path) is None else ""


@lru_cache(maxsize=8192)
def classes(text: str, cwd: str = "", workspace: str = "") -> frozenset[str]:
    """The classes of a path as written in a command run in `cwd`. An empty `workspace` counts relative paths as inside."""
    if not text:
        return frozenset()
    if len(text) > 4096:
        return frozenset({"dynamic"})
    found: set[str] = set()
    if UNKNOWN in text:
        found.add("dynamic")
        if text.startswith(UNKNOWN) and (len(text) == 1 or text[1] != "/"):
            return frozenset(found | _named(text.replace(UNKNOWN, "x")))
    if any(mark in text for mark in "*?["):
        found.add("glob")
    if _URL.match(text):
        if text.startswith("file://"):
            return classes("/" + text[7:].lstrip("/"), cwd, workspace)
        return frozenset({"url"})
    path = resolve(text.removeprefix("./") if text not in ("./",) else ".", cwd)
    inside = (
        bool(workspace) and believed(workspace) and (path == workspace or path.startswith(workspace.rstrip("/") + "/"))
    )
    found |= _named(path)
    if "glob" in found and _reaches(path):
        found.add("account" if path.startswith("/etc/") else "credential")
    rooted = path.startswith(("/", "~"))
    if rooted:
        found |= _rooted(path, inside=inside)
    else:
        if _WINDOWS.fullmatch(path):
            found.add("root")
        if path in (".", "*") and _HOME.fullmatch(cwd or "x"):
            found.add("home")
    if inside or not (rooted or path.startswith(UNKNOWN)):
        if path.startswith(".."):
            found.add("outside")
        else:
            found.add("workspace")
            if path in (".", "*", "./*", ".*", "", "**", "**/*") or (inside and path == workspace):
                found.add("here")
    elif not rooted:
        found.add("outside")
    if found.isdisjoint(("system", "home", "root")) and _BUILD.fullmatch(path):
        found.add("build")
    if _REMOTE.fullmatch(text) and not _WINDOWS.match(text):
        found.add("remote")
    return frozenset(found)


def _reaches(path: str) -> bool:
    """Whether a glob fits the name of a file that everybody keeps secrets in. Several marks in one name count as one."""
    if path.startswith("/etc/"):
        below, kept = path[5:], _KEPT_IN_ETC
    else:
        home = _BELOW_HOME.match(path)
        if home is None and path.startswith(("/", "~")):
            return False
        below, kept = path[home.end() :] if home else path, _KEPT_AT_HOME if home else _KEPT_HERE
    if len(below) > _LONGEST_KEPT:
        return False
    given = [_GLOB.match(part) for part in below.split("/")]
    return any(
        len(parts) == len(given)
        and all(
            part == whole[0]
            if whole[2] is None
            else part.startswith(whole[1]) and part.endswith(whole[2]) and (bool(whole[1]) or part[0] != ".")
            for whole, part in zip(given, parts, strict=True)
            if whole is not None
        )
        for parts in kept
    )


def _rooted(path: str, *, inside: bool) -> set[str]:
    """What a path is that begins at the root or at a home; `inside`: the workspace is around it."""
    found = set()
    if path in ("/", "/*", "/.*", "/?*", "//") or _ROOT.fullmatch(path):
        found.add("root")
    if _HOME.fullmatch(path):
        found.add("home")
    if _PERSONAL.fullmatch(path):
        found.add("personal")
    if path in ("/etc/passwd", "/etc/group", "/etc/passwd-", "/etc/group-"):
        found.add("users")
    if path in _SCRATCH:
        found.add("scratch")
    benign = False
    if path.startswith("/dev/"):
        benign = _BENIGN_SYSTEM.fullmatch(path) is not None
        if path == "/dev/null":
            found.add("null")
        if _DISK.fullmatch(path):
            found.add("disk")
        if not benign:
            found.add("device")
    elif path.startswith("/proc/"):
        benign = _BENIGN_SYSTEM.fullmatch(path) is not None
    if _MEMORY.fullmatch(path):
        found.add("memory")
    temp = _TEMP.fullmatch(path) is not None or path in ("/tmp", "/var/tmp")
    if temp and not path.startswith("/tmp/.."):
        found.add("temp")
    elif not benign and not inside and "home" not in found and _SYSTEM.fullmatch(path) and not _IN_HOME.fullmatch(path):
        found.add("system")
    if not temp and not benign and not inside:
        found.add("outside")
    return found


def _named(path: str) -> set[str]:
    found = set()
    if _ACCOUNT.fullmatch(path) or path.endswith(("/etc/shadow", "/etc/gshadow", "/etc/sudoers")):
        found.add("account")
    if _CREDENTIAL.match(path):
        found.add("credential")
    if _SHELLRC.fullmatch(path):
        found.add("shellrc")
    if _SCHEDULE.fullmatch(path):
        found.add("schedule")
    if _AGENTCONF.fullmatch(path):
        found.add("agentconf")
    if _GIT.fullmatch(path):
        found.add("git")
    return found
