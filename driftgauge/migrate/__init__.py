"""From SageMaker Model Monitor's schedules and job definitions to monitor files.

``read_documents`` sorts what SageMaker's Describe operations return into ``Original``s, ``migrate``
writes the monitor that reproduces one, and says what has no equivalent.
"""

from driftgauge.migrate.documents import Original, read_documents
from driftgauge.migrate.monitor import Migrated, migrate, migrate_all
from driftgauge.migrate.remarks import Note

__all__ = ["Migrated", "Note", "Original", "migrate", "migrate_all", "read_documents"]
