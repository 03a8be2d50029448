"""A bar chart as SVG, readable on a light and on a dark page."""

from collections.abc import Mapping
from xml.sax.saxutils import escape

_WIDTH, _LEFT, _RIGHT = 720, 170, 90
_BAR, _STEP, _TOP = 20, 30, 44

_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="14">
<title>{title}</title>
<style>
text {{ fill: #333 }} .bar {{ fill: #9aa7b5 }} .marked {{ fill: #2f6fb3 }}
@media (prefers-color-scheme: dark) {{ text {{ fill: #ddd }} .bar {{ fill: #66717d }} .marked {{ fill: #5a9ee0 }} }}
</style>"""


def draw(bars: Mapping[str, float], title: str, marked: str) -> str:
    """A bar per name, in their order, as long as its value; the bar `marked` stands out. At least one bar."""
    scale = (_WIDTH - _LEFT - _RIGHT) / max(bars.values())
    height = _TOP + _STEP * len(bars) + 6
    parts = [
        _HEAD.format(width=_WIDTH, height=height, title=escape(title)),
        f'<text x="8" y="24" font-size="16">{escape(title)}</text>',
    ]
    for number, (name, value) in enumerate(bars.items()):
        top, length, kind = _TOP + _STEP * number, value * scale, "marked" if name == marked else "bar"
        parts += [
            f'<text x="{_LEFT - 8}" y="{top + 15}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{length:.1f}" height="{_BAR}" rx="2"/>',
            f'<text x="{_LEFT + length + 6:.1f}" y="{top + 15}">{value:,.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
