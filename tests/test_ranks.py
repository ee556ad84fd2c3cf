"""Only global rank 0 of a job of several processes records."""

import pytest

from tracelet.ranks import global_rank


@pytest.mark.parametrize(
    ("environ", "rank"),
    [
        ({}, 0),
        ({"RANK": "3", "WORLD_SIZE": "4"}, 3),
        ({"RANK": "0", "WORLD_SIZE": "4"}, 0),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"}, 2),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, 1),
        ({"SLURM_PROCID": "5", "SLURM_NTASKS": "8"}, 5),
        ({"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"}, 1),
    ],
)
def test_the_rank_is_what_the_launcher_says(environ: dict[str, str], rank: int) -> None:
    assert global_rank(environ) == rank


@pytest.mark.parametrize(
    "environ",
    [
        {"RANK": "3"},
        {"RANK": "3", "WORLD_SIZE": "1"},
        {"SLURM_PROCID": "3", "SLURM_NTASKS": "1"},
        {"SLURM_PROCID": "3"},
        {"LOCAL_RANK": "3"},
    ],
)
def test_a_rank_without_a_world_around_it_does_not_count(environ: dict[str, str]) -> None:
    """An interactive shell under SLURM has a rank too, and so has a sweep's job array."""
    assert global_rank(environ) == 0


@pytest.mark.parametrize("text", ["", "x", "-1", "2.0", "2(x3)", " "])
def test_what_is_no_number_does_not_count(text: str) -> None:
    assert global_rank({"RANK": text, "WORLD_SIZE": "4"}) == 0
    assert global_rank({"RANK": "3", "WORLD_SIZE": text}) == 0
    assert global_rank({"RANK": "3", "WORLD_SIZE": text, "SLURM_PROCID": "2", "SLURM_NTASKS": "4"}) == 2
