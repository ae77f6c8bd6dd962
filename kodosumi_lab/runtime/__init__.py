"""The way of an event: Runner, Tracer, EventStream, Spooler, EventLog, query, follow."""
