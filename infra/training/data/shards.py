"""Utterances on disk: many in a file of frames, with a file of texts and times beside it."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from infra.training.data.utterances import Phone, Utterance, Word


def write_shard(path: Path, utterances: Iterable[Utterance]) -> None:
    """Write `path`.npy (all frames, half precision) and `path`.json (the rest, in order)."""
    frames, index = [], []
    for one in utterances:
        frames.append(one.mel.astype(np.float16))
        facts = {"text": one.text, "frames": len(one.mel), "words": one.words, "phones": one.phones}
        index.append(facts)
    np.save(path.with_suffix(".npy"), np.concatenate(frames))
    path.with_suffix(".json").write_text(json.dumps(index), encoding="utf-8")


def read_shards(folder: Path, name: str) -> list[Utterance]:
    """The utterances of `name`_000, `name`_001 …; frames stay on disk until they are used."""
    return [one for path in sorted(folder.glob(f"{name}_*.npy")) for one in _read(path)]


def _read(path: Path) -> Iterable[Utterance]:
    frames, at = np.load(path, mmap_mode="r"), 0
    for facts in json.loads(path.with_suffix(".json").read_bytes()):
        mel = frames[at : at + facts["frames"]]
        at += facts["frames"]
        words = tuple(Word(*word) for word in facts["words"])
        phones = tuple(Phone(*phone) for phone in facts["phones"])
        yield Utterance(facts["text"], mel, words, phones)
