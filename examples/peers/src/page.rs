//! Where the tables and the plots go, and whether they came out.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::figures::Figures;
use crate::plots::{self, PLOTS};
use crate::{plot_path, results, section};

const BEGIN: &str = "<!-- speed: begin -->\n";
const END: &str = "<!-- speed: end -->";

/// Writes the page and the plots to a folder, and README's section between its two markers.
///
/// # Errors
///
/// If a file cannot be written, or README has no markers.
pub(crate) fn write(figures: &Figures, folder: &Path, readme: &Path) -> Result<()> {
    let write =
        |path: &Path, text: &str| fs::write(path, text).with_context(|| path.display().to_string());
    fs::create_dir_all(folder.join("plots"))?;
    for plot in PLOTS {
        write(&plot_path(folder, plot.file), &plots::draw(plot, figures)?)?;
    }
    write(&folder.join("RESULTS.md"), &results::page(figures))?;
    let text = fs::read_to_string(readme).with_context(|| readme.display().to_string())?;
    let section = section::text(figures);
    let text = between(&text, &section).with_context(|| {
        format!("{} has no {} and {END} after it", readme.display(), BEGIN.trim())
    })?;
    write(readme, &text)
}

/// A text with another section between its markers.
fn between(text: &str, section: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{section}{END}{after}"))
}

/// Whether all that was asked for is there: each server on the page, in README and in each plot, and
/// each request answered. For `--quick`.
///
/// # Errors
///
/// The first thing that is missing.
pub(crate) fn check(figures: &Figures, folder: &Path) -> Result<()> {
    let mut files = vec![folder.join("README.md"), folder.join("RESULTS.md")];
    files.extend(PLOTS.iter().map(|plot| plot_path(folder, plot.file)));
    for path in files {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let is_svg = path.extension().is_some_and(|extension| extension == "svg");
        ensure!(
            !is_svg || (text.starts_with("<svg") && text.trim_end().ends_with("</svg>")),
            "{} is no whole SVG",
            path.display()
        );
        for server in &figures.servers {
            let name = &server.name;
            let shown =
                if is_svg { format!(">\n{name}\n</text>") } else { format!("\n| {name} |") };
            ensure!(text.contains(&shown), "{} does not show {name}", path.display());
        }
    }
    for server in &figures.servers {
        let name = &server.name;
        ensure!(server.score.is_some(), "dbcheck does not score {name}");
        ensure!(!server.runs.is_empty(), "{name} was not measured");
        for (scenario, runs) in &server.runs {
            for run in runs {
                let run = run.as_ref().with_context(|| format!("{name}, {scenario}: no run"))?;
                ensure!(run.errors == 0, "{name}, {scenario}: {} errors", run.errors);
                ensure!(run.cpu > 0.0, "{name}, {scenario}: no CPU time");
            }
        }
    }
    ensure!(!figures.durable.is_empty() && !figures.loading.is_empty(), "the disk is missing");
    Ok(())
}
