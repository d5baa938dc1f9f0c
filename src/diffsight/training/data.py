"""Training batches: captioned world pictures, and optionally crops of captioned photos.

A batch is a pure function of the recipe, the photos and its step, so an interrupted run goes on as if it had not been
interrupted.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..backbones.words import split_words
from ..errors import InvalidInput, UnreadableFile
from ..world import CLUTTER, COLOURS, TUNING, Scene, categories, make_scene
from ..world.zones import zone_masks, zones
from .recipe import TOKENS, Recipe

PLACES = 48
"""Side of the grid on which the place of a part is taught."""

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Photos:
    """Captioned photos, kept as encoded bytes.

    Attributes:
        encoded: one JPEG or PNG file each.
        captions: one for each.
    """

    encoded: tuple[bytes, ...] = ()
    captions: tuple[str, ...] = ()

    @classmethod
    def read(cls, *sources: Path) -> Photos:
        """Read folders and tar files with photos and a ``captions.json`` that maps file names to captions."""
        encoded: list[bytes] = []
        captions: list[str] = []
        for source in sources:
            files = _files(source)
            if "captions.json" not in files:
                raise UnreadableFile(
                    f"{source} has no captions.json; it must map each photo's file name to its caption"
                )
            try:
                table = dict(json.loads(files["captions.json"]))
            except (ValueError, TypeError) as error:
                raise UnreadableFile(f"{source}: captions.json is no table of names and captions ({error})") from None
            before = len(encoded)
            for name, caption in table.items():
                if not isinstance(caption, str):
                    raise UnreadableFile(f"{source}: captions.json gives {name!r} the caption {caption!r}; give text")
                if name in files and name.lower().endswith(PHOTO_ENDINGS):
                    if _decode(files[name]) is None:
                        raise UnreadableFile(f"{source}: {name} cannot be decoded; remove it, or give a whole photo")
                    encoded.append(files[name])
                    captions.append(caption)
            if len(encoded) == before:
                raise UnreadableFile(f"{source} holds none of the photos that its captions.json names")
        return cls(tuple(encoded), tuple(captions))

    def digest(self) -> str:
        """Of all photos and captions."""
        digest = hashlib.blake2b("\0".join(self.captions).encode(), digest_size=16)
        for photo in self.encoded:
            digest.update(photo)
        return digest.hexdigest()

    def words(self) -> set[str]:
        """Every word of the captions that is not a filler."""
        return {word for caption in self.captions for word in _words(caption)}

    def crop(self, index: int, side: int, rng: np.random.Generator) -> np.ndarray:
        """A random square of photo ``index``, mirrored half of the time; (side, side, 3) uint8 RGB."""
        image = np.asarray(_decode(self.encoded[index]))[..., ::-1]
        shorter = min(image.shape[:2])
        span = int(shorter * np.sqrt(rng.uniform(0.25, 1.0)))
        top, left = rng.integers(image.shape[0] - span + 1), rng.integers(image.shape[1] - span + 1)
        crop = image[top : top + span, left : left + span]
        crop = crop[:, ::-1] if rng.random() < 0.5 else crop
        shrink = span > side
        return cv2.resize(
            np.ascontiguousarray(crop), (side, side), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC
        )


def _decode(encoded: bytes) -> np.ndarray | None:
    """BGR, or None for bytes that are no photo."""
    found = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR) if encoded else None
    return None if found is None else np.asarray(found)


def _files(source: Path) -> dict[str, bytes]:
    if source.is_dir():
        return {path.name: path.read_bytes() for path in sorted(source.iterdir()) if path.is_file()}
    try:
        with tarfile.open(source) as tar:
            members = [member for member in tar.getmembers() if member.isfile()]
            return {Path(member.name).name: _member(tar, member) for member in members}
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UnreadableFile(f"cannot read photos from {source}: {reason}; give a folder or a whole tar file") from None


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    handle = tar.extractfile(member)
    return b"" if handle is None else handle.read()


def _words(caption: str) -> list[str]:
    return [word for word, _ in split_words(caption)]


def vocabulary(photos: Photos, *, zoned: bool = False) -> list[str]:
    """Every word that a caption or a question can hold, sorted; those of zones if they are asked for."""
    world = set(categories()) | set(COLOURS) | {"left", "right", "front"}
    for category in categories().values():
        labels = (zone.label for zone in zones(category.name)) if zoned else category.labels
        world |= {word for name in (*(part.name for part in category.parts), *labels) for word in name.split()}
    return sorted(world | photos.words())


class Batch(NamedTuple):
    """What one step trains on.

    Attributes:
        pictures: (B, 3, side, side) in [0, 1].
        prompts: B texts that the network is shown: captions with words left out.
        questions: Q texts for each picture, of things that it must find; some may be empty.
        places: (B, Q * tokens, PLACES, PLACES), the share of each cell that shows what a token of the questions names;
            every start mark names the background.
        things: (B, PLACES, PLACES) int64, which object is seen; 0 is the background, -1 stands all over a photo, of
            which nothing is known.
    """

    pictures: Tensor
    prompts: list[str]
    questions: list[str]
    places: Tensor
    things: Tensor


class Batches(Dataset[Batch]):
    """Item ``step`` is the batch of that step, or what one of several processes trains on of it.

    Args:
        recipe: of the run.
        photos: may be empty.
        first: step of the first item.
        share: (number, processes): rows ``number``, ``number + processes`` and so on of each batch.
    """

    def __init__(self, recipe: Recipe, photos: Photos, first: int = 0, share: tuple[int, int] = (0, 1)) -> None:
        last = recipe.first_picture + sum(stage.steps * stage.batch for stage in recipe.stages)
        if recipe.first_picture < 0 or last >= TUNING:
            raise InvalidInput(
                f"pictures {recipe.first_picture} to {last} do not suit; "
                f"train on seeds from 0 to {TUNING}, those above are reserved for choosing and scoring"
            )
        self.recipe, self.photos, self.first, self.share = recipe, photos, first, share

    def __len__(self) -> int:
        return self.recipe.steps - self.first

    def __getitem__(self, item: int) -> Batch:
        step = self.first + item
        stage, within = self.recipe.at(step)
        before = sum(s.steps * s.batch for s in self.recipe.stages[: self.recipe.stages.index(stage)])
        pictures, prompts, things = [], [], []
        asked: list[list[Question]] = []
        number, processes = self.share
        for row in range(number, stage.batch, processes):
            rng = np.random.default_rng([self.recipe.seed, step, row])
            if self.photos.encoded and rng.random() < self.recipe.photo_share:
                index = int(rng.integers(len(self.photos.encoded)))
                pictures.append(self.photos.crop(index, stage.side, rng))
                caption = _words(self.photos.captions[index])
                asked.append([])
                things.append(np.full((PLACES, PLACES), -1))
            else:
                picture = self.recipe.first_picture + before + within * stage.batch + row
                none, full = self.recipe.mixing
                mixing = min(1.0, max(0.0, (picture - none) / (full - none)))
                scene = self._scene(picture, stage.side, rng, mixing)
                pictures.append(_develop(self._veil(scene.image, rng, mixing), rng, self.recipe.develop_share))
                caption = _words(scene.caption)
                asked.append(self._ask(scene, caption, rng))
                things.append(_things(scene))
            prompts.append(" ".join(self._thin(caption, rng)))
        stack = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
        empty = Question([], np.zeros((TOKENS, PLACES, PLACES), np.float32))
        filled = [own + [empty] * (self.recipe.questions - len(own)) for own in asked]
        questions = [" ".join(question.words) for own in filled for question in own]
        places = np.stack([np.concatenate([question.places for question in own]) for own in filled])
        return Batch(stack, prompts, questions, torch.from_numpy(places), torch.from_numpy(np.stack(things)).long())

    def _ask(self, scene: Scene, caption: list[str], rng: np.random.Generator) -> list[Question]:
        """By caption, by the labels of parts, or by those of their zones."""
        kind = rng.random()
        if kind < self.recipe.zone_share:
            return _ask_zones(scene, rng, self.recipe.questions)
        return [_ask_labels(scene, rng) if kind < self.recipe.label_share else _ask_caption(scene, caption)]

    def _scene(self, seed: int, side: int, rng: np.random.Generator, mixing: float) -> Scene:
        count = int(rng.integers(2, 4)) if rng.random() < self.recipe.crowd_share else 1
        kinds = ("face",) if count == 1 and rng.random() < self.recipe.face_share else None
        backdrop = self._any_photo(side, rng) if rng.random() < mixing * self.recipe.backdrop_share else None
        lifelike = rng.random() < self.recipe.lifelike_share
        return make_scene(seed, side, kinds=kinds, count=count, backdrop=backdrop, lifelike=lifelike)

    def _veil(self, image: np.ndarray, rng: np.random.Generator, mixing: float) -> np.ndarray:
        photo = self._any_photo(len(image), rng) if rng.random() < mixing * self.recipe.veil_share else None
        if photo is None:
            return image
        strength = rng.uniform(*self.recipe.veil)
        return cv2.addWeighted(image, 1 - strength, photo, strength, 0)

    def _any_photo(self, side: int, rng: np.random.Generator) -> np.ndarray | None:
        if not self.photos.encoded:
            return None
        return self.photos.crop(int(rng.integers(len(self.photos.encoded))), side, rng)

    def _thin(self, words: list[str], rng: np.random.Generator) -> list[str]:
        if rng.random() < self.recipe.empty_share:
            return []
        return [word for word in words if rng.random() >= self.recipe.drop_share]


def _develop(image: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """What cameras and files do to photos: lost colour, gamma, blur, JPEG blocks; each to ``share`` of the pictures."""
    if rng.random() < share:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
        keep = rng.uniform(0, 0.6)
        image = cv2.addWeighted(image, keep, grey.repeat(3, axis=2), 1 - keep, 0)
    if rng.random() < share:
        gamma = np.exp(rng.uniform(-0.6, 0.6))
        image = cv2.LUT(image, (255 * (np.arange(256) / 255) ** gamma).round().astype(np.uint8))
    if rng.random() < share:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.0) * len(image) / 64)
    if rng.random() < share:
        _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
        image = np.ascontiguousarray(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1])
    return image


Phrase = tuple[list[str], int, np.ndarray]
"""Words, which of them is the noun, and the mask of what they name."""


class Question(NamedTuple):
    """Words, and where each is seen: (TOKENS, PLACES, PLACES) shares of cells, the background first."""

    words: list[str]
    places: np.ndarray


def _ask_caption(scene: Scene, words: list[str]) -> Question:
    """Ask where the caption's nouns are; parts of one name are asked together."""
    masks = _masks(scene, labels=False)
    return Question(words, _places(scene, {i: masks[word] for i, word in enumerate(words) if word in masks}))


