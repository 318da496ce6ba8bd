"""What a process notes about itself, on clocks that the test owns."""

from __future__ import annotations

import pytest

from loadtest.pulse import PulseTaker


class Machine:
    """A monotonic clock and CPU seconds; every nap takes a tenth of a second longer than asked."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.cpu_s = 0.0
        self.naps = 0

    def sleep(self, nap_s: float) -> None:
        self.naps += 1
        if self.naps > 20:
            raise StopIteration
        self.now_s += nap_s + 0.1
        self.cpu_s += (nap_s + 0.1) / 2


def test_lag_is_what_a_nap_took_too_long_and_cpu_a_share_of_each_second() -> None:
    machine = Machine()
    taker = PulseTaker("p", monotonic=lambda: machine.now_s, cpu=lambda: machine.cpu_s, sleep=machine.sleep)
    with pytest.raises(StopIteration):
        taker._run()
    pulse = taker.stop()
    assert pulse.lag_s == pytest.approx([0.1] * 20)
    assert pulse.cpu_share == pytest.approx([0.5, 0.5])
