//! Line plots, as SVG.
//!
//! Written by hand: the report has four plots of lines over one axis, and a plotting library would
//! add more crates to every build of the tests than this file has functions.

use std::fmt::Write as _;

use crate::stats::number;

/// One pair of axes.
pub struct Panel {
    pub title: &'static str,
    pub x: &'static str,
    pub log_x: bool,
    pub log_y: bool,
    pub lines: Vec<(&'static str, Vec<(f64, f64)>)>,
}

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 46.0;
const COLOURS: [&str; 4] = ["#1f6feb", "#d1495b", "#2a9d63", "#8a63d2"];

/// The panels side by side.
pub fn draw(panels: &[Panel]) -> String {
    let width = WIDTH * panels.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {HEIGHT}\" \
             width=\"{width}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" \
         fill=\"#fff\"/>\n"
    );
    for (index, panel) in panels.iter().enumerate() {
        // Writing into a String cannot fail.
        let _ = writeln!(out, "<g transform=\"translate({},0)\">", WIDTH * index as f64);
        panel.draw(&mut out);
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

impl Panel {
    fn draw(&self, out: &mut String) {
        let points = || {
            self.lines
                .iter()
                .flat_map(|(_, points)| points)
                .filter(|p| p.0.is_finite() && p.1.is_finite())
        };
        let x = Axis::over(points().map(|p| p.0), self.log_x, LEFT, WIDTH - RIGHT);
        let y = Axis::over(points().map(|p| p.1), self.log_y, HEIGHT - BOTTOM, TOP);
        let (floor, middle) = (HEIGHT - BOTTOM, (LEFT + WIDTH - RIGHT) / 2.0);
        let _ = writeln!(
            out,
            "<text x=\"{middle}\" y=\"16\" text-anchor=\"middle\" font-size=\"13\">{}</text>\n\
             <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            self.title,
            HEIGHT - 10.0,
            self.x
        );
        for tick in x.ticks() {
            let at = x.place(tick);
            let _ = writeln!(
                out,
                "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{floor}\" stroke=\"#eee\"/>\
                 <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                floor + 16.0,
                label(tick)
            );
        }
        for tick in y.ticks() {
            let at = y.place(tick);
            let _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
                label(tick)
            );
        }
        for (index, ((name, points), colour)) in self.lines.iter().zip(COLOURS).enumerate() {
            let mut path = String::new();
            for (px, py) in points.iter().filter(|p| p.0.is_finite() && p.1.is_finite()) {
                let (px, py) = (x.place(*px), y.place(*py));
                let _ = write!(path, "{px:.1},{py:.1} ");
                let _ = writeln!(
                    out,
                    "<circle cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3\" fill=\"{colour}\"/>"
                );
            }
            let _ = writeln!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
                 <text x=\"{}\" y=\"{}\" fill=\"{colour}\">{name}</text>",
                path.trim_end(),
                LEFT + 8.0,
                TOP + 12.0 + 14.0 * index as f64
            );
        }
    }
}

/// Maps values to places in the drawing.
struct Axis {
    log: bool,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis over `values`. A linear axis begins at zero; a logarithmic one spans whole decades.
    fn over(values: impl Iterator<Item = f64>, log: bool, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0f64);
        for value in values.filter(|value| !log || *value > 0.0) {
            low = low.min(value);
            high = high.max(value);
        }
        if high <= 0.0 {
            (low, high) = (1.0, 1.0);
        }
        let (low, high) = if log {
            let low = 10f64.powf(low.log10().floor());
            (low, 10f64.powf(high.log10().ceil()).max(low * 10.0))
        } else {
            let step = step(high);
            (0.0, (high / step).ceil() * step)
        };
        Self { log, low, high, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let decades = (self.high / self.low).log10().round() as i32;
            return (0..=decades).map(|n| self.low * 10f64.powi(n)).collect();
        }
        let step = step(self.high);
        (0..=(self.high / step).round() as u32).map(|n| f64::from(n) * step).collect()
    }
}

/// The distance of ticks: 1, 2 or 5 times a power of ten, four to ten of which make `high`.
fn step(high: f64) -> f64 {
    let raw = high / 5.0;
    let decade = 10f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|n| n * decade)
        .into_iter()
        .find(|step| *step >= raw)
        .unwrap_or(decade * 10.0)
}

fn label(tick: f64) -> String {
    match tick {
        0.0 => "0".into(),
        t if t >= 1e6 => format!("{}M", t / 1e6),
        t if t >= 1e3 => format!("{}k", t / 1e3),
        t if t >= 1.0 => format!("{}", (t * 100.0).round() / 100.0),
        t => number(t).trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_ticks() {
        let axis = Axis::over([3.0, 47.0].into_iter(), false, 0.0, 100.0);
        assert_eq!(axis.ticks(), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(axis.place(25.0), 50.0);
        let axis = Axis::over([0.3, 47.0].into_iter(), true, 0.0, 90.0);
        assert_eq!(axis.ticks().len(), 4);
        assert!((axis.place(10.0) - 60.0).abs() < 1e-9);
    }

    #[test]
    fn a_plot_without_points_is_a_plot() {
        let panel = |points| Panel {
            title: "t",
            x: "x",
            log_x: true,
            log_y: false,
            lines: vec![("a", points)],
        };
        for points in [vec![], vec![(f64::NAN, 1.0)], vec![(1.0, 2.0), (10.0, 3.0)]] {
            let text = draw(&[panel(points)]);
            assert!(text.ends_with("</svg>\n") && !text.contains("NaN"), "{text}");
        }
    }
}
