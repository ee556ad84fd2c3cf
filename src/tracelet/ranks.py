"""Which process of a training job this is: only global rank 0 records a run."""

from collections.abc import Mapping
from typing import Final

_VARIABLES: Final = (
    ("RANK", "WORLD_SIZE"),  # torchrun, Lightning
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI
    ("SLURM_PROCID", "SLURM_NTASKS"),  # srun
)


_LOCAL: Final = ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK")  # all that Lightning gives its children


def global_rank(environ: Mapping[str, str]) -> int:
    """Read this process's global rank; 0 where there is only one process.

    A rank counts only beside a world size above 1: an interactive SLURM shell has a rank too. Where
    only a local one is known, any process but the first of the first node is given a rank above 0.
    """
    for rank, size in _VARIABLES:
        if rank in environ and _number(environ, size) > 1:
            return _number(environ, rank)
    if _number(environ, "WORLD_SIZE") > 1:
        return sum(_number(environ, name) for name in _LOCAL)
    return 0


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    return int(text) if text.isdecimal() else 0
