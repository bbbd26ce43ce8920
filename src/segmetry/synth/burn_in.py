"""Scale bar, footer and letter of a scene, as its options say."""

from __future__ import annotations

from segmetry.errors import OptionError
from segmetry.synth import annotate
from segmetry.synth.chance import stage_rng
from segmetry.synth.options import ParticleScene
from segmetry.units import METRES, best_unit, convert, parse_length


def burn_in(o: ParticleScene, canvas: annotate.Canvas, specimen_rows: int) -> annotate.BarTruth | None:
    """Draw what the options ask for on the canvas; return the bar, if there is one."""
    text_px = o.text_px or max(9.0, 0.035 * min(o.frame_shape))
    bar = None
    if o.letter:
        annotate.draw_letter(canvas, o.letter, font=o.font, text_px=1.3 * text_px, bottom=specimen_rows)
    if o.bar == "none" and o.footer == "none":
        return None
    if o.unit == "px":
        raise OptionError("simulate: a scale bar needs a unit of length, not px.")
    value, unit = (
        parse_length(o.bar_value) if o.bar_value else annotate.nice_bar(o.frame_shape[1], o.pixel_size, o.unit)
    )
    length = convert(value, unit, o.unit) / o.pixel_size
    if o.footer != "none":
        fields = _footer_fields(o)
        bar = annotate.draw_footer(
            canvas,
            style=o.footer,
            value=value,
            unit=unit,
            length=length,
            font=o.font,
            fields=fields,
            bottom=specimen_rows,
        )
    else:
        bar = annotate.draw_bar(
            canvas,
            style=o.bar,
            value=value,
            unit=unit,
            length=length,
            place=o.bar_place,
            colour=o.bar_colour,
            font=o.font,
            text_px=text_px,
            thick=o.bar_thickness_px,
            space=o.text_space,
            bottom=specimen_rows,
        )
    return bar


def _footer_fields(o: ParticleScene) -> tuple[str, ...]:
    """Return plausible fields of an instrument's footer."""
    rng = stage_rng(o.seed, "annotations")
    volts = {"sem": (5, 10, 15, 20), "bf-tem": (80, 120, 200)}.get(o.kind, (80, 200, 300))
    metres = o.pixel_size * o.frame_shape[1] * METRES[o.unit]
    unit = best_unit(metres)
    magnification = float(f"{0.127 / metres:.1g}")  # a print 127 mm wide
    working = f"{rng.uniform(4, 20):.1f} mm"
    detector = {"sem": "SE", "bf-tem": "BF", "bf-stem": "BF"}.get(o.kind, "ADF")
    day = f"{rng.integers(1, 13)}/{rng.integers(1, 29)}/{rng.integers(2008, 2025)}"
    mag = f"{magnification / 1000:,.4g}k" if magnification < 1e6 else f"{magnification / 1000:,.0f}k"
    return (
        f"HV {rng.choice(volts):.1f} kV",
        f"mag {mag}x",
        f"WD {working}",
        f"det {detector}",
        f"HFW {metres / METRES[unit]:.3g} {unit}",
        day,
    )
