//! The plots, as SVG: a line for each server, and its name at the end of the line.
//!
//! Both axes are logarithmic. There is no background, and all colours are of middle brightness, so
//! that a plot can be read on a white page and on a black one. Next: [`crate::page`].

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::cells::whole;
use crate::figures::{Figures, ServerFigures};
use crate::load::SCENARIOS;
use crate::subjects::{Program, SUBJECTS};

/// One of them.
pub(crate) struct Plot {
    pub(crate) file: &'static str,
    /// What is drawn upwards. Sideways, it is always the connections.
    pub(crate) title: &'static str,
    points: fn(&ServerFigures) -> Vec<(f64, f64)>,
    tick: fn(f64) -> String,
}

/// All of them.
pub(crate) const PLOTS: &[Plot] = &[
    Plot {
        file: "requests.svg",
        title: "Requests per second against connections",
        points: |server| by_connections(server, |run| run.per_second),
        tick: whole,
    },
    Plot {
        file: "latency.svg",
        title: "Latency, 99th percentile, against connections",
        points: |server| by_connections(server, |run| run.p99),
        tick: |seconds| match seconds * 1e6 {
            us if us < 999.0 => format!("{us:.0} µs"),
            us if us < 999_000.0 => format!("{:.0} ms", us / 1e3),
            us => format!("{:.0} s", us / 1e6),
        },
    },
    Plot {
        file: "memory.svg",
        title: "Resident memory against idle connections",
        points: |server| {
            let some = server.memory.iter().filter(|(connections, _)| *connections > 0);
            some.map(|&(connections, kib)| (f64::from(connections), kib as f64 / 1024.0)).collect()
        },
        tick: |mib| format!("{mib:.0} MiB"),
    },
];

const SIZE: (u32, u32) = (860, 460);
const GREY: RGBColor = RGBColor(120, 120, 120);
/// Between two names, in pixels.
const LINE_HEIGHT: f64 = 16.0;

/// Draws one; returns the SVG.
///
/// # Errors
///
/// If there is nothing to draw.
pub(crate) fn draw(plot: &Plot, figures: &Figures) -> Result<String> {
    let mut svg = String::new();
    // Its errors borrow the picture.
    draw_on(&mut svg, plot, figures).map_err(|error| anyhow!("{}: {error}", plot.file))?;
    Ok(svg)
}

fn draw_on(
    svg: &mut String,
    plot: &Plot,
    figures: &Figures,
) -> Result<(), Box<dyn std::error::Error>> {
    let lines: Vec<(&ServerFigures, Vec<(f64, f64)>)> =
        figures.servers.iter().map(|server| (server, (plot.points)(server))).collect();
    let all = || lines.iter().flat_map(|(_, points)| points);
    let widest = all().map(|point| point.0).fold(1.0, f64::max);
    let highest = all().map(|point| point.1).fold(0.0, f64::max) * 1.15;
    let lowest = all().map(|point| point.1).fold(f64::INFINITY, f64::min) / 1.15;
    if lowest > highest {
        return Err("there is nothing to draw".into());
    }

    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let chart = ChartBuilder::on(&root)
        .margin_top(44)
        .margin_right(110)
        .x_label_area_size(44)
        .y_label_area_size(74)
        .build_cartesian_2d((0.9..widest * 1.05).log_scale(), (lowest..highest).log_scale())?;
    let mut chart = chart;
    let at = |x: f64, y: f64| (x, y);

    let text = |size: i32, color: RGBColor, h: HPos, v: VPos| {
        ("sans-serif", size).into_font().color(&color).pos(Pos::new(h, v))
    };
    let title = ("sans-serif", 16).into_font().style(FontStyle::Bold).color(&GREY);
    root.draw(&Text::new(plot.title, (16, 14), title))?;

    // The grid: the numbers of connections that were measured, and 1, 2, 5, 10 and so on upwards.
    let grid = GREY.mix(0.3);
    let mut measured: Vec<f64> = all().map(|point| point.0).collect();
    measured.sort_by(f64::total_cmp);
    measured.dedup();
    for x in measured {
        let (px, py) = chart.backend_coord(&at(x, lowest));
        chart.draw_series(LineSeries::new([(x, lowest), (x, highest)], grid))?;
        root.draw(&Text::new(whole(x), (px, py + 8), text(13, GREY, HPos::Center, VPos::Top)))?;
    }
    let (middle, bottom) = chart.backend_coord(&at(widest.sqrt(), lowest));
    let below = text(13, GREY, HPos::Center, VPos::Top);
    root.draw(&Text::new("connections", (middle, bottom + 26), below))?;
    for y in ticks(lowest, highest) {
        let (px, py) = chart.backend_coord(&at(0.9, y));
        chart.draw_series(LineSeries::new([(0.9, y), (widest * 1.05, y)], grid))?;
        let label = text(13, GREY, HPos::Right, VPos::Center);
        root.draw(&Text::new((plot.tick)(y), (px - 8, py), label))?;
    }

    // The lines, ours last, on top of the others.
    let mut ends = Vec::new();
    for (server, points) in lines.iter().rev() {
        let Some(&(x, y)) = points.last() else { continue };
        let (colour, is_ours) = look(&server.name);
        let style = colour.stroke_width(if is_ours { 4 } else { 2 });
        chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        let radius = if is_ours { 5 } else { 3 };
        chart.draw_series(points.iter().map(|&p| Circle::new(p, radius, colour.filled())))?;
        let (px, py) = chart.backend_coord(&at(x, y));
        ends.push((server.name.as_str(), px, py));
    }

    // The names, as near to the ends of their lines as there is room.
    ends.sort_by_key(|&(_, _, y)| y);
    let wanted: Vec<f64> = ends.iter().map(|&(_, _, y)| f64::from(y)).collect();
    let right = i32::try_from(SIZE.0)? - 96;
    for ((name, x, y), place) in ends.into_iter().zip(spread(&wanted)) {
        let (colour, is_ours) = look(name);
        #[allow(clippy::cast_possible_truncation)] // A place on the picture.
        let place = place.round() as i32;
        let from = (x + 7, y);
        root.draw(&PathElement::new([from, (right - 4, place)], colour.mix(0.5)))?;
        let font = ("sans-serif", 14).into_font();
        let font = if is_ours { font.style(FontStyle::Bold) } else { font };
        let label = font.color(&colour).pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(name, (right, place), label))?;
    }
    root.present()?;
    Ok(())
}

