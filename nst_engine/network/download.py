"""Fetching one published weights file: with progress, its hash checked, in place only when complete."""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ..errors import NSTError
from ..system.safe_files import write_over


def download(url: str, target: Path, *, on_progress: Callable[[int, int], None] | None = None) -> Path:
    """Bring `url` to `target`. The file name carries the first digits of its SHA-256, as torchvision's do."""
    by_hand = f"Download {url} yourself and put it at {target}, then run again."

    def fetch(file: IO[bytes]) -> None:
        try:
            digest = _copy(url, file, on_progress)
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise NSTError(
                f"weights: {target.name} could not be downloaded from {url} ({reason}). {by_hand}"
            ) from error
        except NSTError as error:
            raise NSTError(f"{error} {by_hand}") from error
        expected = re.search(r"-([0-9a-f]{8,})\.", target.name)
        if expected and not digest.startswith(expected[1]):
            raise NSTError(
                f"weights: what {url} sent is not the published file: its SHA-256 begins {digest[:8]}, "
                f"not {expected[1]}. Nothing was kept. {by_hand}"
            )

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_over(target, fetch)
    except OSError as error:
        raise NSTError(
            f"weights: {target.parent} cannot be written to ({error.strerror}), so {target.name} has nowhere to go. "
            f"Make that folder writable, or put the file there as somebody who may: {url}"
        ) from error
    return target


def _copy(url: str, file: IO[bytes], on_progress: Callable[[int, int], None] | None) -> str:
    """The SHA-256 of what came."""
    digest = hashlib.sha256()
    with _open(url) as response:
        total = int(response.headers.get("Content-Length") or 0)
        done = 0
        while block := response.read(1 << 20):
            file.write(block)
            digest.update(block)
            done += len(block)
            if on_progress:
                on_progress(done, total)
    if total and done < total:
        raise NSTError(f"weights: {url} broke off after {done:,} of {total:,} bytes.")
    return digest.hexdigest()


def _open(url: str) -> Any:  # a response, whose class depends on the address
    if not url.startswith(("https://", "http://")):
        raise NSTError(f"weights: {url} is not a web address.")
    request = urllib.request.Request(url, headers={"User-Agent": "nst-engine"})  # noqa: S310 (checked above)
    return urllib.request.urlopen(request, timeout=30)  # noqa: S310
