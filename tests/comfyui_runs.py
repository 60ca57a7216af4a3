"""One run of a graph on a server, as the server's events tell it."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from PIL import Image

RUN_LIMIT = 180
if TYPE_CHECKING:
    from live_comfyui import Server

Graph = dict[str, dict[str, Any]]


class Refused(Exception):
    """The server's answer to a request that it does not accept."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {json.dumps(body)[:2000]}")
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Event:
    type: str
    data: Any
    at: float  # time.monotonic()


TEXT = 3  # the kind of a binary event that holds a text for a node
ENDINGS = ("execution_success", "execution_error", "execution_interrupted")


@dataclass
class Run:
    server: Server
    id: str
    listener: Listener
    events: list[Event] = field(default_factory=list)

    @property
    def ending(self) -> str:
        return self.events[-1].type

    def of(self, type: str) -> list[Event]:
        return [event for event in self.events if event.type == type]

    def wait(self, type: str, count: int = 1) -> list[Event]:
        """Until so many events of a type have come. A run that ends before is a failure."""
        while len(self.of(type)) < count:
            if self.events and self.ending in ENDINGS:
                raise AssertionError(
                    f"waited for {count} × {type}, but the run ended in {self.ending}: {self.events[-1].data}\n"
                    f"{self.server.log_tail()}"
                )
            self._take_one()
        return self.of(type)

    def finish(self) -> Run:
        while not (self.events and self.ending in ENDINGS):
            self._take_one()
        self.listener.close()
        return self

    def _take_one(self) -> None:
        try:
            event = self.listener.next(RUN_LIMIT)
        except queue.Empty:
            self.server.check_alive()
            raise TimeoutError(f"no event for {RUN_LIMIT} s; the log ends:\n{self.server.log_tail()}") from None
        # Previews and texts come without the run's name, but only to the client that asked for the run.
        if event.type in ("preview", "text") or event.data.get("prompt_id") == self.id:
            self.events.append(event)

    @property
    def outputs(self) -> dict[str, Any]:
        """What the history keeps for each output node."""
        # The history is written just after the last event has gone out.
        self.server.wait_for(lambda: self.id in self.server.get(f"/history/{self.id}"), "the run in the history")
        return self.server.get(f"/history/{self.id}")[self.id]["outputs"]

    def pictures(self, node: str) -> list[Image.Image]:
        return [self.server.view(picture) for picture in self.outputs[node]["images"]]

    @property
    def cached(self) -> set[str]:
        return set(self.of("execution_cached")[0].data["nodes"])


class Listener:
    """A client of the server's websocket, in a thread of its own, so that tests can be plain functions."""

    def __init__(self, url: str, features: dict[str, bool] | None = None) -> None:
        self.url = url
        self.features = features
        self.arrived: queue.Queue[Event] = queue.Queue()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=lambda: self.loop.run_until_complete(self._listen()), daemon=True)
        self.closing = asyncio.Event()
        self.thread.start()

    def next(self, limit: float) -> Event:
        return self.arrived.get(timeout=limit)

    def close(self) -> None:
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.closing.set)
            self.thread.join(10)

    async def _listen(self) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(self.url, max_msg_size=0) as socket:
            closing = asyncio.ensure_future(self.closing.wait())
            if self.features is not None:
                await socket.send_json({"type": "feature_flags", "data": self.features})
            while not closing.done():
                message = asyncio.ensure_future(socket.receive())
                await asyncio.wait((message, closing), return_when=asyncio.FIRST_COMPLETED)
                if not message.done():
                    message.cancel()
                    break
                received = message.result()
                if received.type == aiohttp.WSMsgType.TEXT:
                    told = json.loads(received.data)
                    self.arrived.put(Event(told["type"], told.get("data") or {}, time.monotonic()))
                elif received.type == aiohttp.WSMsgType.BINARY:
                    self.arrived.put(binary_event(received.data))
                else:
                    break


def binary_event(data: bytes) -> Event:
    """Four bytes for the kind of event; of a text, the length of the node's id, the id and the text; else four for the
    picture's format, then the picture."""
    if int.from_bytes(data[:4], "big") != TEXT:
        return Event("preview", data[8:], time.monotonic())
    end = 8 + int.from_bytes(data[4:8], "big")
    return Event("text", {"node": data[8:end].decode(), "text": data[end:].decode()}, time.monotonic())
