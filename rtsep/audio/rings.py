"""The memory between the audio callback and the hop loop: two rings on stream time, and counters.

Both rings are indexed by absolute frame numbers that advance with the device's clock and never by how full a
ring is. A late reader or writer loses exactly the frames that passed; the delay from input to output is the
same before, during and after an overload.

| word | written by | read by |
| --- | --- | --- |
| IN_WRITE, IN_* | the input callback | hop loop, front |
| OUT_READ, OUT_* | the output callback | hop loop, front |
| IN_READ, OUT_WRITE, NEXT_HOP_AT, HOP_* | hop loop | callbacks, front |
| SOURCE_WRITE, SOURCE_END | reader of a played file | callback |
| the rest | set up before anything runs | all |

Private to `rtsep.audio`: other code asks the engine (`progress`, `telemetry`, `record_tap`).
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit
from numpy.typing import NDArray

from rtsep.audio import bursts
from rtsep.audio.histogram import HISTOGRAM_BINS as HISTOGRAM_BINS
from rtsep.audio.histogram import HISTOGRAM_STEP_NS as HISTOGRAM_STEP_NS
from rtsep.limits import LARGEST_BLOCK, LOWEST_RATE, MAX_SLACK
from rtsep.realtime.atomics import CACHE_LINE, as_pointer

_line = CACHE_LINE

# Written by the input callback.
IN_WRITE = 0 * _line  # frames received
IN_CALLS = IN_WRITE + 1
IN_OVERFLOWS = IN_WRITE + 2  # times the device lost input before its call
IN_BASE_NS = IN_WRITE + 3  # time of frame 0 according to the last call
SOURCE_STARVED = IN_WRITE + 4  # frames of a played file that were not read in time (replaced by silence)
IN_SCRATCH = IN_WRITE + 5  # [2]
# Written by the output callback.
OUT_READ = 1 * _line  # frames played
OUT_CALLS = OUT_READ + 1
OUT_UNDERFLOWS = OUT_READ + 2  # times the device ran dry before its call
OUT_BASE_NS = OUT_READ + 3  # time of frame 0 according to the last call
UNDERRUNS = OUT_READ + 4  # calls for which the hop loop was late
UNDERRUN_FRAMES = OUT_READ + 5  # frames of silence that they caused
OUT_FRAMES = OUT_READ + 6  # size of the last call
CALL_GAP_MAX_NS = OUT_READ + 7  # longest time between two calls
OUT_LAST_NS = 2 * _line  # time of the last call
OUT_SCRATCH = 2 * _line + 1  # [2]
BLOCK = 2 * _line + 3  # frames per call in the output's layout; set up before anything runs
# BLOCK + 1, + 2: see rtsep.audio.callback._count
OUT_LAG = BLOCK + 3  # lag of the output behind its initial layout, in frames; may be negative
OUT_LAG_BEFORE = BLOCK + 4  # lag of the part that fades out
# Written by the hop loop.
IN_READ = 3 * _line  # frames consumed
NEXT_HOP_AT = IN_READ + 1  # IN_WRITE at which the next hop is complete
OUT_WRITE = 4 * _line  # frames produced
HOPS = 5 * _line
LATE_MASKS = HOPS + 1
OVERRUNS = HOPS + 2  # times input was overwritten before it was consumed
LATE_RUN = HOPS + 3  # hops since the last mask in time
RESYNCS = HOPS + 4  # two clocks: times the output position was reset
DRIFT_PPM_BITS = HOPS + 5  # two clocks: measured difference (float64 bits)
RECORD_WRITE = HOPS + 6  # frames written for recorders
HOP_MAX_NS = HOPS + 7  # longest duration of a hop
HOP_SCRATCH = 6 * _line  # [2]
ADDED_BEFORE = HOP_SCRATCH + 2  # two clocks: the ADDED at the last reset of the output position
STOPPED_NS = HOP_SCRATCH + 3  # time during which the hop loop and the whole process stood still
LOOKED_NS = HOP_SCRATCH + 4  # time of its last check of the clock
# Written by the front.
RUN = 7 * _line
SOURCE_WRITE = RUN + 1  # frames of a played file that are ready in the input ring
SOURCE_END = RUN + 2  # its length, once known; silence follows
ADDED = RUN + 3  # two clocks: extra output frames kept ahead, for devices that call in bursts
# Fixed while it runs.
_config = 8 * _line
IN_RING = _config  # address of float32 [ring frames, channels]
IN_CHANNELS = _config + 1  # channels of the engine
IN_DEVICE_CHANNELS = _config + 2  # interleaved channels of the device's blocks
IN_MAP = _config + 3  # address of int64 [channels]: device channel of each
OUT_RING = _config + 4  # address of float32 [ring frames, device channels]
OUT_CHANNELS = _config + 5
RING_FRAMES = _config + 6  # a power of two
HOP_SIGNAL = _config + 7  # semaphore of the hop loop
HAS_SOURCE = _config + 8  # the input is a file: paced by the output
RATE = _config + 9  # Hz, of the input's clock
OUT_RATE = _config + 10  # Hz, of the output's clock
PREFILL = _config + 11  # frames ready at the start; 0: at no fixed distance (two clocks)
HOP = _config + 12  # frames of a hop, or 0 if they vary
MAX_HOP = _config + 13  # maximum frames of a hop
SLACK = _config + 14  # frames, or prefill.CHOSEN
# Also written by the output callback.
OUT_FADE = 10 * _line  # frames of the fade from one layout to the next; 0: none
OUT_FADED = OUT_FADE + 1  # played frames of this fade
OUT_MIXED = OUT_FADE + 2  # 1: recent calls had several sizes
PATIENT = OUT_FADE + 3  # 1: the device waits for rtsep, so no mask needs to be late
# Also written by the input callback.
IN_BLOCK = 11 * _line  # frames per call; set up before anything runs, and by a device that changes it
# Timing of the devices' calls, see rtsep.audio.bursts; written by the output or input callback.
OUT_BURSTS = 12 * _line
IN_BURSTS = OUT_BURSTS + bursts.STATE_SIZE
STATE_SIZE = IN_BURSTS + bursts.STATE_SIZE

NO_END = int(np.iinfo(np.int64).max)
"""Value of SOURCE_END if the end of a played file is unknown."""

RING_SECONDS = 1.5
"""Maximum lag of a stalled hop loop without loss of input, in seconds; also the read-ahead of files."""

LATE_LOG = 4096
"""Number of recent late hops whose numbers are kept."""


_LEAST_FRAMES = 4 * LARGEST_BLOCK

LONGEST_SECONDS = max(2 * RING_SECONDS, _LEAST_FRAMES / LOWEST_RATE)
"""Upper limit of a ring's length in seconds."""


