"""The paper's claims on planted hits: every verdict where it is known."""

import numpy as np
import pytest

from mgrec.measure.intervals import Interval, holm, paired
from mgrec.measure.metrics import metric
from mgrec.study.claims import CLAIMS, DOMINANCE, judge
from mgrec.study.claims_page import judged
from mgrec.study.members import Member
from mgrec.study.outcomes import Cost, Outcome
from mgrec.study.studies import (
    EARLY,
    IMAGE,
    LATE,
    SHUFFLED,
    TEXT,
    TO_IMAGE,
    TO_TEXT,
    UNALIGNED,
    UNMARKED,
    WHOLE,
)
from mgrec.study.wording import claims

USERS = 400
RNG = np.random.default_rng(0)
TASTES = RNG.permutation(USERS)  # whom a row that hits n users hits: the first n


def hits(count, first=0):
    """Ranks of a row that puts the targets of some users first, and lists no other target."""
    ranks = np.full(USERS, -1)
    ranks[TASTES[first : first + count]] = 0
    return ranks


def member(name, *ranks, lists=None):
    kept = {} if lists is None else {False: lists}
    outcomes = {s: Outcome({}, {False: r}, Cost(), kept) for s, r in enumerate(ranks)}
    return Member(name, "model", name, name, outcomes, len(ranks))


def lists(shared_with_text, seed):
    """Lists of 20 items of which so many of the first 10 are the text's, items 0 to 9."""
    rng = np.random.default_rng(seed)
    rows = rng.permuted(np.tile(np.arange(100, 200), (USERS, 1)), axis=1)[:, :20]
    rows[:, :shared_with_text] = np.arange(shared_with_text)
    return rows.astype(np.int32)


PLANTED = {
    WHOLE: member("late++", hits(200)),
    LATE: member("late", hits(100)),
    EARLY: member("early", hits(60), lists=lists(7, 1)),
    TEXT: member("text", hits(150), lists=lists(10, 2)),
    IMAGE: member("image", hits(50), lists=lists(3, 3)),
    UNALIGNED: member("no alignment", hits(198)),  # two users of 400 tell nothing
    UNMARKED: member("no token", hits(260)),  # the token costs
    TO_TEXT: member("target text", hits(300)),
    TO_IMAGE: member("target image", hits(120)),
    SHUFFLED: member("shuffled", hits(200)),
}
ANSWERS = {
    "late++ is better than late fusion": "holds",
    "late++ is better than early fusion": "holds",
    "late++ is better than the better single modality": "holds",
    "alignment helps": "undecided",
    "transition tokens help": "does not hold",
    "the text's block alone is an easier target than both": "holds",
    "the image's block alone is an easier target than both": "does not hold",
    DOMINANCE: "holds",
}


def verdicts(rows, **options):
    return {v.claim: v for v in judge("late++", rows, **options).verdicts}


def test_every_planted_answer_is_found():
    found = verdicts(PLANTED)
    assert {claim: verdict.answer for claim, verdict in found.items()} == ANSWERS


def test_differences_are_those_of_the_rows_and_p_is_corrected_over_the_claims():
    found = verdicts(PLANTED)
    assert found["alignment helps"].difference.value == pytest.approx(2 / USERS)
    best = found["late++ is better than the better single modality"]
    assert best.rows == "late++ minus text"
    assert best.difference.value == pytest.approx(50 / USERS)
    raw = paired(*(metric(hits(n), "NDCG@10") for n in (200, 150)))
    assert (best.p, best.difference) == (raw.p, raw.difference)
    assert [v.corrected for v in found.values()] == holm([v.p for v in found.values()])


def test_turned_round_every_claim_that_held_does_not():
    turned = {
        **PLANTED,
        WHOLE: member("late++", hits(20)),
        EARLY: member("early", hits(60), lists=PLANTED[IMAGE].outcomes[0].lists[False]),
        UNALIGNED: member("no alignment", hits(90)),
        TO_TEXT: member("target text", hits(1)),
        TO_IMAGE: member("target image", hits(0)),
    }
    assert {v.answer for v in verdicts(turned).values()} == {"does not hold"}


