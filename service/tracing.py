"""Traces by OpenTelemetry where an endpoint is set; without one nothing of it is imported, and spans cost nothing."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from service import __version__
from service.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SERVICE = "kerascope"
TRACES = "/v1/traces"
# A collector that is away must not hold up the end of the service.
EXPORT_TIMEOUT_S = 3
DELAY_MS = 1000


class Span(Protocol):
    """Makes a span of what a `with` block does, within the current one."""

    def __call__(self, name: str, **attributes: str) -> AbstractContextManager[Any]: ...


def no_span(name: str, **attributes: str) -> AbstractContextManager[Any]:
    """Stands for `span` where there are no traces."""
    return nullcontext()


class Tracing:
    """Sends spans in the background to `endpoint`, the base URL of a collector that takes OTLP over HTTP.

    Raises ConfigurationError where the libraries are not installed. Sampling and resource attributes are set by
    OpenTelemetry's own variables (`OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`).
    """

    def __init__(self, endpoint: str) -> None:
        try:
            import opentelemetry.instrumentation.asgi  # noqa: F401
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            raise ConfigurationError(
                "otlp_endpoint is set, and what sends traces is not installed; install the extra `otel` "
                "(pip install 'kerascope[otel]'), or leave KERASCOPE_OTLP_ENDPOINT empty"
            ) from None
        exporter = OTLPSpanExporter(endpoint.rstrip("/") + TRACES, timeout=EXPORT_TIMEOUT_S)
        resource = Resource.create({"service.name": SERVICE, "service.version": __version__})
        self.provider: TracerProvider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=DELAY_MS))
        self._tracer = self.provider.get_tracer(SERVICE, __version__)

    def span(self, name: str, **attributes: str) -> AbstractContextManager[Any]:
        """Opens a span as `Span` says; the attributes are named `kerascope.<name>`."""
        named = {f"{SERVICE}.{key}": value for key, value in attributes.items()}
        return self._tracer.start_as_current_span(name, attributes=named)

    def stop(self) -> None:
        """Sends what is left; blocks for some seconds at most."""
        self.provider.shutdown()
