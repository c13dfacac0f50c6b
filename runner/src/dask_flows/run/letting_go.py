"""Let go of what an interrupted step has left half made."""

import traceback
import warnings


def let_go(raised: BaseException) -> None:
    """Close what the frames of an exception hold: contexts that were entered and never registered.

    What complains of not being closed or awaited, because the interruption came in the middle of its
    making, is no news.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traceback.clear_frames(raised.__traceback__)
