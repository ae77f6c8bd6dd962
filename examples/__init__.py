"""Examples: flows to import in ``examples.flows``, notebooks beside this file."""
