"""Choose the summarizer: the one that the settings name, or the best on this machine."""

from functions.summarize.extractive.engine import ExtractiveSummarizer
from functions.summarize.fallback import FallbackSummarizer
from functions.summarize.settings import Settings
from functions.summarize.summarizer import Summarizer


def choose_summarizer(settings: Settings) -> Summarizer:
    """Return the summarizer that the settings name.

    `auto` is the best engine on the machine, with the extractive one to stand in for it. There is
    no other engine yet, so under `auto` the extractive one stands in for every summary.
    """
    if settings.summarizer == "extractive":
        return ExtractiveSummarizer()
    return FallbackSummarizer(None, ExtractiveSummarizer())
