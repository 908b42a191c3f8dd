"""The GPUs of this machine."""


def gpus() -> int:
    """How many there are that CTranslate2 can use."""
    import ctranslate2  # noqa: PLC0415 - only who asks pays for it

    return int(ctranslate2.get_cuda_device_count())


def has_gpu() -> bool:
    """Whether there is one."""
    return gpus() > 0


def smallest_memory() -> int | None:
    """Bytes of memory that each GPU has at least; None if the driver does not tell."""
    import pynvml  # noqa: PLC0415 - only who asks pays for it

    try:
        pynvml.nvmlInit()
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        return min(int(pynvml.nvmlDeviceGetMemoryInfo(handle).total) for handle in handles)
    except (pynvml.NVMLError, ValueError):
        return None
