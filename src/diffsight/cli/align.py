"""``diffsight align``: how one photo lies on another."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DiffsightError, InvalidInput
from ..files import check_writable
from .inputs import CONVENTION, file_digest, refuse_other_run
from .options import Device, Dtype, Ensemble, Fitting, Model, Seed, Side, Stage, Store, Timestep

if TYPE_CHECKING:
    from ..matching.aligner import View
    from ..matching.homography import Alignment
    from ..types import Matches

REPORT = "align.json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("align")(align)


def align(
    photo_a: Annotated[Path, typer.Argument(metavar="A", help="The photo to lay over the other.")],
    photo_b: Annotated[Path, typer.Argument(metavar="B", help="The photo below.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results.")] = Path("aligned"),
    kind: Annotated[str, typer.Option(help="homography, affine or fundamental.")] = "homography",
    estimator: Annotated[str, typer.Option(help="magsac, ransac or lmeds.")] = "magsac",
    threshold: Annotated[float, typer.Option(help="How far off an agreeing match may be, pixels of B.")] = 3.0,
    keypoints: Annotated[str, typer.Option(help="sift, orb or grid.")] = "sift",
    count: Annotated[int, typer.Option(help="Keypoints a photo at most.")] = 1000,
    keypoints_a: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keypoints of A: .kp (x and y in a line) or .npz (keypoints).")
    ] = None,
    keypoints_b: Annotated[Path | None, typer.Option(metavar="FILE", help="Likewise of B.")] = None,
    ratio: Annotated[
        float | None, typer.Option(help="Keep matches whose distance is at most so much of the second best's.")
    ] = None,
    sampling: Annotated[str, typer.Option(help="correct, or reference to repeat the published script.")] = "correct",
    measure: Annotated[str, typer.Option(help="cosine or distance.")] = "cosine",
    colmap: Annotated[bool, typer.Option("--colmap", help="Also write the matches as COLMAP's text files.")] = False,
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
    (matrix.txt) and everything in figures (align.json). A fundamental matrix has no pictures but the first.
    """
    if (keypoints_a is None) != (keypoints_b is None):
        raise InvalidInput("keypoints of one photo only are given; give both --keypoints-a and --keypoints-b, or none")
    if out.exists() and not out.is_dir():
        raise InvalidInput(f"--out {out} is a file; give a folder")
    check_writable(out)
    digests = {"a": file_digest(photo_a), "b": file_digest(photo_b)}
    refuse_other_run(out / REPORT, {"photo_digests": digests})

    from ..images import load_picture
    from ..matching.aligner import Aligner
    from ..matching.homography import EstimateSettings, doubts
    from ..matching.sparse import SparseSettings

    matching = SparseSettings(sampling, measure, ratio)  # type: ignore[arg-type]
    estimation = EstimateSettings(kind, estimator, threshold, seed=seed)  # type: ignore[arg-type]
    pictures = load_picture(photo_a), load_picture(photo_b)
    changes: dict[str, Any] = {"size": None if size is None else (size, size), "fit": fit, "stage": stage}
    aligner = Aligner(
        model,
        keypoints=keypoints,  # type: ignore[arg-type]
        count=count,
        matching=matching,
        estimation=estimation,
        device=device,
        dtype=dtype,
        store=store,
        **changes,
        timestep=timestep,
        ensemble=ensemble,
        seed=seed,
    )
    views = tuple(aligner.view(*given) for given in zip(pictures, (keypoints_a, keypoints_b), strict=True))
    matches, alignment = aligner.align(*views)
    if alignment.matrix is None:
        raise DiffsightError(f"{photo_a} cannot be laid over {photo_b}: {alignment.reason}")
    report = {
        "a": str(photo_a),
        "b": str(photo_b),
        "photo_digests": digests,
        "model": aligner.matcher.backbone.card.name,
        "reading": asdict(aligner.matcher.settings),
        "keypoints": [str(keypoints_a), str(keypoints_b)] if keypoints_a else keypoints,
        "matching": asdict(matching),
        "estimation": asdict(estimation),
        **_figures(views, matches, alignment),
        "warnings": list(doubts(alignment)),
    }
    drawn = _write(out, views, matches, alignment, colmap)
    _save(out / REPORT, report)
    if as_json:
        print(json.dumps(report, indent=2))
        return
    agreeing = int(alignment.inliers.sum())
    print(
        f"{agreeing} of {len(matches)} matches agree ({agreeing / len(matches):.0%}), half of them within "
        f"{alignment.median_error:.2f} px"
    )
    for line in report["warnings"]:
        print(f"doubtful: {line}")
    for path in (*drawn, out / REPORT):
        print(path)


def _figures(views: tuple[View, ...], matches: Matches, alignment: Alignment) -> dict[str, Any]:
    from ..grid import centre_matrix

    assert alignment.matrix is not None
    plane = alignment.kind != "fundamental"
    return {
        "convention": CONVENTION,
        "kind": alignment.kind,
        "matrix": alignment.matrix.tolist(),
        "matrix_opencv": centre_matrix(alignment.matrix).tolist() if plane else None,
        "inliers": int(alignment.inliers.sum()),
        "median_error": round(alignment.median_error, 4),
        "found": [len(view.keypoints) for view in views],
        "matches": [
            {"x": x, "y": y, "matched_x": u, "matched_y": v, "score": round(float(score), 5), "inlier": bool(inlier)}
            for (x, y), (u, v), score, inlier in zip(
                matches.query.tolist(), matches.matched.tolist(), matches.score, alignment.inliers, strict=True
            )
        ],
    }


def _write(out: Path, views: tuple[View, ...], matches: Matches, alignment: Alignment, colmap: bool) -> list[Path]:
    """Write pictures and matrix; returns their paths, the ones to look at first."""
    from PIL import Image

    from ..draw import save_picture
    from ..draw_alignment import checkerboard, draw_inliers, overlay, save_blink, warp_source
    from ..files import atomic
    from ..matching.export import save_colmap

    source, target = (view.picture for view in views)
    plane = ("overlay.png", "checkerboard.png", "warped.png", "blink.gif")
    for name in (REPORT, *plane):  # of another run; they must not stand beside this one's
        (out / name).unlink(missing_ok=True)
    save_picture(draw_inliers(source, target, matches, alignment), out / "inliers.png")
    if alignment.kind != "fundamental":
        warped = warp_source(source, target, alignment)
        save_picture(overlay(warped, target), out / "overlay.png")
        save_picture(checkerboard(warped, target), out / "checkerboard.png")
        save_picture(Image.fromarray(warped), out / "warped.png")
        save_blink(warped, target, out / "blink.gif")
    with atomic(out / "matrix.txt") as part:
        assert alignment.matrix is not None
        rows = "\n".join(" ".join(f"{value:.17g}" for value in row) for row in alignment.matrix)
        part.write_text(f"# {alignment.kind}, A to B; {CONVENTION}\n{rows}\n")
    if colmap:
        names = source.name, target.name
        save_colmap(out / "colmap", names, (views[0].keypoints, views[1].keypoints), matches)
    return [out / name for name in ("inliers.png", *plane, "matrix.txt") if (out / name).exists()]


def _save(path: Path, facts: dict[str, Any]) -> None:
    from ..files import atomic

    with atomic(path) as part:
        part.write_text(json.dumps(facts, indent=2) + "\n")
