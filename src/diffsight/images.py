"""Photos in: from a path, a PIL image, an array or a tensor to one kind of picture, and on to a network's input."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import InvalidInput, UnreadableFile
from .grid import Fit, Size
from .types import Picture

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 400_000_000


def load_picture(photo: str | Path | Image.Image | npt.NDArray[Any] | Tensor | Picture) -> Picture:
    """Turn a photo into RGB, upright.

    Files and PIL images: the EXIF orientation is applied; alpha is composited on white; grey, palette, CMYK and 16-bit
    become RGB; of an animation the first frame is taken.

    Args:
        photo: a path; a PIL image; an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), uint8, uint16, bool, or float in
            [0, 1]; a tensor (1, H, W), (3, H, W) or (4, H, W), likewise; or a picture, which is returned as it is.

    Raises:
        UnreadableFile: for a file that is missing, a folder, empty, truncated or no picture.
        InvalidInput: for an array or tensor of another shape, type or range.
    """
    if isinstance(photo, Picture):
        return photo
    if isinstance(photo, str | Path):
        return _load_file(Path(photo))
    if isinstance(photo, np.ndarray):
        return _from_channels_last(photo, None)
    if isinstance(photo, Tensor):
        if photo.ndim != 3 or photo.shape[0] not in (1, 3, 4):
            raise InvalidInput(f"a photo tensor has shape {tuple(photo.shape)}; give (1, H, W), (3, H, W) or (4, H, W)")
        return _from_channels_last(_plain(photo).permute(1, 2, 0).numpy(), None)
    if hasattr(photo, "convert") and hasattr(photo, "getexif"):
        try:
            return _from_pil(photo, None)
        except (OSError, ValueError) as error:
            raise UnreadableFile(f"the PIL image cannot be read ({error}); give an open, whole one") from None
    raise InvalidInput(f"cannot take a {type(photo).__name__} as a photo; give a path, PIL image, array or tensor")


def _plain(tensor: Tensor) -> Tensor:
    """On the CPU, and float32 if it was any float; NumPy has no bfloat16."""
    tensor = tensor.detach().cpu()
    return tensor.float() if tensor.is_floating_point() else tensor


def _load_file(path: Path) -> Picture:
    from PIL import Image, UnidentifiedImageError

    try:
        status = path.stat()
        with path.open("rb") if path.is_file() else nullcontext():
            pass
    except FileNotFoundError:
        raise UnreadableFile(f"{path} does not exist; give the path of a photo") from None
    except (OSError, ValueError) as error:  # a NUL in the name is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise UnreadableFile(f"{str(path)!r} cannot be opened ({reason}); give a photo that you may read") from None
    if path.is_dir():
        raise UnreadableFile(f"{path} is a folder; give the path of one photo")
    if status.st_size == 0:
        raise UnreadableFile(f"{path} is empty; give a photo (JPEG, PNG, WebP, TIFF, GIF, BMP)")
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _from_pil(image, path)
    except UnidentifiedImageError:
        raise UnreadableFile(
            f"{path} is not a photo that can be read; give a JPEG, PNG, WebP, TIFF, GIF or BMP"
        ) from None
    except Image.DecompressionBombError:
        raise UnreadableFile(f"{path} has over {2 * MAX_PIXELS:,} pixels; shrink it first") from None
    except InvalidInput as error:
        raise UnreadableFile(f"{path}: {error}") from None
    except MemoryError:
        raise UnreadableFile(f"{path} does not fit the memory at hand; shrink it first") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UnreadableFile(f"{path} is damaged or cut off ({error}); give a whole photo") from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def measure(path: Path) -> Size:
    """(height, width) of a photo, upright; of the file, the header is read at most.

    Raises:
        UnreadableFile: if it cannot be read.
    """
    from PIL import ExifTags, Image

    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadableFile(f"the size of {path} cannot be read ({reason}); give a whole photo") from None
    return (width, height) if turned else (height, width)


def _from_pil(image: Image.Image, path: Path | None) -> Picture:
    from PIL import Image, ImageOps

    if getattr(image, "is_animated", False):
        image.seek(0)
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        levels = np.asarray(image)
        if levels.dtype != np.float32:
            levels = levels.astype(np.float32) / 65535
        return _from_channels_last(levels.astype(np.float32), path)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        whole = image.convert("RGBA")
        white = Image.new("RGB", whole.size, "white")
        white.paste(whole, mask=whole.getchannel("A"))
        return _from_channels_last(np.array(white), path)
    return _from_channels_last(np.array(image.convert("RGB")), path)


def _from_channels_last(array: npt.NDArray[Any], path: Path | None) -> Picture:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or min(array.shape[:2]) < 1:
        raise InvalidInput(f"a photo array has shape {array.shape}; give (H, W), (H, W, 3) or (H, W, 4)")
    if array.dtype == np.bool_:
        array = array.astype(np.float32)
    elif array.dtype == np.uint16:
        array = array.astype(np.float32) / 65535
    elif np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float32)
        if not (array.min() >= 0 and array.max() <= 1):
            raise InvalidInput(
                f"a float photo has values in [{array.min():g}, {array.max():g}]; they must be finite and in [0, 1]"
            )
    elif array.dtype != np.uint8:
        raise InvalidInput(f"a photo array has type {array.dtype}; use uint8, uint16, bool, or float in [0, 1]")
    if array.shape[2] == 4:
        array = array.astype(np.float32) / 255 if array.dtype == np.uint8 else array
        array = array[..., :3] * array[..., 3:] + (1 - array[..., 3:])
    array = np.ascontiguousarray(array)
    image = torch.from_numpy(array if array.flags.writeable else array.copy()).permute(2, 0, 1)
    return Picture(image.expand(3, -1, -1).contiguous(), path)


def check_structure(picture: Picture) -> None:
    """Refuse a photo of one colour, in which nothing can be found.

    Raises:
        InvalidInput: for such a photo.
    """
    if bool((picture.image == picture.image[:, :1, :1]).all()):
        raise InvalidInput(
            f"{picture.path or 'the photo'} is of one colour, nothing in it can be matched; give another"
        )


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Resize (..., C, H, W) in [0, 1] or uint8 by antialiased bicubic interpolation, as PIL does; float32 in [0, 1]."""
    if image.dtype == torch.uint8:
        # one channel at a time: a 60-megapixel photo as three float planes would take 0.7 GB
        planes = [_bicubic(plane[None, None].float() / 255, height, width) for plane in image]
        return torch.cat(planes, dim=1)[0]
    return _bicubic(image[None], height, width)[0]


def _bicubic(image: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(image, (height, width), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def network_input(picture: Picture, fit: Fit) -> Tensor:
    """Lay a picture out as the fit says: (3, H, W) float32 in [0, 1], mid-grey where padded."""
    top, bottom, left, right = fit.window
    seen = picture.image[:, top:bottom, left:right]
    top, bottom, left, right = fit.content
    content = resize(seen, bottom - top, right - left)
    if (bottom - top, right - left) == fit.network:
        return content
    canvas = torch.full((3, *fit.network), 0.5)
    canvas[:, top:bottom, left:right] = content
    return canvas
