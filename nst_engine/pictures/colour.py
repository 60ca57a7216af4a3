"""One picture's colours for another: for a style before it is measured, or for a finished picture."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..errors import NSTError, counted, one_or
from ..network.exact import einsum, matmul
from .images import alpha_of, check_picture, resize, shape_of

# Both are 1×3×H×W in 0..1; the result has the first one's size, and may leave 0..1.
Method = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_PART = 1 << 20  # pixels in float64 at a time


def match_colours(picture: torch.Tensor, reference: torch.Tensor, method: str, strength: float = 1.0) -> torch.Tensor:
    """Give every `picture` (Nx3xHxW or Nx4xHxW, 0..1) the colours of `reference` (one for all, or one for each).

    `strength` 0 is the picture as it is, 1 the whole change, clamped to 0..1.
    """
    if method not in METHODS:
        raise NSTError(f"method: {method!r} is not one of {', '.join(METHODS)}.")
    check_strength(strength, "strength")
    pictures, references = check_picture(picture, "picture"), check_picture(reference, "reference")
    n = len(pictures)
    if len(references) not in (1, n):
        raise NSTError(f"reference: a batch of {len(references)} for {counted(n, 'picture')}; give {one_or(n)}.")
    if strength:
        for one, other in zip(pictures.split(1), references.expand(n, -1, -1, -1).split(1), strict=True):
            matched = METHODS[method](one, other).clamp_(0, 1)
            one.lerp_(matched, strength).clamp_(0, 1)
    alpha = alpha_of(picture)
    return pictures if alpha is None else torch.cat([pictures, alpha], 1)


def check_strength(strength: float, name: str) -> None:
    if not 0 <= strength <= 1:
        raise NSTError(f"{name}: {strength} is not a strength; give a number from 0 (no change) to 1.")


# --- mean and covariance ------------------------------------------------------------------------------------------

# Each gives an A that takes the covariance S to T: A S Aᵀ = T. There is one for every rotation.


def cholesky(s: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Gatys et al., Preserving Color in Neural Artistic Style Transfer, 2016."""
    # A singular matrix has no Cholesky factor; a standard deviation of a millionth cannot be seen in a picture.
    a: torch.Tensor = (
        torch.linalg.cholesky(t + 1e-12 * torch.eye(3, dtype=t.dtype)) @ torch.linalg.cholesky(s).inverse()
    )
    return a


