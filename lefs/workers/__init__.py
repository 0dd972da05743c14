"""Long work, behind the method: a sample in batches, on workers that may die, kept in a folder, with a bar.

How work is cut into chunks depends on its parameters alone, and results are taken in order, so that they are
the same bit for bit whatever the number of workers and whoever comes first.
"""

from lefs.workers.checkpoints import Checkpoint
from lefs.workers.chunks import Chunks, map_chunks
from lefs.workers.pools import check_executor, processes
from lefs.workers.samples import Sample

__all__ = ["Checkpoint", "Chunks", "Sample", "check_executor", "map_chunks", "processes"]
