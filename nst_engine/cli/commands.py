"""`nst`: style transfer from the command line. The only file of the engine that prints."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from .. import RECIPES, STOP, NSTError, Position, Progress, StyleGrams, VGGFeatures, __version__
from ..pictures.files import write_somewhere
from ..system.early import main_has_begun, main_has_ended
from ..system.shortage import is_out_of_memory
from ..system.texts import shown
from . import one_picture
from .again import repeat
from .arguments import OPTIONS, parser, printable
from .inputs import StyleInput, read_inputs

DONE, USER_ERROR, INTERRUPTED = 0, 1, 130
SECONDS_BETWEEN_LINES = 5.0  # where there is no terminal to draw a bar on
SECONDS_BETWEEN_DRAWINGS = 0.25
LONGEST_LINE = 2000
PACK = "_nst_pack"


def main(argv: Sequence[str] | None = None) -> int:
    try:
        main_has_begun()
        status = _answered(list(sys.argv[1:] if argv is None else argv))
        main_has_ended()
        return status
    except KeyboardInterrupt:
        main_has_ended()
        _say("nst: interrupted")
        return INTERRUPTED


def _answered(argv: list[str]) -> int:
    """What was asked for done, or said why not."""
    try:
        args = parser().parse_args(argv)
        status = COMMANDS[args.command](args, argv)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except NSTError as error:
        # Of a workflow, it is the nodes' inputs that are named.
        return _fail(str(error if argv[:1] == ["run"] else error.called(OPTIONS)))
    except OSError as error:
        if error.filename is None:  # of no file: nobody reads what is printed, or its disk is full
            _print_no_more()
        return _fail(f"{shown(error.filename or 'the output')}: {error.strerror or error}")
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            return _fail("out of memory; a smaller size of the picture or the style, or precision bf16, needs less")
        raise


def _print_no_more() -> None:
    """Python prints what is left when it ends, and would fail at it once more."""
    with contextlib.suppress(OSError, ValueError):  # not every sys.stdout has a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> int:
    _say(f"nst: {message}")
    return USER_ERROR


def _say(text: str) -> None:
    """What a stranger's file or graph says may be in it."""
    if sys.stderr is not None:  # under pythonw, print would take stdout instead
        print("\n".join(shown(line, LONGEST_LINE) for line in text.split("\n")), file=sys.stderr, flush=True)


def _tell(path: object) -> None:
    """A path that others read, to the byte, whatever the terminal's alphabet."""
    try:
        print(path, flush=True)
    except UnicodeEncodeError:
        sys.stdout.buffer.write(os.fsencode(str(path)) + os.linesep.encode())
        sys.stdout.buffer.flush()


# --- nst stylize, nst texture -------------------------------------------------------------------------------------


def _make(args: argparse.Namespace, argv: list[str]) -> int:
    """A texture is what comes of no content. `argv` goes into the picture."""
    one_picture.style_weights(args)  # what does not go together is refused before anything is read
    one_picture.layers_of(args)
    inputs, out = read_inputs(args), Path(args.out)
    content = inputs.content

    with _ProgressDisplay(args.quiet) as display:
        vgg = one_picture.network_of(args, partial(display, f"download {args.weights}"))
        grams = one_picture.blended(inputs, args, _measuring(vgg, args, display))
        _save_style(grams, vgg, args)
        title = "stylise" if content else "texture"
        with _ctrl_c() as asked_to_stop:
            begun = False

            def on_step(progress: Progress) -> object:
                nonlocal begun
                begun = True
                total = progress.steps * progress.pictures
                display(title, int(progress.done), total, lambda: f"loss {progress.total:.4g}")
                return STOP if asked_to_stop() else None

            def on_tile(position: Position) -> None:
                total = position.steps * position.pictures
                display(title, int(position.done), total, lambda: f"tile {position.tile} of {position.tiles}")

            def on_layer() -> None:
                if asked_to_stop() and not begun:
                    raise KeyboardInterrupt  # there is no picture yet that could be kept

            on_measure = partial(display, "measure")
            result = one_picture.make(
                vgg, inputs, grams, args, on_step=on_step, on_tile=on_tile, on_measure=on_measure, on_layer=on_layer
            )
            of = {"content": content.path.name} if content else {}
            settings = {**result.settings, **of, "program": f"nst {__version__}", "argv": argv}
            written, failure = write_somewhere(
                out, settings=settings, **one_picture.writing(out, inputs, result.image, args)
            )
    if not args.quiet:
        for note in result.notes:
            _say(note)
    _tell(written)
    if failure:
        return _fail(f"{failure}. The finished picture is {written} instead.")
    return INTERRUPTED if result.settings["stopped_early"] else DONE


