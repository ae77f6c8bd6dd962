"""HTTP: the gateway over the event log, its client, and the services that others write with `ServeAPI`."""
