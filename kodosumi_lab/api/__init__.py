"""HTTP: the gateway over the event log, its client, and the services that others write with `ServeAPI`.

:func:`kodosumi_lab.api.app.create_app` makes the gateway; only modules beside it import
FastAPI. :mod:`kodosumi_lab.api.client` imports neither FastAPI nor Ray.
"""
