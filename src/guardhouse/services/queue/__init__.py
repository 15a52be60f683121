"""The queue: tasks that wait for each other, are claimed by one session at a time, and end with a compact record.

`tables` what is kept · `ahead` what a train reads for all its calls · `states` what a task may be, pure · `graph` what waits for what · `tasks` submit,
get, list · `claims` claim, renew, release · `endings` complete, cancel, reopen, erase.
"""

from guardhouse.services.queue.ahead import ending as read_endings
from guardhouse.services.queue.claims import (
    Withheld,
    claim,
    claim_next,
    free,
    give_back,
    held,
    held_by,
    lapse,
    read_ahead,
    release,
    renew,
    seconds_left,
)
from guardhouse.services.queue.endings import Ending, cancel, complete, erase, reopen
from guardhouse.services.queue.graph import (
    MOST_NAMED,
    MOST_NEEDS,
    add_need,
    blockers_of,
    linked,
    needs_of,
    open_descendants,
    remove_need,
)
from guardhouse.services.queue.states import CANCELLED_BY_ORCHESTRATOR, KEPT_CODES, TYPES
from guardhouse.services.queue.tasks import VIEWS, get, listed, place, submit

__all__ = [
    "CANCELLED_BY_ORCHESTRATOR",
    "KEPT_CODES",
    "MOST_NAMED",
    "MOST_NEEDS",
    "TYPES",
    "VIEWS",
    "Ending",
    "Withheld",
    "add_need",
    "blockers_of",
    "cancel",
    "claim",
    "claim_next",
    "complete",
    "erase",
    "free",
    "get",
    "give_back",
    "held",
    "held_by",
    "lapse",
    "linked",
    "listed",
    "needs_of",
    "open_descendants",
    "place",
    "read_ahead",
    "read_endings",
    "release",
    "remove_need",
    "renew",
    "reopen",
    "seconds_left",
    "submit",
]
