"""Whether calls can be answered right now."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from service.api.deps import Services


async def readiness(request: Request, services: Services) -> str | None:
    """What is missing; None for nothing."""
    missing = not_up(await services.engines.statuses())
    if request.app.state.draining:
        return "stopping"
    full = any(client.queue.full for client in services.engines.clients)
    if missing or full:
        return missing or "queue full"
    problem = await services.exposition.jobs_problem()
    return f"jobs: {problem}" if problem else None


def not_up(statuses: list[dict[str, Any] | None]) -> str | None:
    """What the engines still lack; None for nothing."""
    told = [status for status in statuses if status is not None]
    if len(told) < len(statuses):
        return "engine not up"
    for key, words in (("preloading", "preloading "), ("not_loaded", "not loaded: ")):
        if models := [model for status in told for model in status[key]]:
            return words + ", ".join(models)
    problems = [status["jobs_problem"] for status in told if status["jobs_problem"]]
    return f"jobs: {problems[0]}" if problems else None
