"""The texts of a planted world: descriptions whose *topic* is all that they tell.

Every phrase belongs to one topic or to none; no word names a colour, a shape or a pattern.
"""

from dataclasses import dataclass

import numpy as np

Phrases = tuple[str, ...]


@dataclass(frozen=True)
class Topic:
    """What there is to say about one pastime.

    Attributes
    ----------
    name : str
    things : tuple of str
        What an item may be, without an article.
    tasks : tuple of str
        What it is for: "sowing early salads".
    people : tuple of str
        Who uses it, in the plural.
    places : tuple of str
        Where: "in the greenhouse".
    """

    name: str
    things: Phrases
    tasks: Phrases
    people: Phrases
    places: Phrases


def describe(topic: Topic, rng: np.random.Generator) -> str:
    """Write four sentences about an item of a topic."""
    thing, people, place = (
        _some(rng, phrases)[0] for phrases in (topic.things, topic.people, topic.places)
    )
    task, second, third = _some(rng, topic.tasks, 3)
    words = {
        "thing": thing,
        "a_thing": f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}",
        "task": task,
        "second": second,
        "third": third,
        "people": people,
        "place": place,
    }
    sentences = [_some(rng, frames)[0].format(**words) for frames in (_OPENINGS, _USES, _PRAISE)]
    sentences.insert(int(rng.integers(1, 4)), _some(rng, _NEUTRAL)[0])
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def entitle(rng: np.random.Generator) -> str:
    """Invent a name that means nothing: "Velora 37"."""
    syllables = [_some(rng, _SYLLABLES)[0] for _ in range(int(rng.integers(2, 4)))]
    return f"{''.join(syllables).capitalize()} {rng.integers(10, 100)}"


def _some(rng: np.random.Generator, phrases: Phrases, n: int = 1) -> list[str]:
    """Draw n different phrases."""
    return [phrases[i] for i in rng.choice(len(phrases), n, replace=False)]


_OPENINGS = (
    "{a_thing} for {task}.",
    "this {thing} was made for {people}.",
    "{a_thing} that earns its keep {place}.",
    "a dependable {thing}, at its best when {task}.",
    "meet the {thing} that {people} asked for.",
)
_USES = (
    "it makes {second} easier, and {third} too.",
    "{people} reach for it when {second} or {third}.",
    "use it for {second} or {third}.",
    "good for {second}, and just as good for {third}.",
    "made with {second} in mind, it helps with {third} as well.",
)
_PRAISE = (
    "tried out {place} by people who know.",
    "a welcome gift for anybody who enjoys {task}.",
    "many keep one {place}.",
    "popular with {people}.",
    "after a year of use {place} it still does its job.",
)
_NEUTRAL = (
    "spare parts are kept in stock.",
    "a short printed guide is in the box.",
    "two years of guarantee are included.",
    "it arrives ready to use.",
    "packed by hand and sent within two days.",
    "returns are free for a month.",
    "the maker is a small family firm.",
    "no tools are needed to set it up.",
    "it comes in recycled packaging.",
    "help is a phone call away.",
)
_SYLLABLES = ("ve", "lo", "ra", "mi", "ne", "ta", "ko", "su", "ri", "da", "fe", "lu", "no", "pa")


def _topic(name: str, things: str, tasks: str, people: str, places: str) -> Topic:
    """Take phrases as lists in words: "watering can, hand trowel"."""
    lists = (tuple(phrases.split(", ")) for phrases in (things, tasks, people, places))
    return Topic(name, *lists)