def _ask_labels(scene: Scene, rng: np.random.Generator) -> Question:
    """Ask where each part is, told apart from its siblings, in any order."""
    masks = _masks(scene, labels=True)
    labels = list(masks)
    rng.shuffle(labels)
    return _ask_phrases(scene, [(label.split(), len(label.split()) - 1, masks[label]) for label in labels])


def _ask_zones(scene: Scene, rng: np.random.Generator, most: int) -> list[Question]:
    """Ask where zones of parts are, in any order, as many as fit into so many texts."""
    masks: dict[str, tuple[int, np.ndarray]] = {}
    for zone, mask in zone_masks(scene):
        before = masks[zone.label][1] if zone.label in masks else False
        masks[zone.label] = (zone.noun, mask | before)
    labels = list(masks)
    rng.shuffle(labels)
    texts: list[list[Phrase]] = [[]]
    room = TOKENS - 1
    for label in labels:
        words, (noun, mask) = label.split(), masks[label]
        if len(words) > room:
            if len(texts) == most:
                break
            texts, room = [*texts, []], TOKENS - 1
        texts[-1].append((words, noun, mask))
        room -= len(words)
    return [_ask_phrases(scene, text) for text in texts]


def _ask_phrases(scene: Scene, phrases: list[Phrase]) -> Question:
    """Ask at the noun of each phrase, which knows the words around it."""
    words: list[str] = []
    asked: dict[int, np.ndarray] = {}
    for phrase, noun, mask in phrases:
        asked[len(words) + noun] = mask
        words += phrase
    return Question(words, _places(scene, asked))


