"""What a number was computed on: the device in words, and whether it knows bfloat16."""

import torch


def describe_device(device: torch.device) -> str:
    """The device in words: "cpu, 2 threads", or the name of the GPU."""
    return f"cpu, {torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the processor or GPU computes in bfloat16 by itself; where it must imitate it, float32 is faster."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = getattr(torch.cpu, "get_capabilities", dict)()  # newer than the oldest torch that serves here
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))
