"""Settings of transcribe."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from events.base import Channel


class Settings(BaseSettings):
    """Read from the environment, names in upper case; one set to nothing counts as unset."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    channel: Annotated[
        Channel | None, Field(description="The channel this deployment serves; unset: both.")
    ] = None
    concurrency: Annotated[int, Field(ge=1, description="Events handled at the same time.")] = 8
    recognizer: Annotated[
        Literal["auto", "whisper", "sphinx"],
        Field(description="The engine; auto picks the best that is on the machine."),
    ] = "auto"
    sphinx_processes: Annotated[
        int | None,
        Field(
            ge=1,
            description="Processes of the embedded engine, about 150 MB each. Unset: one for each "
            "CPU core, two at most.",
        ),
    ] = None
    whisper_model: Annotated[
        str | None,
        Field(
            description="A folder, or a model in the cache: its name such as small, or owner/name, "
            "each with @REVISION if wanted. Unset: the best for this machine that is in the cache."
        ),
    ] = None
    whisper_compute_type: Annotated[
        Literal[
            "auto", "int8", "int8_float16", "int8_bfloat16", "int8_float32",
            "int16", "float16", "bfloat16", "float32",
        ],
        Field(description="Arithmetic of the model; auto: int8 on a CPU, float16 on a GPU."),
    ] = "auto"  # fmt: skip
    whisper_threads: Annotated[
        int, Field(ge=0, description="CPU threads of one recognition; 0: the engine's own choice.")
    ] = 0
    whisper_device: Annotated[
        Literal["auto", "cpu", "cuda"],
        Field(description="Where the model runs; auto: on all GPUs, or the CPU if there is none."),
    ] = "auto"
    whisper_beam: Annotated[
        int, Field(ge=1, le=10, description="Texts that are followed at a time; 1 is fastest.")
    ] = 5
    whisper_batch: Annotated[
        int | None,
        Field(ge=1, le=256, description="Windows decoded at a time; unset: as memory allows."),
    ] = None
    whisper_timestamps: Annotated[
        bool, Field(description="Whether the model writes times between sentences.")
    ] = False
    whisper_padding: Annotated[
        Literal["silence", "zero"],
        Field(description="What follows a short window; zero: as faster-whisper has it."),
    ] = "silence"
    gpu_indices: Annotated[
        tuple[int, ...], Field(description="JSON array of the GPUs to be used; empty: all.")
    ] = ()
    gpu_memory_fraction: Annotated[
        float, Field(gt=0, le=1, description="Share of a GPU's memory that may be used.")
    ] = 0.8
    hub_cache: Annotated[
        Path | None,
        Field(
            validation_alias=AliasChoices("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"),
            description="Where models were downloaded to; unset: the folder hub in HF_HOME.",
        ),
    ] = None
    hub_home: Annotated[
        Path | None,
        Field(
            validation_alias="HF_HOME",
            description="Unset: the folder huggingface in XDG_CACHE_HOME.",
        ),
    ] = None
    xdg_cache_home: Annotated[Path, Field(description="The account's cache.")] = Path("~/.cache")

    @property
    def serves(self) -> tuple[Channel, ...]:
        return ("left", "right") if self.channel is None else (self.channel,)

    @property
    def model_cache(self) -> Path:
        """The Hugging Face hub's cache, found as its own library finds it."""
        home = self.hub_home or self.xdg_cache_home / "huggingface"
        return (self.hub_cache or home / "hub").expanduser()
