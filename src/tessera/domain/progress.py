"""How far a task is, as a caller sees it."""

import math
from datetime import datetime

from tessera.domain.task import State, Task

USUAL_SECONDS = 20.0
ALMOST = 0.95


def shown(task: Task, now: datetime) -> float:
    """0..1. Where the provider does not say, an estimate that always moves and never arrives by itself."""
    if task.state is State.SUCCEEDED:
        return 1.0
    if task.state is not State.RUNNING or task.started_at is None or task.progress > 0:
        return min(task.progress, 0.99)
    elapsed = max(0.0, (now - task.started_at).total_seconds())
    return ALMOST * (1 - math.exp(-elapsed / USUAL_SECONDS))