def _measuring(
    vgg: VGGFeatures, args: argparse.Namespace, display: _ProgressDisplay
) -> Callable[[StyleInput], StyleGrams]:
    def measure(given: StyleInput) -> StyleGrams:
        name = "style" if isinstance(given.style, StyleGrams) else given.style.path.name
        return one_picture.measure_style(vgg, given, args, partial(display, f"measure {name}"))

    return measure


def _save_style(grams: StyleGrams, vgg: VGGFeatures, args: argparse.Namespace) -> None:
    if args.save_style:
        grams.check_network(vgg)
        grams.save(args.save_style)


@contextlib.contextmanager
def _ctrl_c(what: str = "the picture so far") -> Iterator[Callable[[], bool]]:
    """Ctrl-C once: the yielded question is answered with yes. Twice: KeyboardInterrupt, as ever."""
    asked = False
    # Whether there is one at all: a file may have been opened with its number since.
    stderr = None if sys.stderr is None else 2

    def on_signal(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        # Not print: the signal may have come in the middle of one.
        with contextlib.suppress(OSError):
            if stderr is not None:
                said = f"{what} will be kept, once there is one (Ctrl-C again quits without it)"
                os.write(stderr, f"\nnst: stopping; {said}\n".encode())

    usual = {}
    if threading.current_thread() is threading.main_thread():  # no other thread may say what a signal does
        # Ctrl-Break is Windows' own; some terminals there have no other.
        stops = [getattr(signal, name) for name in ("SIGINT", "SIGBREAK") if hasattr(signal, name)]
        usual = {stop: signal.signal(stop, on_signal) for stop in stops}
    try:
        yield lambda: asked
    finally:
        for stop, handler in usual.items():
            signal.signal(stop, signal.SIG_DFL if handler is None else handler)


# --- nst batch ----------------------------------------------------------------------------------------------------


def _batch(args: argparse.Namespace, _: list[str]) -> int:
    from .batch.command import batch
    from .batch.report import Console

    with _ProgressDisplay(args.quiet, tells_time=False) as display:
        return batch(args, Console(display.say, _tell, display, args.quiet), _graphs)


def _graphs() -> Any:
    """What of the pack makes graphs of options and talks to hosts."""
    _load_pack()
    client = importlib.import_module(f"{PACK}.nodes.headless.server_client")
    graph_of = importlib.import_module(f"{PACK}.nodes.headless.graph_of_options").graph_of
    return SimpleNamespace(
        NSTError=client.NSTError, ServerGone=client.ServerGone, run_on_server=client.run_on_server, graph_of=graph_of
    )


# --- nst video ----------------------------------------------------------------------------------------------------


def _video(args: argparse.Namespace, argv: list[str]) -> int:
    from .video import Command, Told

    one_picture.style_weights(args)  # what does not go together is refused before anything is read
    one_picture.layers_of(args)
    command = Command(args, argv)
    with _ProgressDisplay(args.quiet) as display, _ctrl_c("the frames so far") as asked_to_stop:
        command.begin()
        inputs = command.inputs()
        vgg = one_picture.network_of(args, partial(display, f"download {args.weights}"))
        grams = one_picture.blended(inputs, args, _measuring(vgg, args, display))
        _save_style(grams, vgg, args)
        finished = command.run(vgg, grams, inputs, Told(display, asked_to_stop))
        written = command.write(finished)
    if not args.quiet or not finished:
        for note in command.notes:
            _say(note)
    _tell(written)
    return DONE if finished else INTERRUPTED if asked_to_stop() else USER_ERROR


# --- nst again, nst recipes ---------------------------------------------------------------------------------------


def _again(args: argparse.Namespace, _: list[str]) -> int:
    folders, yes, changes = list(args.folders), args.yes, []
    words = iter(args.changes)
    for word in words:  # what stands behind RESULT is for the command that made it, but for these two
        if word == "--yes":
            yes = True
        elif word == "--from":
            folders.append(next(words, ""))
        elif word.startswith("--from="):
            folders.append(word.partition("=")[2])
        else:
            changes.append(word)
    found = repeat(Path(args.result), changes, folders)
    if found.stopped_early:
        _say(f"{args.result} was stopped early; this run goes on to the end")
    if not found.args.quiet:
        _say(found.plan)
    if found.costs and not yes:
        _ask(f"again: {args.result} asks for {', and '.join(found.costs)}")
    return COMMANDS[found.args.command](found.args, found.argv)


def _ask(what: str) -> None:
    """A person at a terminal; nobody else can answer."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise NSTError(f"{what}; give --yes if that is meant, or another --size, --steps or --style-size.")
    _say(f"nst: {what}. Go on? (y/n)")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise NSTError("again: nothing was done.")


def _recipes(*_: object) -> int:
    for recipe in RECIPES.values():
        print(printable(f"{recipe.name:18}{recipe.title}: {recipe.source}", sys.stdout))
    return DONE


# --- nst run ------------------------------------------------------------------------------------------------------


def _run(args: argparse.Namespace, _: list[str]) -> int:
    pack = _load_pack()
    headless = importlib.import_module(f"{PACK}.nodes.headless")
    graphs = importlib.import_module(f"{PACK}.nodes.headless.graph")
    # The pack has an engine of its own, and so an error class of its own.
    try:
        graph = graphs.read_graph(args.workflow)
        folders = headless.Folders(
            Path(args.input), Path(args.output), tuple(map(Path, args.models)), args.allow_outside, args.large
        )
        graphs.set_inputs(graph, args.set, {**pack.NODE_CLASS_MAPPINGS, **headless.stand_ins(folders)})
        with _ProgressDisplay(args.quiet) as display:

            def on_progress(title: str, value: float, total: int, _: object) -> None:
                if total:
                    display(title, int(value), total)

            if args.server:
                client = importlib.import_module(f"{PACK}.nodes.headless.server_client")
                written = client.run_on_server(
                    graph,
                    args.server,
                    input_folder=args.input,
                    output_folder=args.output,
                    on_progress=on_progress,
                    allow_outside=args.allow_outside,
                )
            else:
                written = headless.run_embedded(graph, pack.NODE_CLASS_MAPPINGS, folders, on_progress)
    except graphs.NSTError as error:
        raise NSTError(str(error)) from error
    for path in written:
        _tell(path)
    return DONE


def _load_pack() -> ModuleType:
    """The ComfyUI pack around this engine, imported as ComfyUI does: from its file, under a name of our own."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "nodes" / "headless").is_dir() or not (root / "__init__.py").is_file():
        raise NSTError(
            "run: graphs need the whole pack, of which only the engine is installed here. "
            "Clone its repository and use nst from there (pip install -e, or python -m nst_engine in its folder)."
        )
    if PACK not in sys.modules:
        spec = importlib.util.spec_from_file_location(PACK, root / "__init__.py")
        assert spec and spec.loader
        sys.modules[PACK] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[PACK])
    return sys.modules[PACK]


