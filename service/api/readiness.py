"""Whether calls can be answered right now."""

from __future__ import annotations

from fastapi import Request

from service.api.deps import Services


async def readiness(request: Request, services: Services) -> str | None:
    """What is missing; None for nothing."""
    statuses = await services.engines.statuses()
    waiting = [model for status in statuses if status for model in status["preloading"]]
    full = any(client.queue.full for client in services.engines.clients)
    reasons = {
        "stopping": request.app.state.draining,
        "engine not up": None in statuses,
        f"preloading {', '.join(waiting)}": bool(waiting),
        "queue full": full,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)
