"""Plotly charts as HTML fragments; the page inlines plotly.js once."""

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from planardose.organs import colour_of
from planardose.report.text import is_key, method_name, organ_name

FONT = {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 12, "color": "#1d2733"}
GRID = "#e4e9ef"
COLUMNS = 3


def plotly_script() -> str:
    """The text of plotly.js."""
    return get_plotlyjs()


def fragment(figure: go.Figure, name: str) -> str:
    """A div with its script; `name` is the element's id."""
    options = {"displaylogo": False, "responsive": True, "displayModeBar": False}
    return plotly.io.to_html(figure, full_html=False, include_plotlyjs=False, div_id=name, config=options)


def curves_chart(activities: pd.DataFrame, kinetics: pd.DataFrame, method: str, name: str) -> str:
    """Small multiples of activity against time: the method's points with their curve, the other methods' points beside.

    Parameters
    ----------
    activities : DataFrame
        Columns organ, method, cycle, hours, activity_mbq, activity_mbq_u; organs in the order to show.
    kinetics : DataFrame
        The kinetics table.
    method : str
        The method whose dose is reported.
    name : str
        Id of the element.
    """
    organs = list(dict.fromkeys(activities.organ))
    rows = math.ceil(len(organs) / COLUMNS)
    figure = make_subplots(
        rows,
        COLUMNS,
        subplot_titles=[organ_name(o) for o in organs],
        horizontal_spacing=0.07,
        vertical_spacing=0.30 / max(rows, 1),
    )
    seen: set[str] = set()
    for n, organ in enumerate(organs):
        place = {"row": n // COLUMNS + 1, "col": n % COLUMNS + 1}
        of_organ = activities[activities.organ == organ]
        for other, points in of_organ[of_organ.method != method].groupby("method", sort=False):
            figure.add_trace(_others(points, other, other not in seen), **place)
            seen.add(other)
        for trace in _main(of_organ[of_organ.method == method], kinetics, organ, method, method not in seen):
            figure.add_trace(trace, **place)
        seen.add(method)
    figure.update_xaxes(gridcolor=GRID, linecolor="#c9d1da", rangemode="tozero", tickfont={"size": 10})
    figure.update_yaxes(
        gridcolor=GRID,
        linecolor="#c9d1da",
        type="log",
        tickfont={"size": 10},
        dtick=1,
        minor={"ticks": "outside", "ticklen": 2},
    )
    for n in range(max(0, len(organs) - COLUMNS), len(organs)):
        figure.update_xaxes(
            title_text="hours after injection", title_font={"size": 11}, row=n // COLUMNS + 1, col=n % COLUMNS + 1
        )
    for row in range(rows):
        figure.update_yaxes(title_text="MBq", title_font={"size": 11}, row=row + 1, col=1)
    figure.update_annotations(font_size=12)
    figure.update_layout(
        height=230 * rows + 90,
        margin={"l": 50, "r": 10, "t": 70, "b": 45},
        plot_bgcolor="white",
        paper_bgcolor="white",
        font=FONT,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "yref": "container", "x": 0},
    )
    figure.update_layout(legend={"y": 0.995, "yanchor": "top"})
    return fragment(figure, name)


MARKS = {
    "conjugate_view": "x-thin-open",
    "qplanar": "triangle-up-open",
    "qplanar_mlem": "square-open",
    "mlem": "diamond-open",
}


def _others(points: pd.DataFrame, method: str, in_legend: bool) -> go.Scatter:
    return go.Scatter(
        x=points.hours,
        y=points.activity_mbq.where(points.activity_mbq > 0),
        mode="markers",
        name=method_name(method),
        legendgroup=method,
        showlegend=in_legend,
        marker={"symbol": MARKS.get(method, "circle-open"), "size": 6, "color": "#8793a1"},
        hovertemplate="%{y:.3g} MBq at %{x:.1f} h",
    )


def _main(points: pd.DataFrame, kinetics: pd.DataFrame, organ: str, method: str, in_legend: bool) -> list[go.Scatter]:
    """Points with error bars and fitted curve of each cycle."""
    colour, traces = colour_of(organ), []
    for cycle, at in points.groupby("cycle"):
        fitted = kinetics[(kinetics.organ == organ) & (kinetics.method == method) & (kinetics.cycle == cycle)]
        times = np.linspace(0, 1.15 * at.hours.max(), 60)
        for fit in fitted.itertuples():
            if fit.a0_mbq > 0:
                line = {"color": colour, "width": 2, "dash": "solid" if cycle == 1 else "dash"}
                traces.append(
                    go.Scatter(
                        x=times,
                        y=fit.a0_mbq * np.exp2(-times / fit.t_eff_h),
                        mode="lines",
                        line=line,
                        showlegend=False,
                        hoverinfo="skip",
                        name="fit",
                    )
                )
        traces.append(
            go.Scatter(
                x=at.hours,
                y=at.activity_mbq.where(at.activity_mbq > 0),
                mode="markers",
                name=f"{method_name(method)} with fit",
                legendgroup=method,
                showlegend=in_legend and cycle == 1,
                marker={"size": 8, "color": colour, "line": {"width": 1, "color": "white"}},
                error_y={
                    "type": "data",
                    "array": at.activity_mbq_u.fillna(0),
                    "thickness": 1.2,
                    "width": 3,
                    "color": colour,
                },
                hovertemplate="%{y:.3g} MBq at %{x:.1f} h",
            )
        )
    return traces


def cohort_chart(table: pd.DataFrame, name: str) -> str:
    """Dose per administered activity of every patient's key organs; columns patient, cycle, organ, dose_gy_per_gbq, status."""
    figure = go.Figure()
    groups = {o: o.removesuffix("_left").removesuffix("_right") for o in table.organ if is_key(o)}
    for group in dict.fromkeys("lesion" if g.startswith("lesion") else g for g in groups.values()):
        of_group = table[table.organ.map(lambda o, g=group: is_key(o) and o.startswith(g))]
        figure.add_trace(
            go.Box(
                y=of_group.dose_gy_per_gbq,
                name=organ_name(group) + ("s" if group in ("kidney", "lesion") else ""),
                boxpoints="all",
                jitter=0.45,
                pointpos=0,
                marker={"size": 7, "color": colour_of(of_group.organ.iloc[0]), "opacity": 0.85},
                line={"color": "#8793a1", "width": 1},
                fillcolor="rgba(225,231,238,0.5)",
                text=[f"{r.patient}, cycle {r.cycle:g}, {organ_name(r.organ)}" for r in of_group.itertuples()],
                hovertemplate="%{text}: %{y:.3g} Gy/GBq<extra></extra>",
                showlegend=False,
            )
        )
    figure.update_yaxes(
        title_text="Gy / GBq", type="log", gridcolor=GRID, dtick="D1" if len(table) < 40 else 1, tickfont={"size": 10}
    )
    figure.update_layout(
        height=380, margin={"l": 60, "r": 10, "t": 15, "b": 40}, plot_bgcolor="white", paper_bgcolor="white", font=FONT
    )
    return fragment(figure, name)
