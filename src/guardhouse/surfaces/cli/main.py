"""The command: every noun in one place, faults turned into one line and a status."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from guardhouse import __version__
from guardhouse.errors import GuardhouseError
from guardhouse.surfaces import problem
from guardhouse.surfaces.cli import exits, faults, render
from guardhouse.surfaces.cli.composition import Composition

_EPILOG = """
[bold]First steps[/bold]

guardhouse init                          a workspace, and your operator token

guardhouse serve                         the gateway, at http://127.0.0.1:8420

guardhouse agents add builder --trust 2  an agent, and its token

guardhouse check "git push --force"      what a guardrail says

guardhouse install claude-code           a guard before an agent's tools

[bold]Exit statuses[/bold]

0 performed, 1 fault found, 64 usage, 69 unavailable, 70 internal,

75 pending, 77 refused; `check`: 0 allow or warn, 10 ask, 20 block.
"""

COMMANDS = (
    "init",
    "serve",
    "mcp",
    "status",
    "install",
    "doctor",
    "report",
    "service",
    "check",
    "call",
    "agents",
    "people",
    "tokens",
    "workspaces",
    "approvals",
    "grants",
    "verdicts",
    "mode",
    "policy",
    "guardrails",
    "ledger",
    "migrate",
    "hook",
    "demo",
)
"""One module a noun, in the order that `--help` shows; each has `register(app)`."""


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"guardhouse {__version__}\n")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The gate that every coordination call of an AI-agent fleet passes."""
    del version


def command_line(nouns: Sequence[str] = COMMANDS) -> typer.Typer:
    """The whole command, or as much of it as these nouns: a command line names one, and the rest costs time to load."""
    app = typer.Typer(
        name="guardhouse",
        help="The gate that every coordination call of an AI-agent fleet passes.",
        epilog=_EPILOG,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for noun in nouns:
        importlib.import_module(f"guardhouse.surfaces.cli.{noun}").register(app)
    return app


def main(composition: Composition, arguments: Sequence[str] | None = None) -> int:
    """Run one command line; its exit status."""
    words = list(arguments) if arguments is not None else sys.argv[1:]
    command = typer.main.get_command(command_line([words[0]] if words and words[0] in COMMANDS else COMMANDS))
    try:
        done = command.main(
            args=words,
            prog_name="guardhouse",
            standalone_mode=False,
            obj=composition,
        )
    except TyperException as error:
        where = getattr(error, "ctx", None)
        if error.format_message():
            render.say(f"guardhouse: {error.format_message()}", "bold red", stderr=True)
            render.say(f"  `{where.command_path if where else 'guardhouse'} --help` shows how", stderr=True)
        if "--json" in words:
            render.print_json(problem.envelope("validation", error.format_message()))
        return exits.USAGE
    except SystemExit:
        # The one that Typer raises itself: whoever read our output has seen enough and closed the pipe.
        return exits.OK
    except (Abort, KeyboardInterrupt):
        render.say("stopped", stderr=True)
        return 130
    except GuardhouseError as error:
        return faults.told(error, json="--json" in words)
    except OSError as error:
        return faults.told(faults.of_system(error), json="--json" in words)
    return done if isinstance(done, int) else exits.OK
