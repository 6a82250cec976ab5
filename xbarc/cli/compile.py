"""``xbarc compile``: from a trained network to a program."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from xbarc.cli.options import AnalogOption, HostOption, JsonOption, ModelArgument, SetOption, ThreadsOption
from xbarc.errors import UsageError

COMPILE_EXAMPLE: Final = "xbarc compile resnet.onnx --calibrate sample.npz --set adc.bits=6 -o resnet6.xbar.onnx"


def compile_(
    model: ModelArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PROGRAM",
            help="Where to write the program; MODEL's name with .xbar.onnx in the current folder by default.",
        ),
    ] = None,
    hardware: Annotated[
        str, typer.Option("--hardware", metavar="NAME|FILE.toml", help="A preset or a description.")
    ] = "generic-pcm",
    overrides: SetOption = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate",
            metavar="DATA",
            help="Inputs to find converter ranges with: an .npz or a folder of .npy files.",
        ),
    ] = None,
    analog: AnalogOption = None,
    host: HostOption = None,
    split: Annotated[
        str,
        typer.Option(
            "--split",
            metavar="greedy|balanced|positions",
            help="How matrices are cut into blocks: as large as a tile holds, as many of equal sizes, "
            "or each position of a convolution's kernel by itself.",
        ),
    ] = "greedy",
    replicate: Annotated[
        str,
        typer.Option(
            "--replicate",
            metavar="none|balance|WINDOWS|RATE/s",
            help="Copies of layers with many windows: none, as many as make the slowest layer as fast as the chip "
            "allows, so many that each takes at most WINDOWS rounds, or enough for so many inferences a second.",
        ),
    ] = "none",
    pack: Annotated[
        str,
        typer.Option(
            "--pack",
            metavar="off|layer|network",
            help="Let blocks share tiles: those of one layer, or of all; layers that share a tile take turns.",
        ),
    ] = "off",
    pack_mode: Annotated[
        str,
        typer.Option(
            "--pack-mode",
            metavar="parallel|dense",
            help="Pack so that all that a layer has in a tile is read at once, or into as few tiles as can be, at the "
            "price of reads that follow each other.",
        ),
    ] = "parallel",
    segments: Annotated[
        bool,
        typer.Option(
            "--segments",
            help="Write the chip for one part of the network after the other, where it is larger than the chip.",
        ),
    ] = False,
    dump_folder: Annotated[
        Path | None,
        typer.Option(
            "--dump-folder",
            metavar="DIR",
            file_okay=False,
            help="Write the IR as text after each pass into this folder.",
        ),
    ] = None,
    check_passes: Annotated[
        bool,
        typer.Option("--check-passes", help="Show on stderr by how much each pass changes the outputs for one batch."),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Prove that every weight lies on cells of its own, which give it back."),
    ] = False,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Compile a trained network to a program for a chip.

    The program is an ONNX model, which onnxruntime executes. Without calibration data, converter ranges come from
    random inputs, and the program is marked uncalibrated.
    """
    from xbarc.api.compiler import compile_model
    from xbarc.api.files import check_output
    from xbarc.cli.terminal import print_difference, print_json, print_page, progress, warn
    from xbarc.report.compilation import Compilation
    from xbarc.report.pages import compilation_page

    target = output or Path(f"{model.name.removesuffix('.onnx')}.xbar.onnx")
    check_output(target)
    for given in (model, calibrate, Path(hardware)):
        if given is not None and target.exists() and given.exists() and os.path.samefile(given, target):
            raise UsageError(
                f"the program would overwrite {given}, from which it is made", fix="name another file with -o"
            )
    with progress() as advance:
        program = compile_model(
            model,
            hardware=hardware,
            overrides=overrides or (),
            calibration=calibrate,
            analog=analog or (),
            host=host or (),
            split=_split(split),
            replicate=_replication(replicate),
            pack=_packing(pack),
            pack_mode=_packing_mode(pack_mode),
            segments=segments,
            threads=threads,
            dump_folder=dump_folder,
            on_difference=print_difference if check_passes else None,
            verify=verify,
            progress=lambda name, number, of: advance(name, number - 1, of),
        )
        advance("writing", 0, None)
        program.save(target)
    result = Compilation(str(model), str(target), program.report())
    warn(result.report.warnings)
    if json:
        print_json(result.to_json())
    else:
        print_page(compilation_page(result))


def _split(text: str) -> Literal["greedy", "balanced", "positions"]:
    """What ``--split`` asks for.

    Raises:
        UsageError: none of what there is.
    """
    if text == "greedy":
        return "greedy"
    if text == "balanced":
        return "balanced"
    if text == "positions":
        return "positions"
    raise UsageError(f"--split cannot be {text!r}", fix="give greedy, balanced or positions")


def _packing(text: str) -> Literal["off", "layer", "network"]:
    """What ``--pack`` asks for.

    Raises:
        UsageError: none of what there is.
    """
    if text == "off":
        return "off"
    if text == "layer":
        return "layer"
    if text == "network":
        return "network"
    raise UsageError(f"--pack cannot be {text!r}", fix="give off, layer or network")


def _packing_mode(text: str) -> Literal["parallel", "dense"]:
    """What ``--pack-mode`` asks for.

    Raises:
        UsageError: none of what there is.
    """
    if text == "parallel":
        return "parallel"
    if text == "dense":
        return "dense"
    raise UsageError(f"--pack-mode cannot be {text!r}", fix="give parallel or dense")


def _replication(text: str) -> int | str:
    """What ``--replicate`` asks for.

    Raises:
        UsageError: none of what there is.
    """
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    if text in ("none", "balance") or text.endswith("/s"):
        return text
    raise UsageError(
        f"--replicate cannot be {text!r}",
        fix="give none, balance, the number of windows that the slowest layer may take, at least 1, or how many "
        "inferences a second are enough, such as 5k/s",
    )
