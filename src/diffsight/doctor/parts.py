"""Which packages are here and can be imported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Literal

from .trials import attempt


@dataclass(frozen=True)
class Part:
    """A package that diffsight uses, or that others load behind its back.

    Attributes:
        package: as installed.
        module: as imported.
        use: what for.
        needed: whether diffsight depends on it.
        names: what is taken from it; some packages fail only then.
    """

    package: str
    module: str
    use: str
    needed: bool = True
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class PartReport:
    """How the import of a part went; ``note`` is a remark, or the reason of a failure."""

    package: str
    use: str
    needed: bool
    state: Literal["works", "missing", "broken"]
    version: str
    note: str


PARTS = (
    Part("torch", "torch", "all arithmetic"),
    Part("diffusers", "diffusers", "the networks", names=("UNet2DConditionModel", "AutoencoderKL")),
    Part("transformers", "transformers", "prompts", names=("CLIPTextModel", "CLIPTokenizerFast")),
    Part("safetensors", "safetensors.torch", "weights"),
    Part("huggingface_hub", "huggingface_hub", "fetching weights", names=("snapshot_download",)),
    Part("numpy", "numpy", "arrays"),
    Part("pillow", "PIL.Image", "photos"),
    Part("scipy", "scipy.ndimage", "segments"),
    Part("scikit-learn", "sklearn.cluster", "k-means"),
    Part("pycocotools", "pycocotools.mask", "COCO masks"),
    Part("matplotlib", "matplotlib", "heat maps"),
    Part("opencv-python-headless", "cv2", "borders, drawn pictures"),
    Part("av", "av", "videos"),
    Part("scikit-image", "skimage.data", "photos of diffsight demo", needed=False),
    Part("h5py", "h5py", "matches as hloc reads them", needed=False),
    Part("gradio", "gradio", "the web page", needed=False, names=("Blocks",)),
    Part("accelerate", "accelerate", "faster loading in diffusers", needed=False),
    Part("torchvision", "torchvision", "nothing; transformers loads it if it is here", needed=False),
    Part("xformers", "xformers", "nothing; diffusers loads it if it is here", needed=False),
)


def examine_part(part: Part) -> PartReport:
    """Import a part and what is taken from it."""
    absent = False

    def load() -> str:
        nonlocal absent
        try:
            module = import_module(part.module)
        except ModuleNotFoundError as error:
            absent = error.name == part.module.split(".")[0]
            raise
        for name in part.names:
            getattr(module, name)
        return _window_system(module.getBuildInformation()) if part.module == "cv2" else ""

    trial = attempt(part.package, load)
    state: Literal["works", "missing", "broken"] = "works" if trial.works else "missing" if absent else "broken"
    if state == "missing":
        return PartReport(part.package, part.use, part.needed, state, "", "")
    return PartReport(part.package, part.use, part.needed, state, _version(part), trial.note)


def _version(part: Part) -> str:
    """The installed version; a module may come with another package (opencv-python for opencv-python-headless)."""
    try:
        return metadata.version(part.package)
    except metadata.PackageNotFoundError:
        others = metadata.packages_distributions().get(part.module.split(".")[0], [])
        return ", ".join(f"{metadata.version(other)} ({other})" for other in others)


def _window_system(build: str) -> str:
    found = [line.split(":", 1)[1].strip() for line in build.splitlines() if line.strip().startswith("GUI:")]
    return "without windows, which is fine" if found == ["NONE"] else ""
