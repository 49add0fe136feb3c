"""Everything fades out before devices go, and fades in on new ones."""

import numpy as np

from rtsep.audio import rings as r
from rtsep.audio.desk import FADE_S, Desk
from rtsep.audio.rings import Rings
from tests.audio.test_desk import call_desk

FADE = round(FADE_S * 44100)


def test_hush_fades_out_for_good_and_a_new_desk_may_fade_in():
    rings = Rings(44100, 1, [0], 1)
    rings.output[:] = 1
    rings.slots[r.OUT_WRITE] = 1 << 40
    desk = Desk(rings.slots, 44100, 1)

    def played(count: int) -> np.ndarray:
        block, out = np.zeros((count, 1), np.float32), np.full((count, 1), np.nan, np.float32)
        call_desk(desk.slots, block, out)
        return out[:, 0]

    np.testing.assert_array_equal(played(100), 1)
    desk.hush()
    assert not desk.hushed
    falling = np.concatenate([played(500) for _ in range(-(-FADE // 500))])
    np.testing.assert_allclose(falling[:FADE], 1 - (np.arange(FADE) + 1) / FADE, atol=1e-6)
    assert desk.hushed and not played(64).any()

    desk = Desk(rings.slots, 44100, 1, fade_in=True)
    rising = played(FADE + 100)
    np.testing.assert_allclose(rising[:FADE], (np.arange(FADE) + 1) / FADE, atol=1e-6)
    np.testing.assert_array_equal(rising[FADE:], 1)
