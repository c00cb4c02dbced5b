"""Plotly charts as HTML fragments; the page inlines plotly.js once."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from planardose.organs import colour_of
from planardose.report.text import is_key, method_name, organ_name, organ_order

FONT = {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 12, "color": "#1d2733"}
GRID = "#e4e9ef"
DECADES = 3.5  # of a logarithmic axis
SHORT = 1.7  # decades, of a small multiple's axis with labels between the powers of ten
OTHER_MARK = {"size": 6, "color": "#8793a1"}
COLUMNS = 3
PAPER_PX = 700  # inner width of A4 within the margins of style.css
FIT_TO_PAPER = f"""
(() => {{
  const charts = () => [...document.querySelectorAll(".js-plotly-plot")];
  const resize = change => charts().forEach(chart => Plotly.relayout(chart, change));
  addEventListener("beforeprint", () => resize({{autosize: false, width: {PAPER_PX}}}));
  addEventListener("afterprint", () => resize({{autosize: true, width: null}}));
}})();"""


def plotly_script() -> str:
    """The text of plotly.js, and what fits the charts to the page when it is printed: they have the window's width."""
    return get_plotlyjs() + FIT_TO_PAPER


def _fragment(figure: go.Figure, name: str) -> str:
    """A div with its script; `name` is the element's id."""
    options = {"displaylogo": False, "responsive": True, "displayModeBar": False}
    return plotly.io.to_html(figure, full_html=False, include_plotlyjs=False, div_id=name, config=options)


def _line_colour(organ: str) -> str:
    """The organ's colour, darkened where it would vanish on white."""
    red, green, blue = (int(colour_of(organ)[n : n + 2], 16) for n in (1, 3, 5))
    luminance = (0.299 * red + 0.587 * green + 0.114 * blue) / 255
    share = min(1.0, 0.62 / luminance) if luminance > 0 else 1.0
    return "#" + "".join(f"{round(share * c):02x}" for c in (red, green, blue))


def curve_rows(activities: pd.DataFrame, kinetics: pd.DataFrame, method: str, name: str) -> list[str]:
    """Small multiples of activity against time, one chart per row of organs, so that pages break between them.

    Parameters
    ----------
    activities : DataFrame
        Columns organ, method, cycle, hours, activity_mbq, activity_mbq_u, spect; organs in the order to show.
    kinetics : DataFrame
        The kinetics table.
    method : str
        The method whose dose is reported: its points with error bars and fit; the other methods' points beside.
    name : str
        Start of the elements' ids.
    """
    organs = list(dict.fromkeys(activities.organ))
    rows = [organs[n : n + COLUMNS] for n in range(0, len(organs), COLUMNS)]
    return [_fragment(_curve_row(activities, kinetics, method, r, n == 0), f"{name}-{n}") for n, r in enumerate(rows)]


def _curve_row(
    activities: pd.DataFrame, kinetics: pd.DataFrame, method: str, organs: list[str], with_legend: bool
) -> go.Figure:
    figure = make_subplots(1, COLUMNS, subplot_titles=[organ_name(o) for o in organs], horizontal_spacing=0.07)
    named: set[str] = set()
    for n, organ in enumerate(organs):
        place = {"row": 1, "col": n + 1}
        of_organ = activities[activities.organ == organ]
        for trace in (*_others(of_organ, method), *_main(of_organ, kinetics, organ, method)):
            trace.showlegend = with_legend and trace.mode == "markers" and trace.legendgroup not in named
            named |= {trace.legendgroup} if trace.mode == "markers" else set()
            figure.add_trace(trace, **place)
        main = of_organ[of_organ.method == method]
        drawn = pd.concat([of_organ.activity_mbq, main.activity_mbq + main.activity_mbq_u.fillna(0)])
        figure.update_yaxes(title_text="MBq" if n == 0 else "", **_log_axis(drawn), **place)
        figure.update_xaxes(title_text="hours after injection", **place)
    top = 85 if with_legend else 30
    _style(figure, 205 + top, {"l": 50, "r": 10, "t": top, "b": 40})
    figure.update_xaxes(gridcolor=GRID, linecolor="#c9d1da", rangemode="tozero", tickfont_size=10, title_font_size=11)
    figure.update_yaxes(type="log", tickfont_size=10, title_font_size=11)
    figure.update_annotations(font_size=12)
    figure.update_layout(legend={"orientation": "h", "yref": "container", "y": 0.995, "yanchor": "top", "x": 0})
    return figure


MARKS = {
    "conjugate_view": "x-thin-open",
    "qplanar": "triangle-up-open",
    "qplanar_mlem": "square-open",
    "mlem": "diamond-open",
}


