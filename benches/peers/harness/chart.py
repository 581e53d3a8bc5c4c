"""A bar chart as SVG: one bar for each contestant, with its figure. Readable on light and dark pages."""

from html import escape

WIDTH, LEFT, RIGHT, BAR, STEP, TOP, BOTTOM = 900, 320, 80, 18, 28, 44, 34
OURS, DARK, LIGHT, INK = "#c2410c", "#4b6a86", "#a3b8ca", "#6e7781"


def bars(title, figures, below):
    """`figures`: (label, value, colour). `below`: a line of conditions."""
    height = TOP + STEP * len(figures) + BOTTOM
    longest = max((value for _, value, _ in figures), default=1.0) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / longest
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<text x="12" y="24" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    for place, (label, value, colour) in enumerate(figures):
        y = TOP + STEP * place
        middle = y + BAR - 5
        parts += [
            f'<text x="{LEFT - 10}" y="{middle}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{max(value * scale, 1):.1f}" height="{BAR}" rx="2" fill="{colour}"/>',
            f'<text x="{LEFT + value * scale + 8:.1f}" y="{middle}">{value:,.0f}</text>',
        ]
    parts += [f'<text x="12" y="{height - 12}" font-size="11">{escape(below)}</text>', "</svg>"]
    return "\n".join(parts) + "\n"
