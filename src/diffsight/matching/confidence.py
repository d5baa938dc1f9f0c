"""How far a match may be trusted: signals that cost one match, and a monotone map from them to a probability."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput, UnreadableFile
from ..files import save_json

Values = npt.NDArray[np.float64]

RISING = ("peak", "lead", "mutual")
"""Signals that speak for a match where they are high; the others speak against it."""


@dataclass(frozen=True, eq=False)
class Signals:
    """What speaks for or against N matches; NaN where a signal could not be had.

    Distances are fractions of the longer side of the photo that they are measured in.

    Attributes:
        peak: (N,) cosine of the match.
        lead: how far that is above the best cosine outside the window around it.
        entropy: of the softmax in the window, over the logarithm of its cells: 0 sharp, 1 flat.
        cycle: how far from the point its match leads back to.
        mutual: 1 if that is within a cell of the point, else 0; with several references the share of them.
        parts: how far apart the parts of a joined map would put the match.
        flip: how far the mirrored source would put it.
        references: how far several annotated photos would put it, on average.
        shape: how far from it the arrangement of all points would put it.
        rounds: spread of the peaks of prompt matching's rounds.
    """

    peak: Values
    lead: Values
    entropy: Values
    cycle: Values
    mutual: Values
    parts: Values
    flip: Values
    references: Values
    shape: Values
    rounds: Values

    @classmethod
    def of(cls, count: int, **known: npt.ArrayLike) -> Signals:
        """Signals of N matches of which only some are known."""
        signals = {**dict.fromkeys(NAMES, np.full(count, np.nan)), **known}
        return cls(**{name: np.asarray(values, np.float64).reshape(count) for name, values in signals.items()})

    def __len__(self) -> int:
        return len(self.peak)

    def __getitem__(self, keep: Any) -> Signals:
        return replace(self, **{name: getattr(self, name)[keep] for name in NAMES})

    @classmethod
    def join(cls, several: Sequence[Signals]) -> Signals:
        """One after the other."""
        return cls(**{name: np.concatenate([getattr(own, name) for own in several]) for name in NAMES})


NAMES = tuple(field.name for field in fields(Signals))


@dataclass(frozen=True)
class Curve:
    """A monotone step from one signal to how often matches of that value are right.

    Attributes:
        signal: its name.
        knots: values of the signal, rising.
        rates: share of right matches at each, never falling (or never rising), strictly between 0 and 1.
        weight: how much the signal counts, at least 0.
    """

    signal: str
    knots: tuple[float, ...]
    rates: tuple[float, ...]
    weight: float = 1.0

    def evidence(self, values: Values, base: float) -> Values:
        """By how much values raise the log-odds above the base rate's; 0 where they are unknown."""
        rates = np.interp(values, self.knots, self.rates)
        return np.where(np.isnan(values), 0.0, _logit(rates) - _logit(np.array(base)))


