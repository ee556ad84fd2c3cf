"""Which process of a training job this is: only global rank 0 records a run."""

from collections.abc import Mapping
from typing import Final

_VARIABLES: Final = (
    ("RANK", "WORLD_SIZE"),  # torchrun, Lightning
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI
    ("SLURM_PROCID", "SLURM_NTASKS"),  # srun
)


def global_rank(environ: Mapping[str, str]) -> int:
    """Read this process's global rank; 0 where there is only one process.

    A rank counts only beside a world size above 1: an interactive SLURM shell has a rank too.
    """
    for rank, size in _VARIABLES:
        if _number(environ, size, 1) > 1:
            return _number(environ, rank, 0)
    return 0


def _number(environ: Mapping[str, str], name: str, otherwise: int) -> int:
    text = environ.get(name, "")
    return int(text) if text.isdecimal() else otherwise
