"""The table of one run: which baselines stand beside it, under which names."""

from mgrec import Recommender
from mgrec.study.results import fit_baselines


def test_neighbours_by_shuffled_pictures_say_so(data, tiny):
    made = Recommender.fit(data, tiny("late++", "training.epochs=1", "content.shuffle=[image]"))
    found = fit_baselines(made, made.split(), trained=False)
    assert list(found) == [
        "popularity",
        "item-kNN on text",
        "item-kNN on image, image shuffled",
        "item-kNN on both, image shuffled",
    ]
