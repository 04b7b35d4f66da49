"""The functions: parse the event, call the engine, publish."""
