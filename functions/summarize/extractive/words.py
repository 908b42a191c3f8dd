"""The small English word lists that salience and sentiment go by. All lower-case."""

import re


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


STOP_WORDS = _listed(
    """
    a an and are am as at be been being but by can could did do does doing done for from get
    gets getting go goes going gonna got had has have having he her here hers him his how i if
    in into is it its just know let like lot made make many may maybe me mean might mine more
    most much must my of off on one only onto or other our ours out over really said say see she
    should so some something such than that the their them then there these they thing things
    think this those though through to too us very want was way we were what when where which
    while who whom whose why will with would you your yours actually about after again all also
    any anything around back basically because before both come each either else even ever every
    few first give guess kind last least less look need new now once own please put quite same
    since sort still take tell till until up upon use used using whether within without yet i'm
    i've i'd i'll you're you've you'd you'll he's she's it's it'll it'd we're we've we'd we'll
    they're they've they'll that's that'll there's here's what's who's where's how's let's zero
    two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred
    thousand double triple
    """
)

COURTESIES = _listed(
    """
    hello hi hey bye goodbye morning afternoon evening night day today sir ma'am madam miss
    mister thanks thank welcome sorry pardon excuse apologize apologies okay ok yes yeah yep yup
    yah aye no nope nah uh um er erm ah oh eh hm hmm mm mmm mhm mm-hm huh uh-huh uhuh aha wow
    alright right sure absolutely certainly definitely exactly correct indeed course good great
    perfect excellent wonderful lovely fine nice cool awesome brilliant super well moment second
    minute hold bear wait listen hear speaking speak talk talking call calling help assist
    assistance appreciate patience glad happy pleasure bit care name spell spelling number birth
    postcode zip
    """
)
"""Greetings, back-channels and the forms of identification: said in every call, telling none."""

NEGATIONS = _listed(
    """
    not never nothing none cannot can't couldn't won't wouldn't don't doesn't didn't isn't
    aren't wasn't weren't haven't hasn't hadn't shouldn't ain't
    """
)

FORMULAS = re.compile(
    r"""\b(?:
      thank(?:s|\ you)(?:\ so\ much|\ very\ much)?\ for\ (?:calling|holding|waiting|contacting)
        (?:\ (?!my\b|this\b|you\b|how\b|i\b|we\b)\S+){0,4}
        (?:\ (?:this\ is|my\ name\ is|my\ name's|you're\ (?:speaking|through)\ (?:with|to))\ \S+)?
    | (?:my\ name\ is|my\ name's|am\ i\ speaking\ (?:with|to))\ \S+
    | (?:how|what|anything(?:\ else)?|something)\ (?:can|may|could)?\ ?(?:i|we)
        \ (?:can|may|could)?\ ?(?:help|assist|do\ for)(?:\ you)?
    | is\ there\ anything\ else(?:\ i\ can\ (?:help|assist|do\ for)(?:\ you)?)?
    | have\ (?:a|an)\ (?:very\ )?(?:great|nice|good|lovely|wonderful|pleasant|safe|blessed|fine)
        (?:\ rest\ of\ (?:your|the))?\ (?:day|evening|afternoon|weekend|week|night|one)
    | (?:let|allow)\ me\ (?:just\ )?(?:check|look|see|pull|bring|take)
        (?:\ (?:that|it|into|at|up|a|the|your))*
        (?:\ (?:look|record|records|file|account|details))?
    | (?:give|just|one|bear\ with)\ (?:me\ )?(?:a|one|just)?\ ?(?:moment|second|minute)
    | (?:may|can|could)\ i\ (?:please\ )?(?:have|get|take)\ your\ \S+(?:\ (?:name|number|address))?
    | good\ (?:morning|afternoon|evening|day|night)|you're\ welcome
    | take\ care|no\ problem|no\ worries
    )(?=\s|$)""",
    re.VERBOSE,
)
"""Set phrases of a call, matched in text already reduced to words and single spaces."""

BARE_THANKS = re.compile(
    r"\b(?:thank you|thanks)\b(?!\s+(?:so|very|ever|for|a (?:lot|million|bunch)|again)\b)",
    re.IGNORECASE,
)
"""Thanks that only take a turn, unlike "thank you so much"."""

CUES = {
    "trouble": (
        "problem issue trouble broke error wrong fail fault stopped stolen lost missing damag "
        "late_ down_ slow overcharg charged twice complain disappoint frustrat leak declin reject "
        "block locked expired crash stuck can't cannot won't doesn't unable incorrect outage "
        "drops dropp refus unacceptable never delayed forgot dead_ noisy burn smok hurt pain "
        "worst terribl awful"
    ),
    "cause": "because caus due_ reason result mistake turns_ turned_ found_ apparently",
    "remedy": (
        "refund replac fix repair resolv solve reset restart reinstall credit reimburs waive "
        "compensat schedul book appoint technician engineer send_ sent_ sending ship deliver "
        "dispatch upgrad activat unlock arrang transfer remov updat cancel escalat working_ works_"
    ),
    "promise": (
        "i'll we'll you'll will_ tomorrow tonight monday tuesday wednesday thursday friday "
        "saturday sunday within_ hours_ days_ week_ weeks_ deadline agree"
    ),
    "wish": "want wants wanted need needs would_ looking_ request asking interested why_",
}
"""Cue words (Edmundson 1969) by what they point to. Each is a word's beginning; a final
underscore stands for the word's end."""

ASKING = _listed("can could may would do did are is have what which when where who how")
QUESTION_OPENERS = _listed("i you we there that it the your")
"""A sentence that opens with one of each is a question, question mark or not."""

ABBREVIATIONS = _listed("mr mrs ms dr prof st vs e.g i.e ext")
"""Never the last word of a sentence."""

NEUTRAL_IN_CALLS = _listed(
    """
    please help helping yes yeah okay ok alright sure well like no number matter care party
    credit credits interest security share shares value save saved dear kind sorry apologize
    apologise apologies welcome
    """
)
"""Words the sentiment lexicon rates although on a call they are courtesy, filler or trade."""
