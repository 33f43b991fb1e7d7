"""The colours of the heat maps: a ramp for a light page and one for a dark page, each step with ink that can be read.

Any colour has a contrast of 4.58 at least with black or with white, and WCAG 2.2 asks for 4.5.
"""

from __future__ import annotations

from itertools import pairwise

STEPS = 21
LIGHT = ("#f3f8ec", "#d6edd0", "#a9dcc4", "#78c8c2", "#4aaec4", "#338fbb", "#2f6da8", "#2f4b90", "#272e68")
"""Low to high: on a light page what is high is dark."""
DARK = ("#1d2436", "#28365e", "#2b5080", "#28708f", "#2a9090", "#4aae80", "#8cc765", "#cbdb57", "#f6ec62")
"""Low to high: on a dark page what is high is bright."""
AWAY_LIGHT = ("#a2451a", "#d97a42", "#f3b98d", "#fbe6d6", "#f6f6f4", "#d9e6f7", "#97bdeb", "#4c88d2", "#1f559f")
"""For differences: below zero, zero in the middle, above."""
AWAY_DARK = ("#ffa468", "#d1743c", "#8e4c27", "#4a2e22", "#23262f", "#213650", "#2a5a91", "#4d8bd6", "#8fc0ff")


def step(value: float, low: float, high: float) -> int:
    """Which of STEPS colours a value on a scale has; what lies outside has the last one."""
    share = (value - low) / (high - low) if high > low else 0.5
    return round(min(max(share, 0.0), 1.0) * (STEPS - 1))


def css() -> str:
    """A class for each step: `h0`, `h1`, ... for heat, `d0`, `d1`, ... for differences."""
    ramps = {"h": (LIGHT, DARK), "d": (AWAY_LIGHT, AWAY_DARK)}
    return "\n".join(
        f".{name}{place}{{background:light-dark({light},{dark});color:light-dark({ink(light)},{ink(dark)})}}"
        for name, (lights, darks) in ramps.items()
        for place, (light, dark) in enumerate(zip(_spread(lights), _spread(darks), strict=True))
    )


def ink(background: str) -> str:
    """Black or white, whichever is easier to read on a colour."""
    bright = _luminance(background)
    return "#000" if (bright + 0.05) / 0.05 >= 1.05 / (bright + 0.05) else "#fff"


def _spread(anchors: tuple[str, ...]) -> list[str]:
    """STEPS colours at even distances along the anchors."""
    pairs = list(pairwise(anchors))
    places = [place * len(pairs) / (STEPS - 1) for place in range(STEPS)]
    segments = [min(int(place), len(pairs) - 1) for place in places]
    return [_mixed(*pairs[segment], place - segment) for place, segment in zip(places, segments, strict=True)]


def _mixed(low: str, high: str, share: float) -> str:
    parts = (round(one + (other - one) * share) for one, other in zip(_parts(low), _parts(high), strict=True))
    return "#" + "".join(f"{part:02x}" for part in parts)


def _parts(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    shares = (part / 255 for part in _parts(colour))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