def pca(s: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Hertzmann et al., Image Analogies, 2001: whitening along the principal axes of S, and back along those of T."""
    return _root(t) @ _root(s).inverse()


def symmetric(s: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Pitié, Kokaram, The Linear Monge-Kantorovitch Linear Colour Mapping, 2007: colours move as little as can be."""
    root = _root(s)
    inverse = root.inverse()
    return inverse @ _root(root @ t @ root) @ inverse


def _linear(matrix: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Method:
    def match(picture: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        (m, s), (n, t) = _moments(picture), _moments(reference)
        a = matrix(_with_floor(s), t)
        b = n - a @ m
        return matmul(a.float(), picture.view(3, -1), b.float()).view_as(picture)

    return match


def _moments(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (3×1) and covariance (3×3) of the colours."""
    pixels = picture.view(3, -1)
    total = torch.zeros(3, 1, dtype=torch.float64)
    moment = torch.zeros(3, 3, dtype=torch.float64)
    # In float64, because fp32 loses digits over millions of pixels; in parts, to save memory.
    for part in pixels.split(_PART, 1):
        x = part.double()
        total += x.sum(1, keepdim=True)
        moment += x @ x.T
    mean = total / pixels.shape[1]
    return mean, moment / pixels.shape[1] - mean @ mean.T


def _with_floor(covariance: torch.Tensor) -> torch.Tensor:
    """No standard deviation below one step of an 8-bit picture: a grey picture's noise is not enlarged to colours."""
    return _with_eigenvalues(covariance, lambda values: values.clamp_min(1 / 255**2))


def _root(covariance: torch.Tensor) -> torch.Tensor:
    return _with_eigenvalues(covariance, lambda values: values.clamp_min(0).sqrt())


def _with_eigenvalues(a: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(a)
    changed: torch.Tensor = (vectors * change(values)) @ vectors.T
    return changed


# --- histogram ----------------------------------------------------------------------------------------------------


def histogram(picture: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Each channel's values become those of the same rank in the reference."""
    matched = torch.empty_like(picture)
    for out, channel, other in zip(matched[0], picture[0], reference[0], strict=True):
        target = other.flatten().sort().values
        ordered, order = channel.flatten().sort()
        for values, indices in zip(ordered.split(_PART), order.split(_PART), strict=True):
            # Equal values get the middle of their ranks: they stay equal, and flat areas stay flat.
            ranks = torch.searchsorted(ordered, values) + torch.searchsorted(ordered, values, right=True)
            out.view(-1)[indices] = _quantiles(target, ranks.double() / (2 * len(ordered)))
    return matched


def _quantiles(ordered: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
    """The k-th of n values stands for the fraction (k + ½)/n; between them lie straight lines."""
    last = len(ordered) - 1
    rank = (fraction * len(ordered) - 0.5).clamp(0, last)
    below = rank.long()
    return torch.lerp(ordered[below], ordered[(below + 1).clamp(max=last)], (rank - below).float())


# --- chroma -------------------------------------------------------------------------------------------------------


def luminance(picture: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Gatys et al., Preserving Color in Neural Artistic Style Transfer, 2016: Y of the one, I and Q of the other."""
    reference = resize(reference, shape_of(picture))
    # A grey has neither I nor Q, so another Y is the same amount more, or less, of R, G and B.
    return reference + (_luma(picture) - _luma(reference))


def _luma(rgb: torch.Tensor) -> torch.Tensor:
    r, g, b = rgb[:, :1], rgb[:, 1:2], rgb[:, 2:]
    return 0.299 * r + 0.587 * g + 0.114 * b


def lab(picture: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """CIE 1976: L* of the one, a* and b* of the other."""
    reference = resize(reference, shape_of(picture))
    matched = torch.empty_like(picture)
    # By bands: the conversion to Lab and back takes a dozen copies.
    for out, one, other in zip(*(whole.split(64, 2) for whole in (matched, picture, reference)), strict=True):
        out[:] = lab_to_rgb(torch.cat([rgb_to_lab(one)[:, :1], rgb_to_lab(other)[:, 1:]], 1))
    return matched


# sRGB's primaries (IEC 61966-2-1). Their sum, white, is D65.
_XYZ = torch.tensor([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = _XYZ.sum(1, keepdim=True)
_DELTA = 6 / 29


def rgb_to_lab(rgb: torch.Tensor) -> torch.Tensor:
    """sRGB in 0..1 to CIE 1976 L*a*b*."""
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    t = einsum("ij,njhw->nihw", _XYZ / _WHITE, linear)
    x, y, z = torch.where(t > _DELTA**3, t ** (1 / 3), t / (3 * _DELTA**2) + 4 / 29).split(1, 1)
    return torch.cat([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def lab_to_rgb(lab: torch.Tensor) -> torch.Tensor:
    lightness, a, b = lab.split(1, 1)
    y = (lightness + 16) / 116
    t = torch.cat([y + a / 500, y, y - b / 200], 1)
    xyz = torch.where(t > _DELTA, t**3, 3 * _DELTA**2 * (t - 4 / 29))
    linear = einsum("ij,njhw->nihw", (_XYZ / _WHITE).inverse(), xyz)
    return torch.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


# Those that match statistics come first: they suit any two pictures. The last two take the colours of each pixel from
# the same pixel of the reference.
METHODS: dict[str, Method] = {
    "symmetric": _linear(symmetric),
    "pca": _linear(pca),
    "cholesky": _linear(cholesky),
    "histogram": histogram,
    "lab": lab,
    "luminance": luminance,
}
