"""The check: planted faults are counted, and said in words."""

import json

import numpy as np
import polars as pl
import pytest

from mgrec.configs import SplitConfig
from mgrec.data.dataset import Dataset
from mgrec.errors import DataError
from mgrec.study import check_page
from mgrec.study.check import Check, check
from mgrec.study.forecast import Forecast, Stage


def dataset(rows, items=None, timed=True, **settings) -> Dataset:
    log = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    frame = pl.DataFrame({"item_id": list(range(10))}) if items is None else items
    return Dataset.from_frames(frame, log if timed else log.drop("timestamp"), **settings)


def found(result: Check) -> dict[str, tuple[int, int]]:
    return {finding.name: (finding.count, finding.of) for finding in result.findings}


# User 1 takes item 0 again at last; users 2 and 3 do the same, 2's last two at one moment;
# user 4 ends with an item that nobody else has.
ROWS = [
    *[(1, 0, 0), (1, 1, 1), (1, 2, 2), (1, 0, 3)],
    *[(2, 5, 0), (2, 1, 1), (2, 2, 1)],
    *[(3, 5, 86400), (3, 1, 86401), (3, 2, 86402)],
    *[(4, 2, 0), (4, 1, 1), (4, 2, 2), (4, 9, 3)],
    *[(5, 2, 0)],
]


class TestFindings:
    def test_planted_leaks_are_counted(self):
        texts = ["x", "x", "y", None, None, "x", "", "", "z", "w"]
        items = pl.DataFrame({"item_id": list(range(10)), "text": texts})
        result = check(dataset(ROWS, items), SplitConfig())
        assert found(result) == {
            "target_in_history": (1, 4),
            "cold_targets": (1, 4),
            "tied_last_two": (1, 4),
            "same_sequences": (2, 5),
            "same_texts": (3, 6),
        }
        text = check_page.text(result)
        assert "test targets that are in the user's own history: 1 of 4 (25.0%)" in text
        assert "not found" not in text

    def test_what_was_not_found_is_named(self):
        rows = [(u, (u + i) % 10, i) for u in range(4) for i in range(6)]
        items = pl.DataFrame({"item_id": list(range(10)), "text": list("abcdefghij")})
        result = check(dataset(rows, items), SplitConfig())
        counts = {name: count for name, (count, _) in found(result).items()}
        assert counts.pop("cold_targets") == 2  # items 7 and 8: only the last two users come so far
        assert set(counts.values()) == {0}
        assert "looked for and not found: target in history, tied last two" in check_page.text(
            result
        )

    def test_what_cannot_be_looked_for_is_not_called_absent(self):
        result = check(dataset(ROWS, timed=False), SplitConfig(kind="none"))
        assert found(result)["tied_last_two"] == found(result)["target_in_history"] == (0, 0)
        line = next(line for line in check_page.text(result).splitlines() if "could not be" in line)
        assert "tied last two" in line
        assert "target in history" in line

    def test_sequences_are_the_same_only_as_a_whole_in_order_and_from_three_on(self):
        sequences = [[1, 2, 3], [3, 2, 1], [1, 2, 3, 4], [1, 2, 2], [5], [5], [6, 7], [6, 7]]
        rows = [(user, item, t) for user, s in enumerate(sequences) for t, item in enumerate(s)]
        assert found(check(dataset(rows), SplitConfig()))["same_sequences"][0] == 0


