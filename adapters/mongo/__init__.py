"""MongoDB behind the ports of the archive; motor is known here and nowhere else."""

from adapters.mongo.archive import MongoArchive

__all__ = ["MongoArchive"]
