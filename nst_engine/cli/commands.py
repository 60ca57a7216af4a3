"""`nst`: each command done, and what goes wrong said in words."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .. import RECIPES, STOP, NSTError, Position, Progress, StyleGrams, VGGFeatures, __version__
from ..pictures.files import write_somewhere
from ..system.interrupts import main_has_begun, main_has_ended
from ..system.out_of_memory import is_out_of_memory
from ..system.safe_text import shown
from . import one_picture
from .again import repeat
from .arguments import OPTIONS, parser, printable
from .inputs import StyleInput, read_inputs
from .terminal import ProgressDisplay, print_nothing_more, say, stops_on_ctrl_c, tell
from .video import Listener, VideoCommand
from .workflows import load_graphs, run_workflow

DONE, USER_ERROR, INTERRUPTED = 0, 1, 130


def main(argv: Sequence[str] | None = None) -> int:
    try:
        main_has_begun()
        status = _answered(list(sys.argv[1:] if argv is None else argv))
        main_has_ended()
        return status
    except KeyboardInterrupt:
        main_has_ended()
        say("nst: interrupted")
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
            print_nothing_more()
        return _fail(f"{shown(error.filename or 'the output')}: {error.strerror or error}")
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            return _fail("out of memory; a smaller size of the picture or the style, or precision bf16, needs less")
        raise


def _fail(message: str) -> int:
    say(f"nst: {message}")
    return USER_ERROR


# --- nst stylize, nst texture -------------------------------------------------------------------------------------


def _picture(args: argparse.Namespace, argv: list[str]) -> int:
    """A texture is a picture without a content. `argv` is stored in the file."""
    one_picture.style_weights(args)  # what does not go together is refused before anything is read
    one_picture.layers_of(args)
    inputs, out = read_inputs(args), Path(args.out)
    content = inputs.content

    with ProgressDisplay(args.quiet) as display:
        vgg = one_picture.network_of(args, partial(display, f"download {args.weights}"))
        grams = one_picture.blended(inputs, args, _measuring(vgg, args, display))
        _save_style(grams, vgg, args)
        with stops_on_ctrl_c() as asked_to_stop:
            watch = _Watch(display, "stylise" if content else "texture", asked_to_stop)
            result = one_picture.make(
                *(vgg, inputs, grams, args),
                on_step=watch.on_step,
                on_tile=watch.on_tile,
                on_measure=partial(display, "measure"),
                on_layer=watch.on_layer,
            )
            of = {"content": content.path.name} if content else {}
            settings = {**result.settings, **of, "program": f"nst {__version__}", "argv": argv}
            written, failure = write_somewhere(
                out, settings=settings, **one_picture.writing(out, inputs, result.image, args)
            )
    if not args.quiet:
        for note in result.notes:
            say(note)
    tell(written)
    if failure:
        return _fail(f"{failure}. The finished picture is {written} instead.")
    return INTERRUPTED if result.settings["stopped_early"] else DONE


@dataclass
class _Watch:
    """Shows how far one run is, and hears Ctrl-C."""

    display: ProgressDisplay
    title: str
    asked_to_stop: Callable[[], bool]
    begun: bool = False  # there is a picture that can be kept

    def on_step(self, progress: Progress) -> object:
        self.begun = True
        total = progress.steps * progress.pictures
        self.display(self.title, int(progress.done), total, lambda: f"loss {progress.total:.4g}")
        return STOP if self.asked_to_stop() else None

    def on_tile(self, position: Position) -> None:
        total = position.steps * position.pictures
        self.display(self.title, int(position.done), total, lambda: f"tile {position.tile} of {position.tiles}")

    def on_layer(self) -> None:
        if self.asked_to_stop() and not self.begun:
            raise KeyboardInterrupt


def _measuring(
    vgg: VGGFeatures, args: argparse.Namespace, display: ProgressDisplay
) -> Callable[[StyleInput], StyleGrams]:
    def measure(given: StyleInput) -> StyleGrams:
        name = "style" if isinstance(given.style, StyleGrams) else given.style.path.name
        return one_picture.measure_style(vgg, given, args, partial(display, f"measure {name}"))

    return measure


def _save_style(grams: StyleGrams, vgg: VGGFeatures, args: argparse.Namespace) -> None:
    if args.save_style:
        grams.check_network(vgg)
        grams.save(args.save_style)


# --- nst batch ----------------------------------------------------------------------------------------------------


def _batch(args: argparse.Namespace, _: list[str]) -> int:
    from .batch.command import batch
    from .batch.report import Console

    with ProgressDisplay(args.quiet, tells_time=False) as display:
        return batch(args, Console(display.say, tell, display, args.quiet), load_graphs)


# --- nst video ----------------------------------------------------------------------------------------------------


def _video(args: argparse.Namespace, argv: list[str]) -> int:
    one_picture.style_weights(args)  # what does not go together is refused before anything is read
    one_picture.layers_of(args)
    command = VideoCommand(args, argv)
    kept = "frames that are finished will be kept, if there are any (Ctrl-C again quits at once)"
    with ProgressDisplay(args.quiet) as display, command:
        command.begin()
        inputs = command.inputs()
        vgg = one_picture.network_of(args, partial(display, f"download {args.weights}"))
        grams = one_picture.blended(inputs, args, _measuring(vgg, args, display))
        _save_style(grams, vgg, args)
        with stops_on_ctrl_c(kept) as asked_to_stop:
            try:
                finished = command.run(vgg, grams, inputs, Listener(display, asked_to_stop))
            except Exception:
                if not command.job.is_empty:
                    display.say(command.kept(goes_on=True))
                raise
            written = command.write(finished, goes_on=asked_to_stop())
    for reason in command.failures:
        _fail(reason)
    if not args.quiet or not finished:
        for note in command.notes:
            say(note)
    tell(written)
    return DONE if finished else INTERRUPTED if asked_to_stop() else USER_ERROR


# --- nst again, nst recipes ---------------------------------------------------------------------------------------


def _again(args: argparse.Namespace, _: list[str]) -> int:
    folders, yes, changes = list(args.folders), args.yes, []
    words = iter(args.changes)
    for word in words:  # words after RESULT are for the command that made it, except these two
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
        say(f"{args.result} was stopped early; this run goes on to the end")
    if not found.args.quiet:
        say(found.summary)
    if found.costs and not yes:
        _ask(f"again: {args.result} asks for {', and '.join(found.costs)}")
    return COMMANDS[found.args.command](found.args, found.argv)


def _ask(what: str) -> None:
    """A person at a terminal; nobody else can answer."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise NSTError(f"{what}; give --yes if that is meant, or another --size, --steps or --style-size.")
    say(f"nst: {what}. Go on? (y/n)")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise NSTError("again: nothing was done.")


def _recipes(*_: object) -> int:
    for recipe in RECIPES.values():
        tell(printable(f"{recipe.name:18}{recipe.title}: {recipe.source}", sys.stdout))
    return DONE


# --- nst run ------------------------------------------------------------------------------------------------------


def _run(args: argparse.Namespace, _: list[str]) -> int:
    for path in run_workflow(args):
        tell(path)
    return DONE


COMMANDS: dict[str, Callable[..., int]] = {
    "stylize": _picture,
    "texture": _picture,
    "batch": _batch,
    "video": _video,
    "again": _again,
    "run": _run,
    "recipes": _recipes,
}
