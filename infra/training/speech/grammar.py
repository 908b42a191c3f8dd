"""A closed vocabulary of call-centre English: sentences of a grammar, word salad, digits.

One text in ten is held out: it is never trained on, so that tests and evaluation can speak it.
"""

import hashlib
import random
import re

NAMES = "Anna Peter Maria David Laura Thomas Julia Robert Emma Daniel Sarah Martin".split()
CITIES = "London Berlin Paris Madrid Vienna Dublin".split()
DIGITS = "zero one two three four five six seven eight nine".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January March April June August October December".split()
NUMBERS = "ten eleven twelve fifteen twenty thirty forty fifty sixty hundred".split()
THINGS = (
    "order invoice contract account package delivery payment "
    "refund subscription password card bill ticket router phone"
).split()
PROBLEMS = "broken late missing wrong damaged locked cancelled expired blocked slow".split()

SENTENCES = (
    "Hello, thank you for calling customer service.",
    "Hello thank you for calling {CO}.",
    "Good morning, my name is {NAME}.",
    "Good morning my name is {NAME}.",
    "Good afternoon my name is {NAME} how can I help you?",
    "How can I help you today?",
    "What can I do for you today?",
    "How may I help you?",
    "I have a problem with my {THING}.",
    "There is a problem with the {THING}.",
    "I am calling about my {THING}.",
    "My {THING} is {PROB}.",
    "The {THING} is still {PROB}.",
    "I think my {THING} was {PROB}.",
    "My {THING} number is {D} {D} {D} {D}.",
    "The order number is {D} {D} {D} {D} {D}.",
    "It is {D} {D} {D} {D}.",
    "Can you please give me your {IDF}?",
    "May I have your {IDF} please?",
    "What is your {IDF}?",
    "I would like to {VERB} my {THING}.",
    "I want to {VERB} the {THING}.",
    "Please {VERB} my {THING} today.",
    "Can you {VERB} the {THING} for me?",
    "Could you please {VERB} my {THING}?",
    "I have been waiting since {DAY}.",
    "I have been waiting for {N} {UNIT}.",
    "We have been waiting for more than {N} {UNIT}.",
    "The delivery should arrive on {DAY}.",
    "Your package will arrive on {DAY} {PART}.",
    "The technician will come on {DAY} at {N}.",
    "Let me check that for you.",
    "One moment please, I will check your account.",
    "One moment please while I look at your {THING}.",
    "Thank you for waiting.",
    "Thank you very much for your help.",
    "Thanks a lot.",
    "I am sorry about that.",
    "I am very sorry for the problem.",
    "We are sorry that your {THING} is {PROB}.",
    "You will receive a {DOC} by {CHAN}.",
    "I will send you a {DOC} by {CHAN}.",
    "We will send the {DOC} to your {CHAN} address.",
    "The price is {N} euros.",
    "The total is {N} {N2} euros.",
    "You have to pay {N} euros a month.",
    "It costs {N} dollars.",
    "Is there anything else I can do for you?",
    "Is that correct?",
    "Does that work for you?",
    "Do you have any other questions?",
    "No, that is all.",
    "No thank you, that is everything.",
    "Yes, that is correct.",
    "Yes please.",
    "No problem.",
    "Okay great.",
    "Have a nice day.",
    "Goodbye and have a nice day.",
    "Have a good weekend.",
    "Goodbye.",
    "Please call me back {WHEN}.",
    "Someone will call you back {WHEN}.",
    "Can you call me back {WHEN}?",
    "I live in {CITY}.",
    "I moved to {CITY} in {MONTH}.",
    "The new address is in {CITY}.",
    "My appointment in {CITY} is on {DAY}.",
    "My birthday is in {MONTH}.",
    "The contract ends in {MONTH}.",
    "The contract started in {MONTH} and ends in {MONTH}.",
    "I want to speak to a manager.",
    "Can I speak to {NAME} please?",
    "I already spoke to {NAME} {WHEN0}.",
    "The internet does not work.",
    "The internet has been down since {DAY}.",
    "I cannot open the website.",
    "I forgot my password.",
    "Please turn the router off and on again.",
    "Did you try to turn the phone off and on again?",
    "Please press the red button for {N} seconds.",
    "I understand.",
    "That is not good enough.",
    "This is the third time I have called.",
    "I am very happy with the service.",
    "I am not happy with your service.",
    "Please hold the line.",
    "I will transfer you to the {DEPT} department.",
    "You are now connected to the {DEPT} department.",
)

