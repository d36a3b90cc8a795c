"""A timeline in a browser."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from claw_actors import EntryKind, Status
from claw_actors.drawing import timeline_as_svg, timeline_of

from .conftest import BEGUN, Story, a_state, a_story, an_open_task

SVG = "{http://www.w3.org/2000/svg}"


def svg_of(story, *, tasks=(), now=10, **state):
    timeline = timeline_of(a_state(**state), story.entries, tasks, now=BEGUN + now)
    return timeline_as_svg(timeline)


def read(svg):
    return ET.fromstring(svg)


def texts(svg):
    return [one.text for one in read(svg).iter(f"{SVG}text")]


def test_every_bar_is_drawn_with_its_label_and_its_tooltip():
    """And with what stands beside it; what goes on ends in an arrow."""
    svg = svg_of(a_story(), tasks=[an_open_task()])
    root = read(svg)
    titles = [one.text for one in root.iter(f"{SVG}title")]
    assert titles[1:] == [
        "charge; task, ok; from 2001-09-09T01:46:40Z; to 2001-09-09T01:46:42Z; 2 s  ×3",
        "nursery",
        "nursery/weigh; task, ok; from 2001-09-09T01:46:42Z; to 2001-09-09T01:46:44Z; 2 s",
        "pack",
        "nursery/pack/wrap; task, ok; from 2001-09-09T01:46:42Z; to 2001-09-09T01:46:45Z; 3 s",
        "nursery/pack/print; task, failed; from 2001-09-09T01:46:45Z; to 2001-09-09T01:46:46Z; 1 s  TooHeavy",
        "message address; mark, ok; from 2001-09-09T01:46:45Z; to 2001-09-09T01:46:45Z",
        "sleep; sleep, ok; from 2001-09-09T01:46:46Z; to 2001-09-09T01:46:48Z; 2 s",
        "ship; child, ok; from 2001-09-09T01:46:48Z; to 2001-09-09T01:46:49Z; 1 s  parcel-7",
        "refund; task, open; from 2001-09-09T01:46:48Z; 2 s  running",
    ]
    assert titles[0].startswith("life 2 began between 2001-09-09T01:46:46Z and ")
    labels = ("charge", "weigh", "wrap", "message address", "refund", "2 s  ×3", "life 2")
    assert set(labels) <= set(texts(svg))
    assert len(root.findall(f".//{SVG}path[@class='open']")) == 1


def test_bars_stand_where_their_time_is():
    """The whole is as wide as the span."""
    story = Story()
    story.task("first", 0, 5)
    story.task("second", 5, 10)
    groups = read(svg_of(story, status=Status.COMPLETED, completed_at=BEGUN + 10)).iter(f"{SVG}g")
    first, second = (group.find(f"{SVG}rect").attrib for group in groups)
    assert float(first["x"]) + float(first["width"]) == pytest.approx(float(second["x"]))
    assert float(first["width"]) == pytest.approx(430)


@pytest.mark.parametrize(
    "hostile",
    [
        "</text><script>alert(1)</script>",
        '"><image href="http://example.com/x"/>',
        "]]>&lt;&#x3c;",
        "a\x00\x08\x1b\n\ufffe\ud800\u202e",
    ],
)
def test_hostile_names_stay_text(hostile):
    """They are what the file shows, and nothing of what it does."""
    story = Story()
    story.add("/message", EntryKind.MESSAGE, 1, name=hostile)
    story.task(f"task {hostile}".replace("/", "|"), 1, 2)
    svg = svg_of(story, status=Status.PAUSED, reason=hostile)
    root = read(svg)
    allowed = {"svg", "style", "rect", "line", "text", "g", "title", "path"}
    assert {one.tag.removeprefix(SVG) for one in root.iter()} <= allowed
    assert not [name for one in root.iter() for name in one.attrib if name.startswith("on")]
    assert "href" not in {name for one in root.iter() for name in one.attrib}
    svg.encode()


def test_nothing_comes_from_elsewhere():
    """No script, no font and no picture of another place."""
    svg = svg_of(a_story())
    assert re.findall(r"https?://[^\"]*", svg) == ["http://www.w3.org/2000/svg"]
    assert "prefers-color-scheme: dark" in svg


def test_many_rows_are_lower():
    """Five hundred tasks are a page that one can scroll through."""
    story = Story()
    for n in range(500):
        story.task(f"t{n}", n, n + 3)
    root = read(svg_of(story, now=510, status=Status.COMPLETED))
    assert float(root.get("height")) < 500 * 17 + 200


@pytest.mark.parametrize(
    ("now", "ticks"),
    [
        (0.005, ["+1 ms", "+2 ms"]),
        (10, ["+2 s", "+4 s"]),
        (3_000, ["+10 min 0 s", "+20 min 0 s"]),
        (700_000, ["+2 d 0 h", "+8 d 0 h"]),
        (1e9, ["+2000 d 0 h", "+10000 d 0 h"]),
    ],
)
def test_ticks_are_lengths_that_people_count_in(now, ticks):
    """At most nine of them, beginning with 0; never that alone."""
    svg = svg_of(Story(), now=now, status=Status.PENDING)
    found = [text for text in texts(svg) if text == "0" or text.startswith("+")]
    assert found[0] == "0"
    assert 2 <= len(found) / 2 <= 9
    assert set(ticks) <= set(found)