COMMANDS: dict[str, Callable[..., int]] = {
    "stylize": _make,
    "texture": _make,
    "batch": _batch,
    "video": _video,
    "again": _again,
    "run": _run,
    "recipes": _recipes,
}


# --- what the user sees while waiting -----------------------------------------------------------------------------


class _ProgressDisplay:
    """A bar where stderr is a terminal and tqdm is there, a line now and then elsewhere, nothing when quiet."""

    def __init__(self, quiet: bool, tells_time: bool = True) -> None:
        self.quiet = quiet
        self.form = None if tells_time else "{l_bar}{bar}| {n_fmt} of {total_fmt}{postfix}"
        self.bar: Any = None
        self.title = ""
        self.last = float("-inf")
        self.tqdm: Any = None
        if not quiet and sys.stderr is not None and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                self.tqdm = importlib.import_module("tqdm").tqdm

    def __enter__(self) -> _ProgressDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def say(self, text: str) -> None:
        """Above the bar."""
        if self.bar is not None:
            self.bar.clear()
        _say(text)

    def __call__(self, title: str, value: int, total: int, note: Callable[[], str] = str) -> None:
        """`note` is asked only when something is shown: reading a loss waits for the device."""
        now = time.monotonic()
        fresh, self.title = title != self.title, title
        interval = SECONDS_BETWEEN_DRAWINGS if self.tqdm else SECONDS_BETWEEN_LINES
        if self.quiet or not (fresh or now - self.last >= interval or (self.tqdm and 0 < total <= value)):
            return
        self.last = now
        if self.tqdm is None:
            _say(f"{title}: {value} of {total} {note()}".rstrip())
            return
        if fresh:
            self.__exit__()
            self.bar = self.tqdm(total=total or None, desc=title, unit_scale=total > 1_000_000, bar_format=self.form)
        self.bar.n = value
        self.bar.set_postfix_str(note(), refresh=False)
        self.bar.refresh()
