"""The voices of the synthesisers, drawn at random."""

import random
from collections.abc import Sequence
from functools import cache

from infra.training.speech.espeak import Espeak
from infra.training.speech.flite import PITCH, Flite
from infra.training.speech.spoken import Spoken

ACCENTS = (
    "en-us en-us en-us en en en-gb-scotland en-gb-x-gbclan en-gb-x-rp en-gb-x-gbcwmd en-us-nyc"
).split()
HELD_OUT = "f4 m7 Andrea paul klatt3 steph2 Michael grandpa".split()
TRAINED = (
    "Alex Alicia Andy Annie AnxiousAndy Denis Diogo Gene Gene2 Henrique Hugo Jacky Lee Marco Mario "
    "Mike Nguyen RicishayMax RicishayMax2 RicishayMax3 adam anika antonio aunty belinda benjamin "
    "boris caleb david ed edward edward2 f1 f2 f3 f5 grandma gustave iven iven2 iven3 iven4 john "
    "kaukovalta klatt klatt2 klatt4 klatt5 klatt6 linda m1 m2 m3 m4 m5 m6 m8 marcelo max michel "
    "miguel norbert pablo pedro quincy rob robert sandro shelby steph steph3 travis victor zac"
).split()
FLITE_SHARES = (3, 3, 2, 1)


@cache
def espeak() -> Espeak:
    """The one espeak-ng of this process."""
    return Espeak()


@cache
def flite() -> Flite:
    """The one flite of this process."""
    return Flite()


def random_espeak(rng: random.Random, text: str, variants: Sequence[str]) -> Spoken:
    """The text in an English accent of one of these variants, at any speed and pitch."""
    voice = f"{rng.choice(ACCENTS)}+{rng.choice(variants)}"
    speed, pitch, span = rng.uniform(120, 215), rng.uniform(15, 85), rng.uniform(15, 80)
    return espeak().say(text, voice, speed=speed, pitch=pitch, span=span)


def random_flite(rng: random.Random, text: str) -> Spoken | None:
    """The text in one of flite's voices; None where flite parts the words in another way."""
    name = rng.choices(list(PITCH), FLITE_SHARES)[0]
    return flite().say(text, name, stretch=rng.uniform(0.8, 1.35), pitch=rng.uniform(*PITCH[name]))
