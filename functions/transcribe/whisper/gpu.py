"""The GPUs of this machine."""

from typing import Any


def gpus() -> int:
    """How many there are that CTranslate2 can use."""
    import ctranslate2  # noqa: PLC0415 - only who asks pays for it

    return int(ctranslate2.get_cuda_device_count())


def has_gpu() -> bool:
    """Whether there is one."""
    return gpus() > 0


def smallest_memory() -> int | None:
    """Bytes of memory that each GPU has at least; None if the driver does not tell.

    Of a GPU that is divided (MIG) it tells the whole, so that counts as not told.
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
