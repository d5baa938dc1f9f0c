"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Option(help="A name from `diffsight models`, a folder, or a hub id.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:N or mps.")]
Dtype = Annotated[str | None, typer.Option(help="float32, float16 or bfloat16.")]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal results.")]
Prompt = Annotated[str | None, typer.Option(help="What the model is told to see.")]
Side = Annotated[int | None, typer.Option(help="Side of the square network input, pixels.")]
Fitting = Annotated[str | None, typer.Option(help="stretch, pad or crop.")]
Stage = Annotated[str | None, typer.Option(help="Feature stage, such as up1.")]
Timestep = Annotated[int | None, typer.Option(help="Noise index, 0 to 999.")]
Ensemble = Annotated[int | None, typer.Option(help="Noise draws averaged.")]
Store = Annotated[Path | None, typer.Option(metavar="DIR", help="Keep what the network saw, for later runs.")]
Change = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A setting of reading off matches; repeat for more."),
]
Debias = Annotated[int, typer.Option(metavar="RANK", help="Directions of position taken out of the maps.")]
Engine = Annotated[str, typer.Option(help="local, or ray: many workers, here or on a cluster (docs/scaling.md).")]
Workers = Annotated[int | None, typer.Option(metavar="N", help="With --engine ray; all that fit if left out.")]