/// The gets of one server, against their connections.
fn by_connections(server: &ServerFigures, figure: fn(&crate::load::Run) -> f64) -> Vec<(f64, f64)> {
    let gets = SCENARIOS.iter().take(6);
    let points = gets.filter_map(|scenario| {
        Some((f64::from(scenario.connections), server.median(scenario.name, figure)?))
    });
    points.filter(|point| point.1 > 0.0).collect()
}

/// Colour, and whether it is one of ours.
fn look(name: &str) -> (RGBColor, bool) {
    let subject = SUBJECTS.iter().find(|subject| subject.name == name);
    subject.map_or((GREY, false), |subject| {
        let (red, green, blue) = subject.colour;
        let is_ours =
            !matches!(subject.program, Program::Peer(_) | Program::Go | Program::Script(..));
        (RGBColor(red, green, blue), is_ours)
    })
}

/// 1, 2 and 5 of each power of ten between the two; only the powers where these would be many.
fn ticks(lowest: f64, highest: f64) -> Vec<f64> {
    let powers = || (-9..10).map(|power| 10f64.powi(power));
    let is_between = |tick: &f64| (lowest..=highest).contains(tick);
    let fine: Vec<f64> =
        powers().flat_map(|power| [1.0, 2.0, 5.0].map(|m| m * power)).filter(is_between).collect();
    if fine.len() <= 9 { fine } else { powers().filter(is_between).collect() }
}

/// Places for names that want to be at these heights (in order), each a line below the one before,
/// and all together as near as can be: where they crowd, around the middle of what they want.
fn spread(wanted: &[f64]) -> Vec<f64> {
    // Less the lines above it, a name must only not be higher than the one before. Those that would
    // be are joined into groups, and a group stands where its members want to be on average.
    let mut groups: Vec<(f64, usize)> = Vec::new();
    for (at, &want) in wanted.iter().enumerate() {
        let mut group = (want - at as f64 * LINE_HEIGHT, 1);
        while let Some(&(mean, size)) = groups.last().filter(|(mean, _)| *mean > group.0) {
            groups.pop();
            let (a, b) = (size as f64, group.1 as f64);
            group = ((mean * a + group.0 * b) / (a + b), size + group.1);
        }
        groups.push(group);
    }
    let means = groups.into_iter().flat_map(|(mean, size)| std::iter::repeat_n(mean, size));
    means.enumerate().map(|(at, mean)| mean + at as f64 * LINE_HEIGHT).collect()
}