def ring_frames(rate: int) -> int:
    """Return the ring's length in frames: a power of two of at least RING_SECONDS and four largest blocks."""
    return int(2 ** np.ceil(np.log2(max(_LEAST_FRAMES, RING_SECONDS * rate))))


def most_slack(rate: int, out_rate: int) -> int:
    """Return the largest slack, in input frames, that the output ring holds beside blocks and hops.

    Both rings have the length that belongs to the input's rate.
    """
    return min(MAX_SLACK, ring_frames(rate) // 2, ring_frames(rate) * rate // (2 * out_rate))


class Rings:
    """Owner of the memory. Callbacks and hop loop get the address of `state`."""

    def __init__(
        self,
        rate: int,
        channels: int,
        in_map: list[int],
        out_channels: int,
        shared_input: NDArray[np.float32] | None = None,
    ) -> None:
        """Allocate the memory. `shared_input`: the input ring of another engine with the same played file."""
        frames = ring_frames(rate)
        self.state: NDArray[np.int64] = _aligned_state(STATE_SIZE)
        self.input = np.zeros((frames, channels), np.float32) if shared_input is None else shared_input
        self.output = np.zeros((frames, out_channels), np.float32)
        self._in_map = np.array(in_map, np.int64)
        state = self.state
        state[IN_RING] = self.input.ctypes.data
        state[IN_CHANNELS] = channels
        state[IN_DEVICE_CHANNELS] = max(in_map) + 1
        state[IN_MAP] = self._in_map.ctypes.data
        state[OUT_RING] = self.output.ctypes.data
        state[OUT_CHANNELS] = out_channels
        state[RING_FRAMES] = frames
        state[RATE] = state[OUT_RATE] = rate
        state[SOURCE_END] = NO_END
        state[RUN] = 1

    @property
    def slots(self) -> NDArray[np.int64]:
        """Return `state`, by its former name."""
        return self.state


# --- the memory for compiled code; inlined, so that a view costs nothing --------------------------


@njit(inline="always")
def state_at(address: int) -> np.ndarray:
    """Return the state of an engine, int64 [STATE_SIZE], at their address."""
    return carray(as_pointer(address), (STATE_SIZE,), np.int64)


@njit(inline="always")
def frames_at(address: int, frames: int, channels: int) -> np.ndarray:
    """Return interleaved frames, float32 [frames, channels], at their address."""
    return carray(as_pointer(address), (frames, channels), np.float32)


@njit(inline="always")
def input_ring(state: np.ndarray) -> np.ndarray:
    """Return the input ring, float32 [ring frames, channels of the engine]."""
    return frames_at(state[IN_RING], state[RING_FRAMES], state[IN_CHANNELS])


@njit(inline="always")
def output_ring(state: np.ndarray) -> np.ndarray:
    """Return the output ring, float32 [ring frames, output channels]."""
    return frames_at(state[OUT_RING], state[RING_FRAMES], state[OUT_CHANNELS])


@njit(inline="always")
def input_map(state: np.ndarray) -> np.ndarray:
    """Return the device channel of each channel of the engine, int64 [channels]."""
    return carray(as_pointer(state[IN_MAP]), (state[IN_CHANNELS],), np.int64)


def _aligned_state(count: int) -> NDArray[np.int64]:
    raw = np.zeros(count + _line, np.int64)
    skip = (-raw.ctypes.data // 8) % _line
    return raw[skip : skip + count]
