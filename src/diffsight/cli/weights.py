"""``diffsight weights``: where the weights of each network are, and getting them here."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InvalidInput, ModelUnavailable
from .tables import print_table

if TYPE_CHECKING:
    from pathlib import Path

    from ..backbones.weights import Network, Search, Weights

weights = typer.Typer(help="See, fetch and verify the weights of the networks.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A name from `diffsight weights list`, or a hub id.")]
Half = Annotated[bool, typer.Option("--half", help="Prefer 16-bit files, as runs in float16 and bfloat16 do.")]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(weights, name="weights")


@weights.command("list")
def list_all(half: Half = False, as_json: Json = False) -> None:
    """List every network: whether its weights are here, where, and how large they are."""
    from ..backbones.weights import NETWORKS, look

    rows = [
        {"name": network.name, "variable": network.variable} | _row(look(network, half))
        for network in NETWORKS.values()
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    cells = []
    for row in rows:
        here = ("16-bit" if "only_half" in row else "yes") if row["here"] else "no"
        size = f"{row['bytes'] / 1e6:,.0f} MB" if row["here"] else ""
        cells.append((row["name"], here, size, row["variable"]))
    print_table(("name", "here", "size", "variable"), cells)
    print()
    for row in rows:
        if row["here"]:
            print(f"{row['name']}: {row['path']} ({row['origin']}{_pin(row)})")
        elif "problem" in row:
            print(f"{row['name']}: {row['problem']}")
    if any("only_half" in row for row in rows):
        print("16-bit: does for --dtype float16 and bfloat16 only")
    print("Only headers were read; diffsight weights verify reads every byte.")


@weights.command("fetch")
def fetch(name: Name, half: Half = False, as_json: Json = False) -> None:
    """Fetch a network's weights from the first place that has them; damaged files are replaced."""
    from ..backbones.weights import check, search

    network = _network(name)
    if not network.places:
        raise InvalidInput(f"{name} ships with the package; there is nothing to fetch")
    found = search(network, half=half, here=False, fetch=True).require()
    check(found.all_files)
    if as_json:
        print(json.dumps({"name": name} | _facts(found), indent=2))
    else:
        print(f"{name}: {found.path} ({found.origin}), {_bytes(found) / 1e6:,.0f} MB")


@weights.command("where")
def where(name: Name, half: Half = False, as_json: Json = False) -> None:
    """Say which files would be used and why, with every place tried; nothing is fetched."""
    from ..backbones.weights import search

    result = search(_network(name), half=half)
    if as_json:
        tried = [{"place": attempt.place, "outcome": attempt.outcome} for attempt in result.tried]
        files = [str(file.path) for file in result.found.all_files] if result.found else []
        print(json.dumps({"name": name, "tried": tried} | _row(result) | {"files": files}, indent=2))
        return
    for attempt in result.tried:
        print(f"{attempt.place}: {attempt.outcome}")
    _print_end(name, result)


@weights.command("verify")
def verify(
    name: Annotated[str | None, typer.Argument(help="A network; all that are here if left out.")] = None,
    half: Half = False,
    as_json: Json = False,
) -> None:
    """Read every file again and compare it with the digest that the table or the hub's cache states for it."""
    from ..backbones.weights import NETWORKS, look

    results = [look(network, half) for network in ([_network(name)] if name else NETWORKS.values())]
    if name:
        results[0].require()
    rows = [row for result in results for row in _examined(result)]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            print(f"{row['verdict']:9} " + (row.get("problem") or f"{row['digest']}  {row['file']}"))
        if any(row["verdict"] == "unknown" for row in rows):
            print("unknown: whole, as far as a header tells; nobody states the digest that the file must have")
    files = [row for row in rows if "file" in row]
    damaged = [row for row in files if row["verdict"] == "damaged"]
    if damaged:
        raise ModelUnavailable(
            f"{len(damaged)} of {len(files)} files are damaged, first {damaged[0]['file']}; replace them: "
            f"diffsight weights fetch {damaged[0]['name']}"
        )


def _network(name: str) -> Network:
    from ..backbones.weights import NETWORKS, network_of

    network = network_of(name)
    if network is None:
        close = get_close_matches(name, NETWORKS, n=1, cutoff=0.4)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise InvalidInput(f"unknown network {name!r}{hint} Known: {', '.join(NETWORKS)}; or a hub id (owner/name)")
    return network


def _examined(result: Search) -> list[dict[str, str]]:
    """A row for each file of a network, each read once; one that says why if what the user named will not do."""
    name = result.network.name
    if result.problem is not None:
        return [{"name": name, "verdict": "unusable", "problem": str(result.problem)}]
    rows = []
    for file in result.found.all_files if result.found else ():
        verdict, digest = file.examine()
        rows.append({"name": name, "file": str(file.path), "verdict": verdict, "digest": digest})
    return rows


def _bytes(found: Weights) -> int:
    return sum(file.path.stat().st_size for file in found.all_files)


def _row(result: Search) -> dict[str, Any]:
    if result.found is None:
        return {"here": False} | ({"problem": str(result.problem)} if result.problem else {})
    if result.found.damaged is not None:
        return {"here": False, "problem": _damage(result.network.name, result.found.damaged)}
    return _facts(result.found) | ({"only_half": True} if result.only_half else {})


def _damage(name: str, path: Path) -> str:
    return f"{path} is damaged or cut off; replace it: diffsight weights fetch {name}"


def _facts(found: Weights) -> dict[str, Any]:
    facts = {"here": True, "path": str(found.path), "origin": found.origin, "bytes": _bytes(found)}
    pin = {"pinned": not found.is_unpinned} if found.place else {}
    return facts | pin | ({"base": _facts(found.base)} if found.base else {})


def _pin(row: dict[str, Any]) -> str:
    return "" if row.get("pinned", True) else ", unpinned"


def _print_end(name: str, result: Search) -> None:
    from ..backbones.weights import look

    found = result.found
    if found is None and look(result.network).found:
        print(f"{name} is here in 16 bits only, for --dtype float16 and bfloat16: see --half")
    elif found is None:
        print(f"{name} is not here" + ("" if result.problem else f"; fetch it: diffsight weights fetch {name}"))
    if found is None:
        return
    print(f"{name} is loaded from {found.path} ({found.origin}{_pin(_facts(found))})")
    if found.base is not None:
        print(f"the rest from {found.base.path} ({found.base.origin}{_pin(_facts(found.base))})")
    for file in found.all_files:
        print(f"  {file.path}")
    if found.damaged is not None:
        print(_damage(name, found.damaged))
