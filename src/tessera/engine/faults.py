"""The named places of a task's life where a test may make the process stumble, in the order of their passing.

``kit/faults`` has the machinery and what a plan may say; a place that is not armed costs one look at an empty dict.
"""

from collections.abc import Awaitable, Callable
from typing import Literal, get_args

from tessera.kit import faults
from tessera.kit.faults import Action

Place = Literal[
    "intake.committed",  # tasks are durable, nobody was told yet
    "run.claimed",  # a worker holds the task
    "run.intended",  # the attempt is on record, nothing left the house
    "run.calling",  # at the door
    "run.called",  # the provider has answered, nothing of it is on record
    "run.submitted",  # the upstream id is on record
    "run.ingesting",  # an output is about to be fetched
    "run.fetched",  # an output lies on our disk and not yet in the store
    "run.advanced",  # a stage is on record and will be told, the job goes on
    "run.finishing",  # all is stored, the end is not written
    "run.finished",  # the end is committed, the job is still in the queue
    "callback.sending",  # a try of a delivery is about to leave
    "callback.sent",  # the receiver has answered, the try is not on record
    "callback.recorded",  # the try is on record, the job is still in the queue
    "retention",  # files are gone, their rows do not say so yet
    "drain",  # the process was asked to stop
]

PLACES: tuple[str, ...] = get_args(Place)

reach: Callable[[Place], Awaitable[None]] = faults.reach
arm: Callable[[Place, Action], None] = faults.arm
disarm = faults.disarm
