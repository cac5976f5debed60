"""The routers, a file a resource, in the order in which their paths are tried and the document names them."""

from service.api.routes import explain, health, jobs, kserve_v1, methods, models, open_inference, pages, uploads

ROUTERS = (
    health.router,
    methods.router,
    explain.router,
    models.router,
    kserve_v1.router,
    open_inference.router,
    uploads.router,
    jobs.router,
    pages.router,
)