class TestNumbers:
    def test_counts_histories_and_repeats(self):
        result = check(dataset(ROWS), SplitConfig())
        assert result.counts["users"] == 5
        assert result.counts["interactions"] == 15
        assert result.counts["train"] == 2 + 1 + 1 + 2 + 1
        assert result.counts["validation"] == result.counts["test"] == 4
        assert result.counts["short_users"] == 1
        assert result.repeats == pytest.approx(2 / 15)  # user 1's item 0, user 4's item 2
        assert list(result.history.values()) == sorted(result.history.values())
        assert result.history["shortest"] == 1
        assert result.history["median"] == 3
        assert result.history["longest"] == 4
        assert result.period == ("1970-01-01 00:00:00", "1970-01-02 00:00:02")

    def test_popularity(self):
        # Item 0 takes 91 of 100 interactions, items 1 to 9 one each, item 10 none.
        rows = [(u, 0, 0) for u in range(91)] + [(i, i, 1) for i in range(1, 10)]
        items = pl.DataFrame({"item_id": list(range(11))})
        result = check(dataset(rows, items), SplitConfig())
        assert result.popularity["top_1_percent"] == pytest.approx(0.91)
        assert result.popularity["top_10_percent"] == pytest.approx(0.91)
        assert result.popularity["never"] == 1
        assert result.popularity["rare_in_train"] == 10

    def test_rejects_are_told(self):
        result = check(dataset([*ROWS, (6, 77, 0)]), SplitConfig())
        assert result.counts["unknown_item_rows"] == 1
        assert (
            "left out: 1 of 16, different items: 1 (first: interactions, row 16: 77)"
            in check_page.text(result)
        )

    def test_modalities_say_source_missing_and_shared(self):
        data = dataset(
            ROWS,
            pl.DataFrame({"item_id": list(range(10)), "text": ["a"] * 4 + [None] * 6}),
            embeddings={"text": ([0, 1, 2], np.array([[1.0, 2], [1, 2], [3, 4]]))},
            codes={"sound": (range(10), np.arange(20).reshape(10, 2))},
        )
        text, sound = check(data, SplitConfig()).modalities
        assert (text.name, text.sources) == ("text", ("embeddings", "words"))
        assert (text.missing, text.same) == (7, 2)
        assert (sound.name, sound.sources) == ("sound", ("codes",))
        assert (sound.missing, sound.same) == (0, 0)
        page = check_page.text(check(data, SplitConfig()))
        assert "items that have it: 3 of 10, that lack it and are kept: 7" in page

    def test_events_are_in_the_page(self):
        log = pl.DataFrame({"user_id": [1] * 3, "item_id": [1] * 3, "event": ["buy", "see", "see"]})
        result = check(Dataset.from_frames(None, log), SplitConfig())
        assert result.events == {"see": 2, "buy": 1}
        assert "see 2, buy 1" in check_page.text(result)


class TestOrder:
    def test_the_page_begins_with_the_order_and_its_ties(self):
        lines = check_page.text(check(dataset(ROWS), SplitConfig())).splitlines()
        assert "ordered by time (column 'timestamp'" in lines[1]
        assert "2 of 15 have the same time as another one of the same user" in lines[1]
        lines = check_page.text(check(dataset(ROWS, timed=False), SplitConfig())).splitlines()
        assert "not by time: it has no column 'timestamp'" in lines[1]


class TestFace:
    @pytest.mark.parametrize("kind", ["leave_one_out", "global_time", "none"])
    def test_every_split_gives_json_and_a_page(self, kind):
        stages = (Stage("training", "steps", 600, 600, 0.3),)
        forecast = Forecast(stages, epochs=(5, 5), memory=10**9)
        result = check(dataset(ROWS), SplitConfig(kind=kind), forecast=forecast)
        assert json.loads(json.dumps(result.to_dict()))["counts"]["items"] == 10
        assert "about 3 min; 1.0 GB" in check_page.text(result)
        assert kind in check_page.text(result)
        assert max(map(len, check_page.text(result).splitlines())) < 400

    def test_a_dataset_of_nothing_but_one_click(self):
        result = check(dataset([(1, 1, 0)]), SplitConfig())
        assert result.forecast is None
        assert "Forecast" not in check_page.text(result)
        assert "users: 1, items: 10, interactions: 1" in check_page.text(result)

    def test_a_split_that_is_not_possible_is_refused(self):
        with pytest.raises(DataError, match="timestamp"):
            check(dataset(ROWS, timed=False), SplitConfig(kind="global_time"))
