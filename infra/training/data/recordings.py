"""Reads recordings of real calls with their truths as utterances.

A folder holds NAME.wav and beside it NAME.truth.json, the call's truth, as `tests/calls` has
them and `pocwhisp evaluate` takes them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from infra.evaluation.truth import Truth, load_truth, truth_file
from infra.training.data.mel import RATE, Audio, log_mel
from infra.training.data.utterances import Utterance

LONGEST = 29.5
"""Seconds: a window has 30, and an utterance longer than this is left out."""


def read_recordings(folder: Path, bands: int) -> Iterator[Utterance]:
    """Every turn of every recording with its truth, without times of words or phones.

    Raises `BrokenTruth` for a file beside a recording that is none.
    """
    for recording in sorted(folder.glob("*.wav")):
        if (truth := truth_file(recording)).exists():
            yield from utterances(channels_of(recording), load_truth(truth), bands)


def utterances(channels: Sequence[Audio], truth: Truth, bands: int) -> Iterator[Utterance]:
    """The turns, each cut from its speaker's channel; of a mono recording, from the only one."""
    for turn in truth.turns:
        channel = channels[("left", "right").index(turn.speaker) % len(channels)]
        audio = channel[round(turn.start_time * RATE) : round(turn.end_time * RATE)]
        if turn.text.strip() and 0 < len(audio) <= LONGEST * RATE:
            yield Utterance(turn.text, log_mel(audio, bands))


def channels_of(path: Path) -> list[Audio]:
    """The channels of a recording of any rate and format, one or two, at 16 kHz."""
    import av  # noqa: PLC0415 - only who reads recordings needs it
    from faster_whisper.audio import decode_audio  # noqa: PLC0415

    with av.open(str(path)) as container:
        is_stereo = container.streams.audio[0].layout.nb_channels > 1
    decoded = decode_audio(str(path), split_stereo=is_stereo)
    return [np.asarray(one) for one in decoded] if is_stereo else [np.asarray(decoded)]