def test_the_same_rows_leave_everything_undecided():
    same = {variant: member("same", hits(80), lists=lists(5, 1)) for variant in PLANTED}
    found = judge("late++", same)
    assert {v.answer for v in found.verdicts} == {"undecided"}
    assert all(v.difference == Interval(0, 0, 0) for v in found.verdicts)
    assert found.gain.answer == "does not hold"


def test_a_claim_without_its_rows_is_not_tested_and_says_why():
    rows = {v: m for v, m in PLANTED.items() if v not in (EARLY, IMAGE, UNMARKED)}
    found = verdicts(rows, lacking={EARLY: "it needs embeddings", IMAGE: "not done yet"})
    untested = {claim: v.note for claim, v in found.items() if v.answer == "not tested"}
    assert untested == {
        "late++ is better than early fusion": "early: it needs embeddings",
        "late++ is better than the better single modality": "image: not done yet",
        "transition tokens help": "no transition token: not in the grid",
        DOMINANCE: "early: it needs embeddings; image: not done yet",
    }
    assert judge("late++", rows).gain is None
    # What was not tested takes no part in the correction.
    tested = [v for v in found.values() if v.p is not None]
    assert [v.corrected for v in tested] == holm([v.p for v in tested])


def test_a_row_counts_with_all_of_its_seeds_and_stands_beside_those_that_the_other_has():
    rows = {
        WHOLE: member("late++", hits(200), hits(204)),
        LATE: member("late", hits(180)),
        UNALIGNED: member("no alignment", hits(40), hits(60)),
    }
    found = verdicts(rows)
    late, alignment = found[CLAIMS[0].words], found["alignment helps"]
    assert late.by_seed == pytest.approx([20 / USERS])
    assert late.difference.value == pytest.approx((202 - 180) / USERS)
    assert alignment.by_seed == pytest.approx((160 / USERS, 144 / USERS))
    assert alignment.difference.value == pytest.approx((202 - 50) / USERS)
    other = Member("late", "model", "", "", {7: rows[LATE].outcomes[0]})
    assert verdicts({**rows, LATE: other})[CLAIMS[0].words].by_seed == ()


@pytest.mark.parametrize("sign", [1, -1])
def test_what_other_seeds_could_turn_is_undecided_though_all_of_these_agree(sign):
    """Both pairs differ by 60 of 400 users on average, with every seed."""
    steady = member("one", hits(238), hits(240), hits(242)), member("other", *3 * [hits(180)])
    moving = member("one", hits(215), hits(210), hits(295)), member("other", *3 * [hits(180)])
    swaying = (
        member("one", hits(300), hits(180), hits(240)),
        member("other", hits(238), hits(119), hits(183)),
    )
    for pair, answer in (
        (steady, {1: "holds", -1: "does not hold"}[sign]),
        (moving, "undecided"),
        (swaying, "undecided"),
    ):
        whole, unaligned = pair[::sign]
        found = verdicts({WHOLE: whole, UNALIGNED: unaligned})["alignment helps"]
        assert found.difference.value == pytest.approx(sign * 60 / USERS)
        assert all(sign * one > 0 for one in found.by_seed)
        assert found.answer == answer


def test_noise_is_learnt_from_all_rows_and_serves_those_of_one_seed():
    pair = {WHOLE: member("late++", hits(240)), UNALIGNED: member("no alignment", hits(180))}
    quiet, loud = (
        {LATE: member("late", *(hits(90 + n) for n in moves)), TEXT: member("text", hits(9))}
        for moves in ((0, 2, 4, 6), (0, 40, 80, 120))
    )
    answers = [verdicts({**pair, **rest})["alignment helps"].answer for rest in ({}, quiet, loud)]
    assert answers == ["holds", "holds", "undecided"]


