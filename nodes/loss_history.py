from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import nst_engine as nst


@dataclass(frozen=True, repr=False)
class LossHistory:
    """LOSS_HISTORY: a list of steps per picture, and what was used to make them."""

    histories: list[list[nst.Step]]
    settings: dict[str, Any]

    def __repr__(self) -> str:
        last = self.histories[0][-1].total if self.histories and self.histories[0] else float("nan")
        return f"<LOSS_HISTORY {len(self.histories)} picture(s), {self.settings['steps']} steps, last loss {last:.4g}>"