TOPICS = (
    _topic(
        "gardening",
        "watering can, hand trowel, seed tray, compost sieve, pair of pruning shears, raised "
        "vegetable bed, plant trellis, garden kneeler",
        "sowing early salads, repotting seedlings, pruning roses, weeding the borders, "
        "turning compost, growing tomatoes, planting bulbs, mulching the vegetable patch",
        "gardeners, allotment keepers, rose growers",
        "in the greenhouse, on the allotment, among the flower beds, in the potting shed",
    ),
    _topic(
        "sailing",
        "mooring rope, bilge pump, life jacket, winch handle, tide almanac, masthead wind "
        "vane, anchor chain, waterproof chart case",
        "hoisting the mainsail, reefing in a gale, mooring at the quay, tacking upwind, "
        "reading nautical charts, crossing the bay by boat, trimming the jib, anchoring "
        "overnight",
        "sailors, yacht skippers, dinghy crews",
        "on deck, in the harbour, below in the cabin, out at sea",
    ),
    _topic(
        "astronomy",
        "refractor telescope, planetary eyepiece, planisphere, tracking mount, star atlas, "
        "finder scope, moon filter, observing logbook",
        "finding distant galaxies, watching the moons of Jupiter, observing nebulae, "
        "following a comet, timing a lunar eclipse, splitting double stars, learning the "
        "constellations, photographing Saturn",
        "astronomers, stargazers, observatory volunteers",
        "under the night sky, at the observatory, on a hilltop after midnight, beside the "
        "telescope",
    ),
    _topic(
        "baking",
        "bread tin, rolling pin, sourdough starter jar, stand mixer, proving basket, cake "
        "stand, flour sifter, oven thermometer",
        "kneading dough, proving sourdough, icing a birthday cake, baking croissants, "
        "whisking egg whites, rolling out pastry, weighing flour and sugar, making biscuits",
        "home bakers, pastry cooks, bread makers",
        "in the kitchen, beside the oven, at the bakery, on the baking shelf",
    ),
    _topic(
        "cycling",
        "bicycle pump, saddle bag, chain cleaner, puncture repair kit, bike helmet, handlebar "
        "computer, pair of clipless pedals, workshop bike stand",
        "climbing mountain passes by bike, commuting on two wheels, fixing a flat tyre, "
        "oiling the chain, touring with panniers, sprinting for the finish, adjusting the "
        "derailleur, riding gravel tracks",
        "cyclists, bike commuters, touring riders",
        "on the road bike, in the peloton, along the cycle path, in the bike shed",
    ),
    _topic(
        "pottery",
        "potter's wheel, bag of stoneware clay, glaze brush, electric kiln, trimming tool, "
        "clay wire cutter, wedging board, kiln thermometer",
        "throwing bowls on the wheel, glazing mugs, firing stoneware, wedging clay, trimming "
        "a foot, hand-building vases, pulling handles, loading the kiln",
        "potters, ceramic artists, clay beginners",
        "in the pottery studio, next to the kiln, at the potter's wheel, on the drying rack",
    ),
    _topic(
        "fishing",
        "fly rod, spinning reel, tackle box, landing net, pair of chest waders, bait bucket, "
        "box of trout flies, bite alarm",
        "casting for trout, tying flies, landing a big carp, baiting the hook, fishing for "
        "pike, reeling in salmon, ledgering in deep water, unhooking the catch gently",
        "anglers, fly fishers, carp fishers",
        "on the riverbank, by the trout stream, at the carp lake, beside the weir",
    ),
    _topic(
        "music",
        "acoustic guitar, metronome, violin bow, piano stool, set of guitar strings, music "
        "stand, clarinet reed case, chromatic tuner",
        "practising scales, tuning a guitar, rehearsing a string quartet, learning piano "
        "pieces, playing jazz chords, sight-reading sheet music, accompanying a choir, "
        "recording a melody",
        "musicians, piano pupils, guitar players",
        "in the rehearsal room, on the concert stage, beside the piano, in the orchestra pit",
    ),
    _topic(
        "camping",
        "two-person tent, sleeping bag, camping stove, inflatable sleeping mat, headlamp, "
        "hammock, storm lantern, folding camp chair",
        "pitching a tent, sleeping under canvas, cooking over a campfire, hiking with a "
        "rucksack, boiling water on the trail, wild camping in the hills, keeping warm in a "
        "bivouac, packing for a backcountry trip",
        "campers, backpackers, scout leaders",
        "at the campsite, around the campfire, in the wilderness, inside the tent",
    ),
    _topic(
        "sewing",
        "sewing machine, pair of dressmaking scissors, pincushion, embroidery hoop, tape "
        "measure, thread organiser, seam ripper, tailor's dummy",
        "hemming trousers, quilting a blanket, threading a needle, stitching buttonholes, "
        "taking in a dress, embroidering initials, cutting out fabric, mending torn seams",
        "dressmakers, quilters, tailors",
        "in the sewing room, at the tailor's bench, next to the sewing machine, at the "
        "quilting club",
    ),
    _topic(
        "chess",
        "tournament chess clock, book of endgames, chess computer, opening repertoire, travel "
        "chess set, score pad, collection of tactics puzzles, set of weighted chessmen",
        "studying the Sicilian defence, solving mate-in-three puzzles, playing blitz games, "
        "preparing for a tournament, practising rook endgames, analysing grandmaster games, "
        "sacrificing the queen, learning to castle in time",
        "chess players, club captains, correspondence players",
        "at the chess club, during a tournament, across the chessboard, in the analysis room",
    ),
    _topic(
        "beekeeping",
        "bee smoker, hive tool, honey extractor, beekeeping veil, frame of beeswax, queen "
        "marking cage, nuc box, uncapping fork",
        "inspecting the hive, harvesting honey, catching a swarm, feeding bees in winter, "
        "uncapping the combs, raising queens, treating for varroa mites, bottling the honey "
        "crop",
        "beekeepers, apiary owners, honey producers",
        "at the apiary, beside the hives, in the honey house, near the heather moor",
    ),
)