def _things(scene: Scene) -> np.ndarray:
    """(PLACES, PLACES): the object that each cell shows; what is in front of all is one more."""
    numbers = np.where(scene.instances == CLUTTER, len(scene.objects) + 1, scene.instances).astype(np.uint8)
    return cv2.resize(numbers, (PLACES, PLACES), interpolation=cv2.INTER_NEAREST)


def _masks(scene: Scene, *, labels: bool) -> dict[str, np.ndarray]:
    """Where each object and part shows, by name or by label; equal names share a mask."""
    masks: dict[str, np.ndarray] = {}
    for number, thing in enumerate(scene.objects, start=1):
        mine = scene.instances == number
        category = categories()[thing.category]
        names = category.labels if labels else tuple(part.name for part in category.parts)
        shown = [(thing.category, mine), *((n, mine & (scene.parts == i)) for i, n in enumerate(names, start=1))]
        for name, mask in shown:
            masks[name] = masks[name] | mask if name in masks else mask
    return masks


def _places(scene: Scene, masks: dict[int, np.ndarray]) -> np.ndarray:
    """Masks by the index of their word, as shares of cells by token."""
    background = (scene.instances == 0) | (scene.instances == CLUTTER)
    tokens = {0: background, **{index + 1: mask for index, mask in masks.items() if index + 1 < TOKENS}}
    places = np.zeros((TOKENS, PLACES, PLACES), np.float32)
    for token, mask in tokens.items():
        places[token] = cv2.resize(mask.astype(np.float32), (PLACES, PLACES), interpolation=cv2.INTER_AREA)
    return places
