//! The moments that the page of `--watch` and the tutorial show: recorded on the real server, and drawn.
//!
//! ```console
//! $ cargo build --bins && cargo run -q --example moments -- record
//! $ cargo run -q --example moments -- draw
//! ```
//!
//! `record` starts `dbserver --trace-file` once for each moment, plays its clients, and keeps the trace in
//! `src/watch/page/moments/`. `draw` makes a picture of each trace, in `docs/pictures/`; a test holds the
//! pictures to the traces, so that there is none of something that did not happen. `draw FILE` prints the picture
//! of a trace of your own.

mod picture;
mod record;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

/// The chapters whose moment is recorded.
const CHAPTERS: [u32; 6] = [3, 8, 9, 11, 12, 13];

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (traces, pictures) = (root.join("src/watch/page/moments"), root.join("docs/pictures"));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["record"] => {
            for chapter in CHAPTERS {
                let trace = traces.join(format!("chapter-{chapter}.jsonl"));
                record::moment(chapter, &trace).with_context(|| format!("chapter {chapter}"))?;
                println!("{}", trace.display());
            }
        }
        ["draw"] => {
            for chapter in CHAPTERS {
                let trace = fs::read_to_string(traces.join(format!("chapter-{chapter}.jsonl")))?;
                let picture = pictures.join(format!("chapter-{chapter}.svg"));
                fs::write(&picture, picture::draw(&trace)?)?;
                println!("{}", picture.display());
            }
        }
        ["draw", trace] => print!("{}", picture::draw(&fs::read_to_string(trace)?)?),
        _ => bail!("moments record | moments draw | moments draw TRACE.jsonl"),
    }
    Ok(())
}
