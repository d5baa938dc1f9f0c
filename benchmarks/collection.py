"""Collections of features: what they lose, which store keeps them, how long a search takes.

    python benchmarks/collection.py loss              PCK by number of components, on seeds for tuning
    python benchmarks/collection.py loss --reserved   the default's, on seeds kept apart from all choices
    python benchmarks/collection.py stores            safetensors with parquet against Lance (pip install pylance)
    python benchmarks/collection.py find              the whole command

Photos of ``loss`` are procedural pictures, read by pocket or what ``--model`` says. ``stores`` and ``find`` fill 10,000
photos of pocket's size with random unit vectors: what they say of time and size does not depend on what vectors mean.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from harness import MIB, Peak

TUNING, BASES = 900_000_000, 910_000_000
"""Seeds of pictures that choices are made on, and that axes are found from."""

THREADS = len(os.sched_getaffinity(0))
"""As many as there are cores to run on."""

PHOTOS, SHARD = 10_000, 2_000
CELLS, DIMS = 576, 30


def loss(model: str, reserved: bool, per_category: int) -> None:
    """Semantic PCK of a reader on pairs of procedural pictures, by whole features and by what a collection keeps."""
    import numpy as np
    import torch

    from diffsight.benchmarks.metrics import PairErrors, pck
    from diffsight.benchmarks.pairs import KeypointPair, world_pairs
    from diffsight.collection.basis import Basis, compact
    from diffsight.collection.manifest import Manifest
    from diffsight.collection.search import locate
    from diffsight.collection.shards import Entry
    from diffsight.matching import nearest
    from diffsight.readers import open_reader
    from diffsight.types import Reading
    from diffsight.world import RESERVED

    torch.set_num_threads(THREADS)
    reader = open_reader(model, device="cpu", dtype="float32")
    channels = sum(reader.channels)
    sample = [photo for pair in world_pairs(3, BASES) for photo in (pair.source, pair.target)][:64]
    maps = [compact(reading) for reading in reader.read(sample)]
    grid = (maps[0].shape[1], maps[0].shape[2])
    pairs = [pair for pair in world_pairs(per_category, RESERVED if reserved else TUNING) if len(pair.query)]
    read = [reader.read([pair.source, pair.target]) for pair in pairs]

    def score(match: Callable[[KeypointPair, Reading, Reading], Any]) -> tuple[float, float]:
        found = []
        for pair, (source, target) in zip(pairs, read, strict=True):
            errors = np.linalg.norm(match(pair, source, target) - pair.truth, axis=1)
            found.append(PairErrors(pair.category, errors, pair.threshold))
        one = pck(found, 0.1)
        return one.per_point, one.per_image

    whole = score(lambda pair, a, b: nearest.match(a, b, pair.query).matched)
    print(f"{len(pairs)} pairs, {sum(len(pair.query) for pair in pairs)} points\n")
    print("| kept | bytes a photo | of fp16 | PCK@0.1 per point | lost | per image | lost |")
    print("|---|---|---|---|---|---|---|")
    print(f"| all {channels} channels, fp16 | {maps[0].nbytes:,} | 1 | {whole[0]:.2f} | | {whole[1]:.2f} | |")
    rows = [("int8", DIMS)] if reserved else [("float16", d) for d in (14, 16, 32, 64, 128)]
    rows += [] if reserved else [("int8", d) for d in (16, 24, 28, 30, 32, 64, 128)]
    for numbers, dims in rows:
        basis = Basis.fit(maps, dims)
        manifest = Manifest(reader.name, "", channels, dims, numbers, grid, "")  # type: ignore[arg-type]

        def by_collection(
            pair: KeypointPair, a: Reading, b: Reading, basis: Basis = basis, manifest: Manifest = manifest
        ) -> Any:
            cells = a.fit.to_grid(pair.query, a.grid())
            vectors = nearest.unit(nearest.sample(basis.project(compact(a), a.fit), cells))
            kept = manifest.unpack(manifest.pack(basis.project(compact(b), b.fit))).T.unflatten(1, b.grid())
            return np.array([locate(Entry("", "", "", b.fit), kept, vector).point for vector in vectors])

        own = score(by_collection)
        print(
            f"| {dims}, {numbers} | {manifest.photo_bytes:,} | 1/{manifest.raw_bytes / manifest.photo_bytes:.1f} | "
            f"{own[0]:.2f} | {whole[0] - own[0]:.2f} | {own[1]:.2f} | {whole[1] - own[1]:.2f} |",
            flush=True,
        )


def random_vectors(count: int, seed: int) -> Any:
    """``count`` photos of random unit vectors as a collection stores them."""
    import torch

    vectors = torch.randn(count, CELLS, DIMS, generator=torch.Generator().manual_seed(seed))
    return (vectors / vectors.norm(dim=2, keepdim=True) * 127).round().to(torch.int8)


def entries(first: int, count: int, photo: str = "") -> list[Any]:
    """As many entries, with names, digests and a layout as real ones have."""
    from diffsight.collection.shards import Entry, digest
    from diffsight.grid import Fit

    fit = Fit.make("stretch", (128, 128), (96, 96))
    numbers = range(first, first + count)
    return [
        Entry(f"photo_{n:05d}.jpg", photo or f"/photos/photo_{n:05d}.jpg", digest(str(n).encode()), fit)
        for n in numbers
    ]


def shards_write(folder: Path) -> None:
    """Safetensors shards, and the parquet index after each."""
    from diffsight.collection import shards
    from diffsight.collection.index import Index

    rows: list[Any] = []
    for order in range(PHOTOS // SHARD):
        rows += shards.write(folder / "shards", order, entries(order * SHARD, SHARD), random_vectors(SHARD, order))
        Index(rows, order + 1).save(folder / "index.parquet")


def shards_blocks(folder: Path) -> Iterator[Any]:
    """Vectors, 64 photos at a time, after the index was read."""
    from diffsight.collection import shards
    from diffsight.collection.index import Index

    for name, _ in Index.load(folder / "index.parquet").shards():
        yield from shards.load(folder / "shards" / name).split(64)


def lance_write(folder: Path) -> None:
    """The same photos and facts as one Lance table, in as many appends."""
    import lance
    import pyarrow as pa

    for order in range(PHOTOS // SHARD):
        flat = pa.array(random_vectors(SHARD, order).flatten().numpy())
        vectors = pa.FixedSizeListArray.from_arrays(flat, CELLS * DIMS)
        table = pa.Table.from_pylist([entry.facts() for entry in entries(order * SHARD, SHARD)])
        mode = "append" if order else "create"
        lance.write_dataset(table.append_column("vectors", vectors), str(folder / "table.lance"), mode=mode)


def lance_blocks(folder: Path) -> Iterator[Any]:
    """Vectors, 64 photos at a time, after the other columns were read."""
    import lance
    import torch

    table = lance.dataset(str(folder / "table.lance"))
    table.to_table(columns=["name", "path", "digest", "original", "network", "scale", "offset"]).to_pylist()
    for batch in table.scanner(columns=["vectors"], batch_size=64).to_batches():
        yield torch.from_numpy(batch.column(0).flatten().to_numpy().copy()).view(-1, CELLS, DIMS)


STORES = {"safetensors + parquet": (shards_write, shards_blocks), "Lance": (lance_write, lance_blocks)}


def _search(which: str, folder: Path) -> dict[str, Any]:
    """Open a store and compare all of its cells with one vector, in a process of its own."""
    import torch

    torch.set_num_threads(THREADS)
    if which == "Lance":
        import lance  # noqa: F401
    else:
        import pyarrow.parquet  # noqa: F401
        import safetensors.torch  # noqa: F401

        from diffsight.collection import index  # noqa: F401
    vector = torch.nn.functional.normalize(torch.randn(DIMS, generator=torch.Generator().manual_seed(9)), dim=0)
    seconds = []
    for _ in range(6):
        with Peak() as memory:
            start = time.perf_counter()
            blocks = STORES[which][1](folder)
            best = torch.cat([(b.float().flatten(0, 1) @ vector).view(len(b), -1).amax(dim=1) for b in blocks])
            seconds.append(time.perf_counter() - start)
    places = best.topk(5).indices.tolist()
    return {"first": seconds[0], "again": min(seconds[1:]), "peak": memory.added / MIB, "best": places}


def stores() -> None:
    """Write 10,000 photos to each store and search them."""
    import torch

    torch.set_num_threads(THREADS)
    start = time.perf_counter()
    for order in range(PHOTOS // SHARD):
        random_vectors(SHARD, order)
    making = time.perf_counter() - start
    print("| store | write | size | a photo | open and search, first | again | added memory | best photos |")
    print("|---|---|---|---|---|---|---|---|")
    for which, (write, _) in STORES.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            start = time.perf_counter()
            write(folder)
            seconds = time.perf_counter() - start - making
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found = pool.apply(_search, (which, folder))
            print(
                f"| {which} | {seconds:.1f} s | {size / 1e6:.1f} MB | {size / PHOTOS:,.0f} B | "
                f"{found['first']:.2f} s | {found['again']:.2f} s | {found['peak']:.0f} MiB | {found['best']} |",
                flush=True,
            )


def find() -> None:
    """The whole command on a collection of 10,000 photos: 64 real ones, the others random."""
    import numpy as np
    import torch
    from PIL import Image

    from diffsight.benchmarks.pairs import world_pairs
    from diffsight.collection import search, shards
    from diffsight.collection.index import Index
    from diffsight.collection.store import Collection
    from diffsight.images import load_picture
    from diffsight.readers import ModelReader

    torch.set_num_threads(THREADS)
    opened = {"model": "pocket", "task": "semantic", "dtype": "float32"}
    reader = ModelReader.open("pocket", device="cpu", dtype="float32")
    with tempfile.TemporaryDirectory() as name:
        root, photos = Path(name), []
        pairs = world_pairs(3, TUNING)
        pictures = [picture for pair in pairs for picture in (pair.source, pair.target)]
        for number, picture in enumerate(pictures):
            path = root / f"{number:03d}.png"
            Image.fromarray(picture.array()).save(path)
            photos.append((path.name, path))
        kept, _ = Collection.create(root / "kept", reader, photos[:64], opened=opened)
        x, y = pairs[0].query[0]
        rows, more = list(kept.index.entries), (PHOTOS - 64) // SHARD + 1
        for order in range(more):
            count = min(SHARD, PHOTOS - len(rows))
            own = entries(len(rows), count, photo=str(photos[0][1]))
            rows += shards.write(root / "kept" / "shards", order + 1, own, random_vectors(count, order))
        Index(rows, more + 1).save(root / "kept" / "index.parquet")
        start = time.perf_counter()
        kept = Collection(root / "kept")
        opening = time.perf_counter() - start
        vector = kept.describe(reader.read([load_picture(photos[0][1])])[0], np.array([[x, y]]))[0]
        seconds = []
        for _ in range(9):
            with Peak() as memory:
                start = time.perf_counter()
                search.search(kept, vector, 20)
                seconds.append(time.perf_counter() - start)
        print(f"{len(kept):,} photos, {kept.size / 1e6:.0f} MB, {kept.size / len(kept):,.0f} bytes a photo")
        print(f"opening: {opening:.2f} s")
        print(f"search: {min(seconds):.2f} s (fastest of 9), {memory.added / MIB:.0f} MiB added")
        run = "from diffsight.cli import main; main()"
        command = [
            sys.executable,
            "-c",
            run,
            "find",
            str(photos[0][1]),
            "--point",
            f"{x},{y}",
            "--in",
            str(kept.folder),
            "--out",
            str(root / "found"),
        ]
        loading = [sys.executable, "-c", "from diffsight.backbones.registry import load; load('pocket', device='cpu')"]
        for what, line in {"find, the whole command": command, "of it, loading pocket": loading}.items():
            taken = []
            for _ in range(3):
                start = time.perf_counter()
                subprocess.run(line, check=True, capture_output=True)
                taken.append(time.perf_counter() - start)
            print(f"{what}: {min(taken):.2f} s (fastest of 3)")


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["loss", "stores", "find"])
    parser.add_argument("--model", default="pocket", help="of loss: a model or a recipe")
    parser.add_argument("--reserved", action="store_true", help="seeds that no choice was made on")
    parser.add_argument("--pairs", type=int, default=10, help="of each of 12 categories")
    options = parser.parse_args()
    print(f"{date.today().isoformat()}, {platform.machine()}, {THREADS} threads\n")
    if options.part == "loss":
        loss(options.model, options.reserved, options.pairs)
    else:
        {"stores": stores, "find": find}[options.part]()


if __name__ == "__main__":
    main()
