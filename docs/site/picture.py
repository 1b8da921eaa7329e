"""Draw the picture of the architecture, `docs/images/architecture.svg`.

`python docs/site/picture.py` writes it.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "images/architecture.svg"
WIDTH, HEIGHT = 1180, 640
INK, PALE, LINE = "#1f2933", "#5b6875", "#9aa5b1"
IMAGE, SCALAR, SPECTRUM = ("#d97706", "#fef3c7"), ("#2563eb", "#dbeafe"), ("#7c3aed", "#ede9fe")
GREY, GREEN = ("#52606d", "#f0f4f8"), ("#047857", "#d1fae5")
LANES = {"image": (118, IMAGE), "scalar": (228, SCALAR), "spectrum": (338, SPECTRUM)}
SEQUENCE = "B S iiiiii S sssss S pppp E"
"""Tokens of an object that has a cutout and one spectrum, much shortened."""


HEAD = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 30 {WIDTH} {HEIGHT - 30}" role="img"
  aria-label="The path of a datacube through the packages of astromodal">
<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"
  orient="auto"><path d="M0,0 L10,5 L0,10 z" fill="{LINE}"/></marker></defs>
<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>
<rect x="420" y="106" width="200" height="320" rx="12" fill="none" stroke="{LINE}"
  stroke-dasharray="2 4"/>"""
"""The beginning of the picture: the head of an arrow, and the frame around the encodings."""


def text(x: float, y: float, words: str, size: int = 13, colour: str = INK, **more: str) -> str:
    """Return a line of text, centred on x unless `anchor` says otherwise."""
    anchor = more.get("anchor", "middle")
    weight, family = more.get("weight", "400"), more.get("family", "sans-serif")
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
        f'font-weight="{weight}" font-family="{family}">{escape(words)}</text>'
    )


def box(x: float, y: float, w: float, h: float, colours: tuple[str, str], *lines: str) -> str:
    """Return a rounded box: a heading in its colour, and lines in small type."""
    edge, fill = colours
    out = (
        f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="8" fill="{fill}" '
        f'stroke="{edge}" stroke-width="1.5"/>'
    )
    top = y + (h - 17 * (len(lines) - 1)) / 2 + 4
    for number, line in enumerate(lines):
        style = {"weight": "700"} if number == 0 else {}
        out += text(x + w / 2, top + 17 * number, line, 13 if number == 0 else 12, edge, **style)
    return out


def arrow(*points: tuple[float, float], dashed: bool = False) -> str:
    """Return a line with a head at its end."""
    path = " ".join(f"{x},{y}" for x, y in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<polyline points="{path}" fill="none" stroke="{LINE}" stroke-width="1.6"{dash} '
        'marker-end="url(#head)"/>'
    )


def tokens(x: float, y: float) -> str:
    """Return a column of small squares: the tokens of a sequence."""
    colours = {"i": IMAGE, "s": SCALAR, "p": SPECTRUM}
    names = {"B": "BOS", "S": "SEP", "E": "EOS"}
    out = ""
    for letter in SEQUENCE.replace(" ", ""):
        edge, fill = colours.get(letter, GREY)
        out += (
            f'<rect x="{x}" y="{y}" width="34" height="13" rx="2" fill="{fill}" stroke="{edge}"/>'
        )
        if letter in names:
            out += text(x + 17, y + 10, names[letter], 9, GREY[0])
        y += 15
    return out


def picture() -> str:
    """Return the picture as SVG."""
    parts = [HEAD]
    for x, words in (
        (95, "datacube"),
        (300, "tokenizers learn"),
        (520, "every field is encoded"),
        (706, "sequences"),
        (875, "transformer"),
        (1077, "what comes out"),
    ):
        parts.append(text(x, 58, words, 15, INK, weight="700"))
    parts.append(text(300, 76, "from the training fields only", 12, PALE))
    parts.append(text(706, 76, "one per source", 12, PALE))

    parts.append(box(25, 100, 140, 320, GREY, "one file per field", "one row per source"))
    learned = {
        "image": ("arcsinh per band", "autoencoder: 2 × 24 × 24", "codebook of 2048"),
        "scalar": ("1024 bins per column", "of equal mass", "value: mean of the bin"),
        "spectrum": ("features per group", "(flux, precision)", "codebook of 2048"),
    }
    encoded = {
        "image": ("encode_images", "614 codes per cutout"),
        "scalar": ("encode_scalars", "1 code per column"),
        "spectrum": ("encode_spectra", "≤ 512 codes per group"),
    }
    for name, (y, colours) in LANES.items():
        middle = y + 38
        parts.append(arrow((165, middle), (207, middle), dashed=True))
        parts.append(box(210, y, 180, 76, colours, *learned[name]))
        parts.append(arrow((390, middle), (427, middle)))
        parts.append(box(430, y, 180, 76, colours, *encoded[name]))
        parts.append(arrow((610, middle), (684, 250 + (middle - 266) * 0.7)))
    parts.append(arrow((95, 420), (95, 448), (520, 448), (520, 428)))
    parts.append(text(308, 465, "the cube of every field", 12, PALE))

    parts.append(tokens(689, 100))
    parts.append(arrow((726, 266), (777, 266)))
    parts.append(
        box(780, 186, 190, 160, GREEN, "causal transformer", "predicts the next code,",
            "among those legal there", "loss: cross-entropy", "+ λ × squared error",
            "of the expected value")
    )  # fmt: skip
    for y, lines in (
        (110, ("evaluation", "report.html")),
        (190, ("predictions", "parquet, with units")),
        (270, ("embeddings", "parquet")),
        (350, ("model/", "exported, no pickle")),
    ):
        parts.append(arrow((970, 266), (1000, y + 30)))
        parts.append(box(1003, y, 150, 60, GREEN, *lines))

    rooms = (
        (25, 140, "data", "split_field · summarize_field"),
        (210, 400, "tokenizers", "sample_* · train_* · encode_*"),
        (640, 132, "sequences", "pack_sequences"),
        (780, 190, "training, models", "train_transformer"),
        (1003, 150, "inference, evaluation", "evaluate_* · predict_field"),
    )
    parts.append(text(25, 499, "packages, and the rules that call them", 12, PALE, anchor="start"))
    for x, w, room, rules in rooms:
        parts.append(f'<rect x="{x}" y="508" width="{w}" height="26" rx="4" fill="{INK}"/>')
        size = 13 if 8 * len(room) < w else 11
        parts.append(text(x + w / 2, 526, room, size, "#ffffff", family="monospace"))
        parts.append(text(x + w / 2, 550, rules, 10 if w < 180 else 12, PALE))
    base = ("below them:", "storage", "core", "config", "surveys", "extensions, errors")
    simulate, jobs = "simulate (a sky to try it on)", "jobs (what every job starts with)"
    beside = ("beside them:", simulate, jobs, "reruns (what has to be done again)")
    for y, (where, *packages) in ((566, base), (600, beside)):
        words = f"{where} {' · '.join(packages)}"
        parts.append(
            f'<rect x="25" y="{y}" width="1128" height="26" rx="4" fill="{GREY[1]}" '
            f'stroke="{GREY[0]}"/>'
        )
        parts.append(text(589, y + 18, words, 13, INK))
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    TARGET.write_text(picture(), encoding="utf-8")
