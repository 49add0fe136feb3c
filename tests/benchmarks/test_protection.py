"""The cost of limiter and guard is measured on parts that are on and at work."""

import re

from benchmarks import __main__ as command
from benchmarks import protection


def test_a_line_for_each_part_with_its_cost(capsys, monkeypatch):
    made = []

    def noted(make):
        return lambda *arguments: made.append(make(*arguments)) or made[-1]

    monkeypatch.setattr(protection, "make_limiter", noted(protection.make_limiter))
    monkeypatch.setattr(protection, "make_feedback_guard", noted(protection.make_feedback_guard))
    assert command.main(["protection", "--hops", "500", "--runs", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    costs = {line.split(":")[0]: float(re.search(r": ([\d.]+) us a hop", line)[1]) for line in lines}
    assert list(costs) == ["limiter, below full scale", "limiter, at work", "feedback guard"]
    assert all(0 < cost < 1000 for cost in costs.values())
    guard, below, at_work = made
    assert guard.on[0]
    assert (below.limited[0], at_work.limited[0] > 0) == (0, True)
