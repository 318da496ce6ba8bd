from datetime import datetime, timedelta, timezone

import pytest

from cluster.explain.findings import Branch, Finding, Weight, duration_text

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0 s"), (40, "40 s"), (119, "119 s"), (120, "2 min"), (5400, "90 min"), (7300, "2 h")]
)
def test_a_duration_is_said_as_one_says_it(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_a_sentence_names_what_why_since_when_and_what_to_do() -> None:
    finding = Finding(Weight.BROKEN, "Pod a", "has no node", "Make one.", NOW - timedelta(minutes=12))
    assert finding.sentence(NOW) == "Pod a has no node (for 12 min). Make one."


def test_the_tree_marks_the_lines_that_have_a_finding() -> None:
    finding = Finding(Weight.BROKEN, "b", "is ill", "Heal it.")
    tree = Branch("a", (), (Branch("b is ill", (finding,)), Branch("c")))
    assert list(tree.lines()) == ["  a", "  ! b is ill", "    c"]
    assert list(tree.all_findings()) == [finding]
