"""Two workers that are killed again and again, half of them replaced by others: every job ends right, once."""

from __future__ import annotations

import random
import time

import pytest

from service.jobs.config import JobsConfig
from service.jobs.jobs import Jobs
from tests.jobs.helpers import Workers, count, counted

JOBS = 18
KILLS = 8
STEPS = 50


@pytest.mark.timeout(120)
@pytest.mark.soak
def test_chaos(config: JobsConfig, jobs: Jobs, workers: Workers) -> None:
    dice = random.Random(1)
    names = ["worker-0", "worker-1"]
    for name in names:
        workers.start(config, name)
    made = [count(jobs, STEPS) for _ in range(JOBS)]
    began = time.monotonic()
    kills = 0
    while not all(job.state.final for job in jobs.list(None)):
        assert time.monotonic() - began < 90
        if kills < KILLS:
            time.sleep(dice.uniform(0.3, 1.2))
            name = names.pop(dice.randrange(2))
            workers.kill(name)
            kills += 1
            names.append(name if dice.random() < 0.5 else f"worker-{kills + 1}")
            workers.start(config, names[-1], ready=False)
        time.sleep(0.1)
    assert kills == KILLS
    states = [jobs.get(job.id, None) for job in made]
    assert [state.error for state in states] == [None] * JOBS
    results = [counted(jobs, job) for job in made]
    assert [total for total, _ in results] == [STEPS] * JOBS
    for _, starts in results:
        went_on_from = [step for step, _ in starts]
        assert went_on_from == sorted(went_on_from)
    assert max(state.attempts for state in states) >= 2
    assert sum(len(starts) > 1 for _, starts in results) >= 1
