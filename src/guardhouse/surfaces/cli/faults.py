"""Faults on the command line: each in one line of words, and its exit status."""

from __future__ import annotations

from guardhouse.errors import GuardhouseError, InvalidInput, LawFault, SettingsFault
from guardhouse.surfaces.cli import exits, render


def told(error: GuardhouseError) -> int:
    """Say on standard error what went wrong; the status to exit with."""
    if isinstance(error, LawFault):
        for found in error.problems:
            render.say(str(found), "red", stderr=True)
        many = len(error.problems)
        render.say(f"{many} fault{'s' * (many != 1)}: nothing was loaded", "bold red", stderr=True)
        return exits.FAULT
    render.say(f"guardhouse: {error.message}", "bold red", stderr=True)
    if isinstance(error, InvalidInput):
        return exits.USAGE
    if isinstance(error, SettingsFault):
        return exits.UNAVAILABLE
    from guardhouse.surfaces import problem

    return problem.exit_code(error.code)
