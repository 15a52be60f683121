"""Faults on the command line: each in one line of words, and its exit status."""

from __future__ import annotations

import os

from guardhouse.errors import GuardhouseError, InvalidInput, LawFault, SettingsFault
from guardhouse.surfaces.cli import exits, render


def of_system(error: OSError) -> SettingsFault:
    """What the system refused (a file that is somebody else's, a full disk), as a fault that names it and says what to do."""
    from guardhouse.storage import private

    named = f"`{os.fspath(error.filename)}`: " if isinstance(error.filename, (str, os.PathLike)) else ""
    return SettingsFault(f"{named}{private.refused(error)}")


def told(error: GuardhouseError, *, json: bool = False) -> int:
    """Say on standard error what went wrong, with `json` the envelope on standard output too; the status to exit with."""
    if json:
        from guardhouse.surfaces import problem

        fields = (
            [{"field": one.file, "problem": str(one)} for one in error.problems] if isinstance(error, LawFault) else []
        )
        envelope = problem.of_error(error, "")
        if fields:
            envelope["error"]["fields"] = fields
        render.print_json(envelope)
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
