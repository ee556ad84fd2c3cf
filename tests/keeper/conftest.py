"""What the keeper's tests get: trainers."""

from tests.keeper.trainers import train

__all__ = ["train"]
