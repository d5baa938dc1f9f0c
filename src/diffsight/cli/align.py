"""``diffsight align``: how one photo lies on another."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DiffsightError, InvalidInput
from ..files import CONVENTION, check_writable, file_digest, save_json
from .inputs import refuse_other_run
from .options import Device, Dtype, Ensemble, Fitting, Model, Seed, Side, Stage, Store, Timestep

if TYPE_CHECKING:
    from ..matching.aligner import View
    from ..matching.homography import Alignment, EstimateSettings
    from ..matching.sparse import SparseSettings
    from ..types import Matches

REPORT = "align.json"
PLANE = ("overlay.png", "checkerboard.png", "warped.png", "blink.gif")
"""Pictures that only a homography or an affine map has."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("align")(align)


def align(
    photo_a: Annotated[Path, typer.Argument(metavar="A", help="The photo to lay over the other.")],
    photo_b: Annotated[Path, typer.Argument(metavar="B", help="The photo below.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")] = Path("aligned"),
    preset: Annotated[
        str, typer.Option(help="default, paper (DIFT's script with Stable Diffusion), or paper-adm.")
    ] = "default",
    kind: Annotated[str | None, typer.Option(help="homography (the default), affine or fundamental.")] = None,
    estimator: Annotated[str | None, typer.Option(help="magsac (the default), ransac or lmeds.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="How far off an agreeing match may be, pixels of B; 3 by default.")
    ] = None,
    keypoints: Annotated[str, typer.Option(help="sift, orb, grid or superpoint.")] = "sift",
    count: Annotated[int, typer.Option(help="Keypoints a photo at most.")] = 1000,
    keypoints_a: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keypoints of A: .kp (x and y in a line) or .npz (keypoints).")
    ] = None,
    keypoints_b: Annotated[Path | None, typer.Option(metavar="FILE", help="Likewise of B.")] = None,
    ratio: Annotated[
        float | None, typer.Option(help="Keep matches whose distance is at most so much of the second best's.")
    ] = None,
    sampling: Annotated[
        str | None, typer.Option(help="correct (the default), or reference to repeat the published script.")
    ] = None,
    measure: Annotated[str | None, typer.Option(help="cosine (the default) or distance.")] = None,
    colmap: Annotated[bool, typer.Option("--colmap", help="Also write the matches as COLMAP's text files.")] = False,
    hdf5: Annotated[bool, typer.Option("--hdf5", help="Also write the matches as hloc's HDF5 files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    model: Model = "pocket",
    size: Side = None,
    fit: Fitting = None,
    stage: Stage = None,
    timestep: Timestep = None,
    ensemble: Ensemble = None,
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = None,
    store: Store = None,
) -> None:
    """Find how photo A lies on photo B, of the same plane or scene, by matching keypoints.

    Writes the matches (inliers.png), A as seen from B (warped.png), overlay, checkerboard and blinking GIF, the matrix
    (matrix.txt) and everything in figures (align.json). A fundamental matrix has no pictures but the first. If no
    matrix is found, only inliers.png and align.json are written, which says why, and the exit code is 2.
    """
    from ..matching.export import check_hdf5, check_names

    if (keypoints_a is None) != (keypoints_b is None):
        raise InvalidInput("keypoints of one photo only are given; give both --keypoints-a and --keypoints-b, or none")
    if out.exists() and not out.is_dir():
        raise InvalidInput(f"--out {out} is a file; give a folder")
    check_writable(out)
    if colmap or hdf5:
        check_names(photo_a.name, photo_b.name)
    if hdf5:
        check_hdf5()
    digests = {"a": file_digest(photo_a), "b": file_digest(photo_b)}
    refuse_other_run(out / REPORT, {"photo_digests": digests})

    from ..images import load_picture
    from ..matching.aligner import Aligner
    from ..matching.homography import doubts

    comparison = {"sampling": sampling, "measure": measure, "ratio": ratio}
    fitting = {"kind": kind, "estimator": estimator, "threshold": threshold, "seed": seed}
    matching, estimation = _settings(preset, comparison, fitting)
    pictures = load_picture(photo_a), load_picture(photo_b)
    reading: dict[str, Any] = {"size": None if size is None else (size, size), "fit": fit, "stage": stage}
    reading |= {"timestep": timestep, "ensemble": ensemble, "seed": seed}
    aligner = Aligner(
        model,
        keypoints=keypoints,  # type: ignore[arg-type]
        count=count,
        matching=matching,
        estimation=estimation,
        device=device,
        dtype=dtype,
        store=store,
        **reading,
    )
    views = tuple(aligner.view(*given) for given in zip(pictures, (keypoints_a, keypoints_b), strict=True))
    matches, alignment = aligner.align(*views)
    warnings = doubts(alignment, pictures[0].size)
    report = {
        "a": str(photo_a),
        "b": str(photo_b),
        "photo_digests": digests,
        "model": aligner.matcher.reader.name,
        "reading": aligner.matcher.reader.record,
        "keypoints": [str(keypoints_a), str(keypoints_b)] if keypoints_a else keypoints,
        "matching": asdict(matching),
        "estimation": asdict(estimation),
        **_figures(views, matches, alignment),
        "warnings": list(warnings),
    }
    drawn = _write(out, views, matches, alignment)
    _export(out, views, matches, colmap, hdf5)
    save_json(report, out / REPORT)
    if as_json:
        print(json.dumps(report, indent=2))
    if alignment.matrix is None:
        raise DiffsightError(f"{photo_a} cannot be laid over {photo_b}: {alignment.reason}; see {drawn[0]}")
    if as_json:
        return
    agreeing = report["inliers"]
    print(
        f"{agreeing} of {len(matches)} matches agree ({agreeing / len(matches):.0%}), half of them within "
        f"{alignment.median_error:.2f} px"
    )
    for line in warnings:
        print(f"doubtful: {line}")
    for path in (*drawn, out / REPORT):
        print(path)


def _settings(
    preset: str, matching: dict[str, Any], estimation: dict[str, Any]
) -> tuple[SparseSettings, EstimateSettings]:
    from ..matching.aligner import PRESETS

    if preset not in PRESETS:
        raise InvalidInput(f"unknown preset {preset!r}; use {', '.join(PRESETS)}")
    compare, fit = PRESETS[preset]
    given = [{name: value for name, value in own.items() if value is not None} for own in (matching, estimation)]
    return replace(compare, **given[0]), replace(fit, **given[1])


def _figures(views: tuple[View, ...], matches: Matches, alignment: Alignment) -> dict[str, Any]:
    from ..grid import centre_matrix

    matrix, found = alignment.matrix, alignment.matrix is not None
    return {
        "convention": CONVENTION,
        "kind": alignment.kind,
        "matrix": None if matrix is None else matrix.tolist(),
        "matrix_opencv": None if matrix is None or alignment.kind == "fundamental" else centre_matrix(matrix).tolist(),
        "reason": alignment.reason,
        "inliers": int(alignment.inliers.sum()),
        "median_error": round(alignment.median_error, 4) if found else None,
        "found": [len(view.keypoints) for view in views],
        "matches": [
            {"x": x, "y": y, "matched_x": u, "matched_y": v, "score": round(float(score), 5), "inlier": bool(inlier)}
            for (x, y), (u, v), score, inlier in zip(
                matches.query.tolist(), matches.matched.tolist(), matches.score, alignment.inliers, strict=True
            )
        ],
    }


def _write(out: Path, views: tuple[View, ...], matches: Matches, alignment: Alignment) -> list[Path]:
    """Write pictures and matrix; returns their paths, the ones to look at first."""
    from PIL import Image

    from ..draw import save_picture
    from ..draw_alignment import checkerboard, draw_inliers, overlay, save_blink, warp_source
    from ..files import atomic

    source, target = (view.picture for view in views)
    exports = ("colmap/matches.txt", "hloc/features.h5", "hloc/matches.h5", "hloc/pairs.txt")
    for name in (REPORT, *PLANE, "matrix.txt", *exports):  # of another run; they must not stand beside this one's
        (out / name).unlink(missing_ok=True)
    save_picture(draw_inliers(source, target, matches, alignment), out / "inliers.png")
    if alignment.matrix is not None:
        if alignment.kind != "fundamental":
            warped = warp_source(source, target, alignment.matrix)
            save_picture(overlay(warped, target), out / "overlay.png")
            save_picture(checkerboard(warped, target), out / "checkerboard.png")
            save_picture(Image.fromarray(warped), out / "warped.png")
            save_blink(warped, target, out / "blink.gif")
        with atomic(out / "matrix.txt") as part:
            rows = "\n".join(" ".join(f"{value:.17g}" for value in row) for row in alignment.matrix)
            part.write_text(f"# {alignment.kind}, A to B; {CONVENTION}\n{rows}\n")
    return [path for name in ("inliers.png", *PLANE, "matrix.txt") if (path := out / name).exists()]


def _export(out: Path, views: tuple[View, ...], matches: Matches, colmap: bool, hdf5: bool) -> None:
    from ..matching.export import Side, save_colmap, save_hloc

    source, target = (Side(view.picture.name, view.picture.size, view.keypoints) for view in views)
    if colmap:
        save_colmap(out / "colmap", source, target, matches)
    if hdf5:
        save_hloc(out / "hloc", source, target, matches)