def _log_axis(values: pd.Series, short: float = SHORT) -> dict:
    """Range of at most `DECADES` (estimates near zero lie below it), and labels, at 2 and 5 too when it is `short`.

    `values` are all that is drawn, ends of error bars too: an organ in which nothing was found is shown by these, not
    by what is left of it to the last digit.
    """
    positive = values[values > 0]
    if positive.empty:
        return {}
    top, bottom = np.log10(positive.max()), np.log10(positive.min())
    bottom = max(bottom, top - DECADES)
    steps = (1, 2, 5) if top - bottom < short else (1,)
    ticks = [m * 10.0**n for n in range(int(np.floor(bottom)) - 1, int(np.ceil(top)) + 1) for m in steps]
    return {"range": [bottom - 0.2, top + 0.2], "tickvals": ticks, "ticktext": [f"{t:g}" for t in ticks]}


def _style(figure: go.Figure, height: int, margin: dict) -> None:
    figure.update_yaxes(gridcolor=GRID, linecolor="#c9d1da", exponentformat="none")
    figure.update_layout(height=height, margin=margin, plot_bgcolor="white", paper_bgcolor="white", font=FONT)


def _points(points: pd.DataFrame, method: str, **more) -> go.Scatter:
    """Markers; a zero has no place on a logarithmic axis."""
    return go.Scatter(
        x=points.hours,
        y=points.activity_mbq.where(points.activity_mbq > 0),
        mode="markers",
        legendgroup=method,
        hovertemplate="%{y:.3g} MBq at %{x:.1f} h",
        **more,
    )


def _others(of_organ: pd.DataFrame, method: str) -> list[go.Scatter]:
    """The points of the methods that are not reported."""
    return [
        _points(
            points, other, name=method_name(other), marker={**OTHER_MARK, "symbol": MARKS.get(other, "circle-open")}
        )
        for other, points in of_organ[of_organ.method != method].groupby("method", sort=False)
    ]


def _main(of_organ: pd.DataFrame, kinetics: pd.DataFrame, organ: str, method: str) -> list[go.Scatter]:
    """Points with error bars and fitted curve of each cycle."""
    colour, traces = _line_colour(organ), []
    for cycle, points in of_organ[of_organ.method == method].groupby("cycle"):
        fits = kinetics[(kinetics.organ == organ) & (kinetics.method == method) & (kinetics.cycle == cycle)]
        times = np.linspace(0, 1.15 * points.hours.max(), 120)
        line = {"color": colour, "width": 2, "dash": "solid" if cycle == 1 else "dash"}
        for fit in fits[fits.a0_mbq > 0].itertuples():
            values = fit.a0_mbq * np.exp2(-times / fit.t_eff_h)
            if fit.early_mbq:
                values = values + fit.early_mbq * np.exp2(-times / fit.early_t_eff_h)
            traces.append(go.Scatter(x=times, y=values, mode="lines", line=line, hoverinfo="skip"))
        bars = {"type": "data", "array": points.activity_mbq_u.fillna(0), "thickness": 1.2, "width": 3, "color": colour}
        mark = {"size": 8, "color": colour, "line": {"width": 1, "color": "white"}}
        if points.spect.any():
            mark["symbol"] = ["star" if s else "circle" for s in points.spect]
        traces.append(_points(points, method, name=f"{method_name(method)} with fit", marker=mark, error_y=bars))
    return traces


def cohort_chart(table: pd.DataFrame, name: str) -> str:
    """Dose per administered activity of all patients' key organs.

    `table` has the columns patient, cycle, organ and dose_gy_per_gbq; `name` is the element's id.
    """
    figure = go.Figure()
    shown = table[table.organ.map(is_key)]
    kinds = shown.organ.map(
        lambda o: "lesion" if o.startswith("lesion") else o.removesuffix("_left").removesuffix("_right")
    )
    for kind in sorted(set(kinds), key=organ_order):
        rows = shown[kinds == kind]
        figure.add_trace(
            go.Box(
                y=rows.dose_gy_per_gbq,
                name=organ_name(kind) + ("" if kind in ("liver", "spleen") else "s"),
                boxpoints="all",
                jitter=0.45,
                pointpos=0,
                marker={"size": 7, "color": colour_of(rows.organ.iloc[0]), "opacity": 0.85},
                line={"color": "#8793a1", "width": 1},
                fillcolor="rgba(225,231,238,0.5)",
                text=[f"{r.patient}, cycle {r.cycle:g}, {organ_name(r.organ)}" for r in rows.itertuples()],
                hovertemplate="%{text}: %{y:.3g} Gy/GBq<extra></extra>",
                showlegend=False,
            )
        )
    _style(figure, 380, {"l": 60, "r": 10, "t": 15, "b": 40})
    axis = _log_axis(shown.dose_gy_per_gbq, short=np.inf)
    figure.update_yaxes(title_text="Gy / GBq", type="log", tickfont_size=11, **axis)
    return _fragment(figure, name)
