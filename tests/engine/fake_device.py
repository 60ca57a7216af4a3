"""A device that is not there: torch's `meta` tensors have a device, a shape and a type, but no numbers.

Every version of torch has them, however it was built. What a real device would refuse or wait for, the mode below
refuses and counts.
"""

from __future__ import annotations

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("meta")
COPIES = ("_to_copy", "copy_")


class _Literals(TorchFunctionMode):
    """Numbers given to `torch.tensor` lie on the CPU first; only for `meta` does torch skip that."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        device = kwargs.get("device")
        if func not in (torch.tensor, torch.as_tensor) or device is None or torch.device(device) != DEVICE:
            return func(*args, **kwargs)
        del kwargs["device"]
        return func(*args, **kwargs).to(device)


class FakeDevice(TorchDispatchMode):
    """Counts what makes Python wait, in `copied` and `read`, and fails where tensors of two devices meet.

    A number read is 1: so whole runs can be made, and the numbers that they come to mean nothing. What a mask chooses
    is read, too; only a run that `waits_for_masks` may do that, and there everything is chosen.
    """

    def __init__(self, refuses=(), waits_for_masks=False):
        super().__init__()
        self.refuses, self.waits_for_masks = refuses, waits_for_masks
        self.copied, self.read = [], []
        self.literals = _Literals()

    def __enter__(self):
        self.literals.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.literals.__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        given = list(_tensors((args, kwargs)))
        here = [t for t in given if t.device == DEVICE]
        if here and name in ("_local_scalar_dense", "equal"):
            self.read.append(name)
            return True if name == "equal" else 1.0
        if name in COPIES:
            return self._copy(func, args, kwargs)
        # One number on the CPU is handed over with the operation.
        elsewhere = [t for t in given if t.device != DEVICE and t.ndim > 0]
        if here and elsewhere:
            raise AssertionError(f"{name}: tensors on two devices")
        if here and (name == "nonzero" or (name == "index" and any(t.dtype == torch.bool for t in given))):
            assert self.waits_for_masks, "what a mask chooses has a length that has to be waited for"
            self.read.append(name)
            x = args[0]  # of which masks choose whole rows
            chosen = x.clone() if name == "index" else x.new_empty(x.numel(), x.ndim, dtype=torch.long)
            return self._checked(name, args, chosen)
        return self._checked(name, args, func(*args, **kwargs))

    def _copy(self, func, args, kwargs):
        name = func.overloadpacket.__name__
        if name == "copy_":
            into, source = args[0], args[1]
            waits = not (args[2] if len(args) > 2 else kwargs.get("non_blocking"))
        else:
            into, source = None, args[0]
            waits = not kwargs.get("non_blocking")
        device = torch.device(kwargs.get("device") or source.device) if into is None else into.device
        if device == source.device:
            return self._checked(name, args, func(*args, **kwargs))
        if waits:
            self.copied.append(f"{source.device} to {device}")
        if source.device != DEVICE:
            return self._checked(name, args, func(*args, **kwargs))
        brought = torch.full_like(source, 0.5 if source.is_floating_point() else 0, device=device)
        return brought.to(kwargs.get("dtype") or source.dtype) if into is None else into.copy_(brought)

    def _checked(self, name, args, out):
        made = [t for t in _tensors(out) if t.device == DEVICE]
        if made:
            for refused in self.refuses:
                refused(name, args, made)
        return out


def _tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
