"""What Prometheus is told: counted as calls come, or looked up for each scrape. No label comes from a caller."""

from service.metrics.calls import CallMetrics
from service.metrics.exposition import Exposition

__all__ = ["CallMetrics", "Exposition"]
