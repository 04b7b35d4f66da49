"""driftgauge: the engine that profiles captured inference, measures drift and decides."""

__version__ = "0.1.0"