@dataclass(frozen=True)
class Calibration:
    """From signals to the probability that a match is right; monotone in each of them.

    The log-odds are ``offset`` plus, for each signal, its weight times the log-odds of an isotonic curve above those of
    the base rate. A signal that is unknown adds nothing.

    Attributes:
        curves: one a signal.
        base: share of right matches that it was fitted on.
        offset: log-odds where nothing speaks for or against.
    """

    curves: tuple[Curve, ...]
    base: float
    offset: float

    def __call__(self, signals: Signals) -> Values:
        """(N,) probabilities."""
        odds = np.full(len(signals), self.offset)
        for curve in self.curves:
            odds = odds + curve.weight * curve.evidence(getattr(signals, curve.signal), self.base)
        return _chance(odds)

    def facts(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        curves = [
            {"signal": c.signal, "weight": c.weight, "knots": list(c.knots), "rates": list(c.rates)}
            for c in self.curves
        ]
        return {"base": self.base, "offset": self.offset, "curves": curves}

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Calibration:
        """The inverse of ``facts``.

        Raises:
            ValueError, KeyError, TypeError: if they are none.
        """
        curves = tuple(
            Curve(str(c["signal"]), tuple(map(float, c["knots"])), tuple(map(float, c["rates"])), float(c["weight"]))
            for c in facts["curves"]
        )
        found = cls(curves, float(facts["base"]), float(facts["offset"]))
        found._check()
        return found

    def _check(self) -> None:
        if not 0 < self.base < 1 or not np.isfinite(self.offset):
            raise ValueError(f"base {self.base}, offset {self.offset}")
        for curve in self.curves:
            steps = np.diff(curve.rates) * (1 if curve.signal in RISING else -1)
            if curve.signal not in NAMES or len(curve.knots) != len(curve.rates) or not curve.knots:
                raise ValueError(f"signal {curve.signal!r}")
            if not np.isfinite([*curve.knots, *curve.rates]).all():
                raise ValueError(f"the curve of {curve.signal} has a number that is not finite")
            if not 0 <= curve.weight < np.inf or (steps < 0).any() or (np.diff(curve.knots) < 0).any():
                raise ValueError(f"the curve of {curve.signal} is not monotone")
            if not 0 < min(curve.rates) <= max(curve.rates) < 1:
                raise ValueError(f"the rates of {curve.signal} are not between 0 and 1")


@dataclass(frozen=True)
class Calibrations:
    """Calibrations of one model, by how many references voted.

    Attributes:
        model: what they were fitted for; ``any`` for one that ranks matches of every model, but whose probabilities
            are not to be taken at their word.
        by_votes: the calibration from so many references on; 0 stands for plain nearest neighbours of one photo.
        about: what they were fitted on, and what right means.
        reading: how photos were read, as ``Reader.record`` has it; the seed does not count. Empty if unknown.
    """

    model: str
    by_votes: dict[int, Calibration]
    about: str = ""
    reading: dict[str, Any] = field(default_factory=dict)

    @property
    def is_fitted(self) -> bool:
        """Whether the probabilities may be taken at their word: whether they were fitted for one model."""
        return self.model != ANY

    @property
    def digest(self) -> str:
        """Of all that is in them."""
        facts = {votes: own.facts() for votes, own in sorted(self.by_votes.items())}
        return hashlib.blake2b(json.dumps(facts).encode(), digest_size=8).hexdigest()

    def suit(self, votes: int) -> Calibration:
        """The one for as many references, or for the next fewer; else that for the fewest."""
        fewer = [number for number in self.by_votes if number <= votes]
        return self.by_votes[max(fewer) if fewer else min(self.by_votes)]

    def save(self, path: Path) -> None:
        """Write them as JSON.

        Raises:
            OutputFailed: if the file cannot be written.
        """
        own = {str(votes): calibration.facts() for votes, calibration in sorted(self.by_votes.items())}
        save_json(
            {"model": self.model, "about": self.about, "reading": self.reading, "by_votes": own}, path, indent=None
        )

    @classmethod
    def load(cls, path: Path) -> Calibrations:
        """Read what ``save`` wrote.

        Raises:
            UnreadableFile: for another file.
        """
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            own = {int(votes): Calibration.of(one) for votes, one in facts["by_votes"].items()}
            if not own:
                raise ValueError("it holds none")
            return cls(str(facts["model"]), own, str(facts.get("about", "")), dict(facts.get("reading", {})))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UnreadableFile(
                f"{path} is no calibration ({reason}); give a file that `diffsight calibrate` wrote"
            ) from None

    @classmethod
    def chosen(cls, path: Path | None, model: str, reading: dict[str, Any]) -> Calibrations:
        """Those of a file, or those shipped.

        Raises:
            UnreadableFile: for a file that holds none.
            InvalidInput: for a file that was fitted for another model.
        """
        if path is None:
            return cls.shipped(model, reading)
        own = cls.load(path)
        if own.model not in (model, ANY):
            raise InvalidInput(f"{path} was fitted for {own.model}, not for {model}; fit one: diffsight calibrate")
        return own

    @classmethod
    def shipped(cls, model: str, reading: dict[str, Any] | None = None) -> Calibrations:
        """Those that come with the package for a model; if there are none, those for any model.

        Args:
            model: its name.
            reading: ``Reader.record``; those of the model serve only where photos are read as they were fitted for.
        """
        path = SHIPPED / f"{model}.json"
        if path.is_file():
            own = cls.load(path)
            if reading is None or _seedless(own.reading) == _seedless(reading):
                return own
        return cls.load(SHIPPED / f"{ANY}.json")


def _seedless(reading: Any) -> Any:
    """A record as JSON has it, without seeds at any depth."""
    if isinstance(reading, dict):
        return {key: _seedless(value) for key, value in reading.items() if key != "seed"}
    return [_seedless(value) for value in reading] if isinstance(reading, list | tuple) else reading


ANY = "any"
SHIPPED = Path(__file__).parent.parent / "models" / "calibration"

PORTABLE = ("cycle", "mutual", "flip", "references", "shape")
"""Signals that mean the same whatever the scale of a model's cosines."""

FEWEST = 50
"""Matches that a calibration needs at least, and 10 of either outcome among them."""

SHRINKAGE = 0.02
"""Pull of the weights towards zero, per match: settles signals that say the same."""


def fit(signals: Signals, right: npt.ArrayLike, names: Sequence[str] = NAMES) -> Calibration:
    """Fit a calibration on matches whose truth is known: isotonic curves, then weights by logistic regression.

    Args:
        signals: of N matches.
        right: (N,) whether each is right.
        names: the signals to use; those that are unknown for every match are left out.

    Raises:
        InvalidInput: for too few matches, too few of one outcome, or no signal that is known and varies.
    """
    from scipy.optimize import minimize

    truth = np.asarray(right, np.bool_)
    if len(truth) < FEWEST or min(truth.sum(), (~truth).sum()) < 10:
        raise InvalidInput(
            f"{len(truth)} checked points, {truth.sum()} of them right, do not suffice; give {FEWEST} "
            "or more, 10 or more of them right and 10 or more wrong"
        )
    base = float(truth.mean())
    curves = [_isotonic(name, getattr(signals, name), truth, base) for name in names]
    found = [curve for curve in curves if curve is not None]
    if not found:
        raise InvalidInput(
            f"none of the signals {', '.join(names)} is known for {FEWEST} points and varies among them; give others"
        )
    evidence = np.stack([curve.evidence(getattr(signals, curve.signal), base) for curve in found], axis=1)

    def loss(parameters: Values) -> tuple[float, Values]:
        odds = parameters[0] + evidence @ parameters[1:]
        slope = (_chance(odds) - truth) / len(truth)
        pull = SHRINKAGE * parameters[1:]
        value = np.mean(np.logaddexp(0, odds) - truth * odds) + 0.5 * parameters[1:] @ pull
        return float(value), np.concatenate([[slope.sum()], slope @ evidence + pull])

    start = np.concatenate([[_logit(np.array(base))], np.full(len(found), 1 / len(found))])
    bounds = [(None, None)] + [(0, None)] * len(found)
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    weighed = [replace(c, weight=round(float(w), 6)) for c, w in zip(found, best[1:], strict=True) if w > 1e-4]
    return Calibration(tuple(weighed), round(base, 6), round(float(best[0]), 6))


def _isotonic(name: str, values: Values, truth: npt.NDArray[np.bool_], base: float) -> Curve | None:
    """The curve of one signal, shrunk a little to the base rate so that no rate is 0 or 1."""
    from sklearn.isotonic import IsotonicRegression

    known = np.isfinite(values)
    if known.sum() < FEWEST or np.ptp(values[known]) == 0:
        return None
    regression = IsotonicRegression(increasing=name in RISING).fit(values[known], truth[known])
    share = known.sum() / (known.sum() + 20)  # as if 20 more matches had been seen at the base rate
    rates = np.clip(np.round(share * regression.y_thresholds_ + (1 - share) * base, 6), 1e-6, 1 - 1e-6)
    return Curve(name, tuple(np.round(regression.X_thresholds_, 7).tolist()), tuple(rates.tolist()))


def _chance(odds: Values) -> Values:
    """The probability of log-odds."""
    return np.exp(-np.logaddexp(0, -odds))


def _logit(rates: Values) -> Values:
    return np.log(rates) - np.log1p(-rates)