def test_answers_are_of_the_corrected_p():
    """Eight users of 400 are told apart by one test, and not by the smallest of seven."""
    same = {variant: member("same", hits(80)) for variant in PLANTED}
    found = verdicts({**same, UNALIGNED: member("no alignment", hits(73))})["alignment helps"]
    assert found.p < 0.05 < found.corrected
    assert found.answer == "undecided"
    alone = {WHOLE: same[WHOLE], UNALIGNED: member("no alignment", hits(73))}
    assert verdicts(alone)["alignment helps"].answer == "holds"


def test_the_better_modality_is_not_held_against_the_claim_for_having_been_picked():
    words = "late++ is better than the better single modality"

    def p(text, image, whole=100):
        rows = {WHOLE: whole, TEXT: text, IMAGE: image}
        return verdicts({v: member(str(n), hits(n)) for v, n in rows.items()})[words].p

    one = {n: paired(*(metric(hits(m), "NDCG@10") for m in (100, n))).p for n in (107, 93, 92)}
    assert p(107, 50) == p(107, 107) == pytest.approx(2 * one[107])
    assert p(93, 92) == p(92, 93) == pytest.approx(one[93])
    # The other one may be the less certain one.
    rest = {WHOLE: hits(100), TEXT: hits(90), IMAGE: hits(80, first=60)}
    found = verdicts({v: member(v.name, ranks) for v, ranks in rest.items()})[words]
    assert found.p == paired(*(metric(rest[v], "NDCG@10") for v in (WHOLE, IMAGE))).p


def test_a_row_that_is_two_variants_tells_of_noise_once():
    moving = member("late", hits(90), hits(110))
    rows = {WHOLE: member("late++", hits(100), hits(104)), LATE: moving, UNALIGNED: moving}
    assert judge("late++", rows).noise.freedom == 2


def test_early_fusions_lists_are_judged_over_users_and_seeds():
    def answer(*closer):
        """Lists that share so many of ten with the text's, and the rest with the image's."""
        seeds = range(len(closer))
        text, image, early = (np.zeros((USERS, 20), np.int32) + 20 * n for n in range(3))
        text, image = (lists + np.arange(20, dtype=np.int32) for lists in (text, image))
        mixed = [early + np.arange(20, dtype=np.int32) for _ in seeds]
        for lists, n in zip(mixed, closer, strict=True):
            lists[:, :n], lists[:, n:10] = text[:, :n], image[:, : 10 - n]
        rows = {TEXT: "text", IMAGE: "image"}
        kept = {TEXT: [text] * len(closer), IMAGE: [image] * len(closer), EARLY: mixed}
        members = {
            v: Member(
                rows.get(v, "early"),
                "model",
                "",
                "",
                {s: Outcome({}, {False: hits(9)}, Cost(), {False: kept[v][s]}) for s in seeds},
            )
            for v in kept
        }
        return verdicts(members)[DOMINANCE]

    assert answer(6).answer == "holds"
    assert answer(7, 7, 8).answer == "holds"
    assert answer(7, 7, 8).by_seed == pytest.approx([0.4, 0.4, 0.6])
    assert answer(6, 6, 9).answer == "undecided"
    assert answer(3, 3, 2).answer == "does not hold"


def test_early_fusion_needs_lists_to_be_judged():
    bare = {**PLANTED, TEXT: member("text", hits(150))}
    found = verdicts(bare)[DOMINANCE]
    assert (found.answer, found.note) == ("not tested", "their lists were not kept")


@pytest.mark.parametrize(
    ("whole", "answer"), [(399, "holds"), (175, "undecided"), (100, "does not hold")]
)
def test_the_headline_is_a_ratio_with_its_interval(whole, answer):
    rows = {**PLANTED, WHOLE: member("late++", hits(whole))}
    gain = judge("late++", rows).gain
    assert gain.rows == "late++ over text"
    assert gain.value.value == pytest.approx(whole / 150 - 1)
    assert gain.value.low < gain.value.value < gain.value.high
    assert gain.answer == answer


