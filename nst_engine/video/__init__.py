"""Moving pictures: frame after frame in the same strokes. `stylize_video` takes frames and gives frames; `source`,
`encode` and `job` are about files; `cli/video.py` is `nst video`."""

from .coherence import Coherence, Past
from .flow import Flow, dis_flow
from .frame import Frame
from .raft import raft_flow
from .stylize import stylize_video

__all__ = ["Coherence", "Flow", "Frame", "Past", "dis_flow", "raft_flow", "stylize_video"]
