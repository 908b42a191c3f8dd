"""The GPUs of this machine: their number and their memory."""

from typing import Any


def gpus() -> int:
    """Return the number of GPUs that CTranslate2 can use."""
    import ctranslate2  # noqa: PLC0415 - only who asks pays for it

    return int(ctranslate2.get_cuda_device_count())


def has_gpu() -> bool:
    """Return whether CTranslate2 can use a GPU."""
    return gpus() > 0


def smallest_memory() -> int | None:
    """Return the memory in bytes of the smallest GPU.

    Returns None if the driver does not report it, or if a GPU is in MIG mode, for which it reports
    the whole card.
    """
    import pynvml  # noqa: PLC0415 - only who asks pays for it

    try:
        pynvml.nvmlInit()
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
        ]
        if any(_is_divided(handle) for handle in handles):
            return None
        return min(int(pynvml.nvmlDeviceGetMemoryInfo(handle).total) for handle in handles)
    except (pynvml.NVMLError, ValueError):
        return None


def _is_divided(handle: Any) -> bool:  # noqa: ANN401 - untyped
    import pynvml  # noqa: PLC0415 - only who asks pays for it

    try:
        current, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except pynvml.NVMLError_NotSupported:
        return False
    return bool(current)