SLOTS: dict[str, list[str]] = {
    "CO": "customer service|technical support|the bank|the insurance company".split("|"),
    "IDF": (
        "name|last name|phone number|customer number|email address|order number|date of birth"
    ).split("|"),
    "VERB": "cancel|change|check|update|return|pay|renew|track".split("|"),
    "UNIT": "minutes|hours|days|weeks".split("|"),
    "PART": "morning|afternoon|evening".split("|"),
    "DOC": "confirmation|letter|new card|receipt|message|refund".split("|"),
    "CHAN": "email|mail|phone".split("|"),
    "WHEN": "tomorrow|later|this afternoon|on {DAY}|at {N}|next week|tomorrow morning".split("|"),
    "WHEN0": "yesterday|last week|last {DAY}|this morning".split("|"),
    "DEPT": "billing|sales|technical|insurance".split("|"),
    "N2": "five|two|nine".split("|"),
    "NAME": NAMES,
    "CITY": CITIES,
    "D": DIGITS,
    "DAY": DAYS,
    "MONTH": MONTHS,
    "N": NUMBERS + DIGITS[2:],
    "THING": THINGS,
    "PROB": PROBLEMS,
}

PROPER = {*NAMES, *CITIES, *DAYS, *MONTHS, "I"}


DIGITS_ONLY, NAMES_AND_NUMBERS = 0.35, 0.5
"""Shares of salad: digits alone up to the first, then names and numbers up to the second."""


def _all_words() -> set[str]:
    forms = [*SENTENCES, *(form for slot in SLOTS.values() for form in slot)]
    found = {w.strip(",.?") for form in forms for w in form.split() if not w.startswith("{")}
    return {w if w in PROPER else w.lower() for w in found if w.isalpha()}


WORDS = sorted(_all_words())


def capitalised(text: str) -> str:
    """The text with a capital first letter."""
    return text[0].upper() + text[1:]


def bare(word: str) -> str:
    """A word in lower case without its punctuation."""
    return word.strip(".,?").lower()


def sentence(rng: random.Random) -> str:
    """One sentence of the grammar."""
    text = rng.choice(SENTENCES)
    while "{" in text:
        text = re.sub(r"\{(\w+)\}", lambda slot: rng.choice(SLOTS[slot.group(1)]), text)
    return text


def salad(rng: random.Random) -> str:
    """Unrelated words, which keep the decoder from guessing by grammar alone."""
    kind = rng.random()
    if kind < DIGITS_ONLY:
        words = rng.choices(DIGITS, k=rng.randint(2, 9))
    elif kind < NAMES_AND_NUMBERS:
        pool = [*NAMES, *CITIES, *DAYS, *MONTHS, *NUMBERS, *DIGITS]
        words = rng.choices(pool, k=rng.randint(1, 6))
    else:
        words = rng.choices(WORDS, k=rng.randint(1, 8))
    return capitalised(" ".join(words)) + rng.choice("..?")


def is_held_out(text: str) -> bool:
    """Whether a text is one of those never trained on."""
    return hashlib.md5(text.lower().encode(), usedforsecurity=False).digest()[0] % 10 == 0


def draw(rng: random.Random, salad_share: float, *, held_out: bool) -> str:
    """A text to speak, of those held out or of the others."""
    while True:
        text = salad(rng) if rng.random() < salad_share else sentence(rng)
        if is_held_out(text) == held_out:
            return text


def _pattern(form: str) -> str:
    def slot(match: re.Match[str]) -> str:
        return "(?:" + "|".join(_pattern(f) for f in SLOTS[match.group(1)]) + ")"

    return re.sub(r"\{(\w+)\}", slot, form.replace("?", "[?]").replace(".", "[.]"))


_SENTENCE = re.compile("|".join(_pattern(form) for form in SENTENCES))


def is_sentence(text: str) -> bool:
    """Whether the grammar makes this text; salad is no sentence."""
    return _SENTENCE.fullmatch(text) is not None
