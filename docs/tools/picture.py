"""Draw the rooms of the package as an SVG: a row is a floor, an arrow is an import, a box grows with its lines of code."""

from collections.abc import Mapping
from html import escape
from math import sqrt
from pathlib import Path

from docs.tools.imports import SOURCE, modules, room_graph, room_of

WIDTH, ROW, MARGIN = 880, 86, 16
STYLE = (
    "<style>line{stroke:#8a94a6;stroke-width:1.2}rect{fill:#e8edf6;stroke:#4a5a78}text{fill:#1c2433}"
    ".small{font-size:10px;fill:#55617a}</style>"
)
ARROWHEAD = (
    '<defs><marker id="tip" markerWidth="7" markerHeight="7" refX="6" refY="3" orient="auto">'
    '<path d="M0,0 L6,3 L0,6 z" fill="#8a94a6"/></marker></defs>'
)


def floors(graph: Mapping[str, set[str]]) -> dict[str, int]:
    """Return the floor of each room: 0 for rooms that import none, else one more than the highest that it imports.

    Raises:
        ValueError: rooms import each other in a circle.
    """
    found: dict[str, int] = {}
    while len(found) < len(graph):
        ready = [room for room in graph if room not in found and graph[room] <= found.keys()]
        if not ready:
            raise ValueError(f"rooms import each other in a circle: {sorted(graph.keys() - found.keys())}")
        found.update({room: 1 + max((found[below] for below in graph[room]), default=-1) for room in ready})
    return found


def without_shortcuts(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the graph without the arrows that a longer way implies, so that the picture can be read."""

    def reach(room: str) -> set[str]:
        return graph[room].union(*(reach(below) for below in graph[room])) if graph[room] else set()

    return {
        room: {below for below in targets if not any(below in reach(other) for other in targets - {below})}
        for room, targets in graph.items()
    }


def picture(source: Path = SOURCE) -> str:
    """Return the drawing of the package in `source` as the text of an SVG file."""
    graph = {room: targets for room, targets in room_graph(source).items() if room != "testing"}
    graph = {room: targets & graph.keys() for room, targets in graph.items()}
    lines: dict[str, int] = dict.fromkeys(graph, 0)
    for module, path in modules(source).items():
        if room_of(module) in lines:
            lines[room_of(module)] += len(path.read_text().splitlines())
    rows: dict[int, list[str]] = {}
    for room, floor in sorted(floors(graph).items()):
        rows.setdefault(floor, []).append(room)
    height = ROW * len(rows) + MARGIN
    boxes: dict[str, tuple[float, float, float]] = {}
    for floor, names in rows.items():
        step = (WIDTH - 2 * MARGIN) / len(names)
        for place, room in enumerate(names):
            width = min(step - 12, 84 + sqrt(lines[room]))
            boxes[room] = (MARGIN + step * (place + 0.5) - width / 2, height - ROW * (floor + 1), width)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" role="img">',
        "<title>The rooms of Coterie: imports run down only</title>",
        STYLE,
        ARROWHEAD,
    ]
    for room, targets in without_shortcuts(graph).items():
        x, y, width = boxes[room]
        for below in sorted(targets):
            left, top, wide = boxes[below]
            parts.append(
                f'<line x1="{x + width / 2:.0f}" y1="{y + 44:.0f}" x2="{left + wide / 2:.0f}" y2="{top - 2:.0f}" '
                'marker-end="url(#tip)"/>'
            )
    for room, (x, y, width) in boxes.items():
        parts.append(f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="44" rx="6"/>')
        middle = f'x="{x + width / 2:.0f}" text-anchor="middle"'
        parts.append(f'<text {middle} y="{y + 20:.0f}" font-size="13">{escape(room)}</text>')
        parts.append(f'<text {middle} y="{y + 35:.0f}" class="small">{lines[room]:,} lines</text>')
    return "\n".join([*parts, "</svg>\n"])
