"""Weights to start from and to keep: none, a checkpoint of ours, or a Hugging Face folder."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from infra.training.fit.train import Pupil
from infra.training.model.export import Trained
from infra.training.model.layout import Shape, read_folder
from infra.training.model.locality import localise
from infra.training.model.network import FrameHeads, Whisper, model_of, weights_of
from infra.training.speech.vocabulary import FILE, Vocabulary

PHONES, WORDS = 100, 300
"""More than the grammar has, so that the heads fit whatever is synthesised of it."""


def new(vocabulary: Vocabulary) -> Pupil:
    """A whisper-nano that has learned nothing; always the same one."""
    torch.manual_seed(0)
    shape = Shape(tokens=vocabulary.size)
    whisper = Whisper(shape, vocabulary.zero)
    localise(whisper.encoder)
    return Pupil(whisper, FrameHeads(shape.width, PHONES, WORDS))


def from_checkpoint(path: Path) -> Pupil:
    """What `save` wrote."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    shape = Shape(**saved["shape"])
    pupil = Pupil(Whisper(shape, saved["text"]), FrameHeads(shape.width, PHONES, WORDS))
    pupil.load_state_dict(saved["weights"])
    return pupil


def from_folder(folder: Path) -> Pupil:
    """A model in Hugging Face's layout; raises `ValueError` for another."""
    shape, weights = read_folder(folder)
    return Pupil(model_of(shape, weights), FrameHeads(shape.width, PHONES, WORDS))


def start(weights: Path | None, vocabulary: Vocabulary) -> Pupil:
    """A pupil with these weights. Raises `ValueError` if they are of another vocabulary."""
    if weights is None:
        return new(vocabulary)
    pupil = from_folder(weights) if weights.is_dir() else from_checkpoint(weights)
    tokens = pupil.whisper.shape.tokens
    if tokens != vocabulary.size:
        raise ValueError(f"{weights} has {tokens} tokens, its vocabulary {vocabulary.size}")
    return pupil


def tokenizer_of(weights: Path) -> Path:
    """The tokenizer.json of weights: in their folder."""
    return (weights if weights.is_dir() else weights.parent) / FILE


def trained(weights: Path) -> Trained:
    """Weights as `export` takes them."""
    if weights.is_dir():
        return Trained(*read_folder(weights), tokenizer_of(weights))
    whisper = from_checkpoint(weights).whisper
    return Trained(whisper.shape, weights_of(whisper), tokenizer_of(weights))


def save(path: Path, pupil: Pupil, weights: dict[str, Any]) -> None:
    """Write a checkpoint of a model of the pupil's shape with these weights."""
    whisper = pupil.whisper
    torch.save({"shape": asdict(whisper.shape), "text": whisper.text, "weights": weights}, path)
