"""What can be logged to a run: each `log_*`, and what captures call beneath it.

A method that users call checks nothing and hands on to the one that captures call: `log_image` to
`image`. That one is given a name, a thing, a step and a time, whatever their types, and never raises.
The methods stand in four files, by what they log; `Recording` is all of them. What is needed for one
kind only is loaded when it is logged for the first time.
"""

from tracelet.intake import Intake
from tracelet.journal.recorder import Recorder
from tracelet.recording.files import Files
from tracelet.recording.media import Media
from tracelet.recording.points import Points
from tracelet.recording.tables import Tables


class Recording(Points, Media, Tables, Files):
    """Everything that can be logged.

    Args:
        recorder: Where points go.
        intake: Where all else goes.
    """

    __slots__ = ("_intake", "_scalar")

    def __init__(self, recorder: Recorder, intake: Intake) -> None:
        self._scalar = recorder.scalar
        self._intake = intake
