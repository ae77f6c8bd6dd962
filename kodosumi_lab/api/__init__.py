"""The HTTP gateway over the event log, and the client that speaks to one.

:func:`kodosumi_lab.api.app.create_app` makes the gateway; only modules beside it import
FastAPI. :mod:`kodosumi_lab.api.client` imports neither FastAPI nor Ray.
"""
