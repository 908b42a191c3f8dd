"""How much of a GPU is taken, whatever the model and the GPU."""

from hypothesis import given
from hypothesis import strategies as st

from functions.transcribe.whisper.memory import FILL, LARGEST_BATCH, SPARE, Shape, Share, share

GIB = 2**30
LARGE = Shape(weights=3 * GIB, width=1_280, layers=32)
TINY = Shape(weights=75 * 2**20, width=384, layers=4)

TOTALS = st.integers(GIB // 4, 200 * GIB)
FRACTIONS = st.floats(0.05, 1)
SHAPES = st.sampled_from([TINY, Shape(145 * 2**20, 512, 6), LARGE])
BEAMS = st.integers(1, 10)


def at_once(own: Share) -> int:
    return own.batch * own.instances


@given(TOTALS, FRACTIONS, SHAPES, BEAMS)
def test_no_more_than_the_fraction_is_taken(
    total: int, fraction: float, shape: Shape, beam: int
) -> None:
    own = share(total, fraction, shape, beam)
    needed = shape.weights * SPARE + at_once(own) * shape.window(beam)
    assert at_once(own) == 1 or needed <= total * fraction


@given(TOTALS, FRACTIONS, SHAPES, BEAMS)
def test_there_is_always_room_for_a_window_and_never_for_endless_many(
    total: int, fraction: float, shape: Shape, beam: int
) -> None:
    own = share(total, fraction, shape, beam)
    assert 1 <= own.batch <= LARGEST_BATCH
    assert own.instances in {1, 2}


@given(TOTALS, TOTALS, FRACTIONS, SHAPES, BEAMS)
def test_more_memory_never_means_fewer_windows(
    one: int, other: int, fraction: float, shape: Shape, beam: int
) -> None:
    less, more = (share(total, fraction, shape, beam) for total in sorted((one, other)))
    assert at_once(less) <= at_once(more)


@given(TOTALS, FRACTIONS, SHAPES, BEAMS, BEAMS)
def test_a_wider_beam_never_means_more_windows(
    total: int, fraction: float, shape: Shape, one: int, other: int
) -> None:
    narrow, wide = (share(total, fraction, shape, beam) for beam in sorted((one, other)))
    assert at_once(narrow) >= at_once(wide)


@given(BEAMS)
def test_a_larger_model_needs_more_for_a_window(beam: int) -> None:
    assert TINY.window(beam) < LARGE.window(beam)


def test_a_large_gpu_holds_full_batches_of_the_largest_model() -> None:
    own = share(80 * GIB, 0.8, LARGE, 5)
    assert own.instances == 2
    assert own.batch >= FILL


def test_a_small_gpu_holds_one_instance() -> None:
    assert share(6 * GIB, 0.8, LARGE, 5).instances == 1