def test_the_headline_counts_what_other_seeds_could_bring():
    def gain(*counts):
        whole, text = member("late++", *map(hits, counts)), member("text", *3 * [hits(150)])
        return judge("late++", {**PLANTED, WHOLE: whole, TEXT: text}).gain

    assert gain(250, 252, 254).answer == "holds"
    assert gain(250, 252, 254).by_seed == pytest.approx([100 / 150, 102 / 150, 104 / 150])
    assert gain(160, 252, 344).answer == "undecided"
    assert gain(160, 252, 344).value.value == pytest.approx(gain(250, 252, 254).value.value)
    assert gain(100, 102, 104).answer == "does not hold"
    assert gain(20, 102, 184).answer == "undecided"


def test_the_control_is_judged_apart_and_on_tail_items_too():
    tail = np.isin(np.arange(USERS), TASTES[:40])
    half = hits(200)
    half[TASTES[:25]] = -1  # shuffled images cost 25 of the 40 tail users
    found = judge("late++", {**PLANTED, SHUFFLED: member("shuffled", half)}, tail)
    everywhere, rare = found.control
    assert (everywhere.answer, rare.answer) == ("holds", "holds")
    assert everywhere.difference.value == pytest.approx(25 / USERS)
    assert rare.difference.value == pytest.approx(25 / 40)
    assert found.verdicts == judge("late++", PLANTED).verdicts
    assert [v.answer for v in judge("late++", PLANTED, tail).control] == ["undecided"] * 2
    assert judge("late++", {WHOLE: PLANTED[WHOLE]}, tail).control == ()


def test_tail_items_have_a_noise_of_their_own():
    """Seeds move the tail alone, or all but the tail."""
    tail = np.isin(np.arange(USERS), TASTES[:40])

    def answers(rare, rest):
        def row(name, first):
            found = [hits(n, first) for n in ((40, 30, 35) if rare else (36, 36, 36))]
            for ranks, n in zip(found, (0, 60, 120) if rest else (60, 60, 60), strict=True):
                ranks[TASTES[40:]] = -1
                ranks[TASTES[200 : 200 + n]] = 0
            return member(name, *found)

        rows = {WHOLE: row("late++", 0), SHUFFLED: row("shuffled", 20)}
        return [v.noise.deviation for v in judge("late++", rows, tail).control]

    everywhere, rare = answers(rare=True, rest=False)
    assert rare > 5 * everywhere
    everywhere, rare = answers(rare=False, rest=True)
    assert everywhere > 0.1
    assert rare == pytest.approx(0, abs=1e-12)


def test_the_control_is_corrected_by_itself():
    lost = hits(200)
    lost[TASTES[:7]] = -1
    tail = np.isin(np.arange(USERS), TASTES[100:])
    found = judge("late++", {**PLANTED, SHUFFLED: member("shuffled", lost)}, tail)
    everywhere, rare = found.control
    assert rare.p == 1
    assert everywhere.corrected == pytest.approx(2 * everywhere.p)


def test_the_page_and_the_sentence_say_what_was_found():
    found = judge("late++", PLANTED)
    assert claims(found) == (
        "Of the paper's 8 claims, judged of late++, 5 hold, 2 do not hold and 1 is undecided."
    )
    (section,) = judged([found])
    table, headline, control = section.sheets
    assert [row[:2] for row in table.rows] == list(ANSWERS.items())
    assert headline.rows[0][1] == headline.rows[0][-1] == "+33.3%"
    assert "users alone" in table.about
    several = {**PLANTED, LATE: member("late", hits(98), hits(100), hits(102))}
    (section,) = judged([judge("late++", several)])
    assert "by 0.0050" in section.sheets[0].about
    assert "2 degrees of freedom" in section.sheets[0].about
    assert "over 20%" in headline.rows[0]
    assert control.rows[0][1] == "undecided"
    assert [s.title for s in judged([found, found])] == ["The paper's claims: late++"] * 2
