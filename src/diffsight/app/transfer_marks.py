"""Marks in the tab Transfer: set on the first photo, looked over and set right on the others, exported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import InvalidInput
from ..transfer.annotations import AnnotatedPhoto, Annotations, Category, check
from ..transfer.coco import read_skeleton, write_coco
from ..transfer.tables import write_keypoint_table
from .limits import MAX_KEYPOINTS, MAX_NAME
from .transfer import Outcome, Place, Sent, Session, discard
from .uploads import by_name


def rename(session: Session, kind: str, names: str) -> Session:
    """Name what is marked and, line by line, its points; marks keep their order."""
    lines = tuple(line.strip() for line in names.splitlines() if line.strip())
    bones = session.category.bones if len(lines) == len(session.category.keypoints) else ()
    return _adopt(session, Category(kind.strip() or "thing", lines, bones))


def template(session: Session, path: str) -> Session:
    """Take the names of the points, and how they are joined, from a COCO file."""
    with by_name(Path(path), Path(path).name):
        return _adopt(session, read_skeleton(Path(path)))


def _adopt(session: Session, category: Category) -> Session:
    """Mark this from now on.

    Raises:
        InvalidInput: for a name that occurs twice or is too long, too many points, or another number of them than
            photos have already.
    """
    if category == session.category:
        return session
    count = len(category.keypoints)
    check(Annotations((category,), ()))
    if count > MAX_KEYPOINTS:
        raise InvalidInput(f"{count} points are more than fit, {MAX_KEYPOINTS}; name fewer")
    for name in (category.name, *category.keypoints):
        if len(name) > MAX_NAME:
            raise InvalidInput(f"the name {name[:MAX_NAME]!r}... is longer than {MAX_NAME} letters; shorten it")
    if (session.carrying or session.order) and count != len(session.category.keypoints):
        had = len(session.category.keypoints)
        raise InvalidInput(
            f"the photos have {had} points each, not {count}; remove the photos first, or keep {had} names"
        )
    found = {
        path: replace(own, photo=own.photo and _called(own.photo, category.name)) for path, own in session.found.items()
    }
    corrected = {path: _called(own, category.name) for path, own in session.corrected.items()}
    return replace(session, category=category, marks=session.marks[:count], found=found, corrected=corrected)


def _called(photo: AnnotatedPhoto, name: str) -> AnnotatedPhoto:
    return replace(photo, instances=tuple(replace(own, category=name) for own in photo.instances))


def place(session: Session, at: Place) -> Session:
    """Mark the next point.

    Args:
        session: with a photo to mark.
        at: (x, y) as parts of its width and height.

    Raises:
        InvalidInput: if there is no photo, no name, or no point left.
    """
    return _mark(session, _pixels(session.reference, at))


def skip(session: Session) -> Session:
    """Pass over the next point, which does not show."""
    return _mark(session, None)


def _mark(session: Session, mark: Place | None) -> Session:
    if session.reference is None:
        raise InvalidInput("there is no photo to mark yet; choose one, or try the example")
    if not session.category.keypoints:
        raise InvalidInput("the points have no names yet; write them, one per line")
    if len(session.marks) == len(session.category.keypoints):
        raise InvalidInput("all points are marked; drag one to correct it, undo, or name more")
    return replace(session, marks=(*session.marks, mark))


def move(session: Session, point: int, at: Place) -> Session:
    """Put a marked point elsewhere.

    Raises:
        InvalidInput: if it is not marked, or the place is outside the photo.
    """
    _check_point(point, len(session.marks))
    moved = _pixels(session.reference, at)
    return replace(session, marks=(*session.marks[:point], moved, *session.marks[point + 1 :]))


def remove(session: Session, point: int) -> Session:
    """Say that a marked point does not show.

    Raises:
        InvalidInput: if it is not marked.
    """
    _check_point(point, len(session.marks))
    return replace(session, marks=(*session.marks[:point], None, *session.marks[point + 1 :]))


def undo(session: Session) -> Session:
    """Take the last point back."""
    return replace(session, marks=session.marks[:-1])


def clear(session: Session) -> Session:
    """Take all points of the first photo back."""
    return replace(session, marks=())


def _check_point(point: int, count: int) -> None:
    if not 0 <= point < count:
        raise InvalidInput(f"there is no point {point + 1} among the {count} that are marked; choose one that shows")


def _pixels(sent: Sent | None, at: Place) -> Place:
    if sent is None:
        raise InvalidInput("there is no photo to mark yet; choose one, or try the example")
    if not all(0 <= side <= 1 for side in at):
        raise InvalidInput("that place is outside the photo; choose one within it")
    height, width = sent.size
    return at[0] * width, at[1] * height


def drop_photos(session: Session) -> Session:
    """Take the photos to label away, with all that was found on them."""
    for sent in session.photos:
        discard(sent)
    return replace(session, photos=(), left_out=(), found={}, corrected={}, order=(), at=0)


def take(session: Session, outcome: Outcome) -> Session:
    """Bring in what carrying found, as far as its photos are still there and not corrected since.

    Carrying has ended then, unless it was begun anew.
    """
    answers = {
        sent: outcome.answers[sent.path]
        for sent in session.photos
        if sent.path in outcome.answers and sent.path not in session.corrected
    }
    bad = {sent: own.failure.replace(str(sent.path), sent.name) for sent, own in answers.items() if own.failure}
    found = {**session.found, **{sent.path: own for sent, own in answers.items() if own.photo}}
    session = replace(
        session,
        photos=tuple(sent for sent in session.photos if sent not in bad),
        left_out=(*session.left_out, *bad.values()),
        found=found,
        run="" if outcome.run == session.run else session.run,
    )
    marked = {sent: photo for sent in session.photos if (photo := session.marked(sent))}

    def rank(sent: Sent) -> tuple[bool, float]:
        return sent.path in session.corrected, marked[sent].instances[0].confidence or 0.0

    return replace(session, order=tuple(sorted(marked, key=rank)), at=0)


def stop(session: Session, outcome: Outcome) -> Session:
    """Give carrying up; what it found until then stays."""
    return replace(take(session, outcome), run="")


def step(session: Session, by: int) -> Session:
    """Look at another photo; from the last one on to the first."""
    return replace(session, at=(session.at + by) % max(1, len(session.order)))


def correct(session: Session, point: int, at: Place | None) -> Session:
    """Set a point right on the photo that is looked at; all its marks are final then.

    Args:
        session: with a photo that is looked at.
        point: number of the point, from 0.
        at: (x, y) as parts of width and height; None if it does not show.

    Raises:
        InvalidInput: if there is no such photo or point, or the place is outside.
    """
    sent = session.viewed
    photo = session.marked(sent) if sent else None
    if sent is None or photo is None:
        raise InvalidInput("there is no photo to correct; carry the points first")
    (own,) = photo.instances
    _check_point(point, len(own.keypoints))
    moved = own.with_point(point, None if at is None else _pixels(sent, at))
    return replace(session, corrected={**session.corrected, sent.path: replace(photo, instances=(moved,))})


def revert(session: Session) -> Session:
    """Take the corrections of the photo that is looked at back."""
    own = session.viewed.path if session.viewed else None
    kept: Mapping[Path, AnnotatedPhoto] = {path: photo for path, photo in session.corrected.items() if path != own}
    return replace(session, corrected=kept)


def marked_photos(session: Session) -> Annotations:
    """Everything that is marked: the first photo, and the others in the order in which they were sent."""
    others = [session.marked(sent) for sent in session.photos]
    first = [session.annotated] if any(session.marks) else []
    return Annotations((session.category,), [photo for photo in (*first, *others) if photo is not None])


def export(session: Session) -> tuple[Path, Path] | None:
    """Write everything that is marked as COCO and as a table; None if no photo was labelled yet."""
    if session.folder is None or not session.order:
        return None
    coco, table = session.folder / "annotations.json", session.folder / "annotations.csv"
    write_coco(marked_photos(session), coco)
    write_keypoint_table(marked_photos(session), table)
    return coco, table


def hint(session: Session) -> str:
    """What to do next in the first step."""
    names, done = session.category.keypoints, len(session.marks)
    if session.reference is None:
        return "Choose a photo, or try the example."
    if not names:
        return "Name the points of the photo, one per line."
    if done < len(names):
        return f"Click: {names[done]} ({done + 1} of {len(names)})"
    return f"All {done} points are set; drag one to correct it."


def stock(session: Session) -> str:
    """Which photos there are to label."""
    count = len(session.photos)
    if session.carrying:
        return f"Carrying the points to {len(session.todo)} photos; one visitor after the other."
    return f"{count} photo{'' if count == 1 else 's'} to label." if count else "No photos to label yet."


def look(session: Session) -> str:
    """Which photo is looked at, and how sure its points are."""
    sent = session.viewed
    photo = session.marked(sent) if sent else None
    if sent is None or photo is None:
        return ""
    sure = photo.instances[0].confidence or 0.0
    state = "corrected by hand" if sent.path in session.corrected else f"{sure:.0%} sure"
    return f"Photo {session.at + 1} of {len(session.order)}: {sent.name}, {state}"
