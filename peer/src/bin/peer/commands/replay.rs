//! `peer replay`: decides a recorded run again.

use std::fs::File;
use std::io::BufReader;

use anyhow::{Context, Result};
use peer::record::{Replayed, replay};

use crate::options::Replay;
use crate::report::print_result;

/// Says whether every decision is the same; if not, the error says where the first difference is.
pub(crate) fn run(options: &Replay) -> Result<()> {
    let path = options.record.display();
    let file = File::open(&options.record).with_context(|| format!("cannot open {path}"))?;
    let Replayed { peers, inputs, outputs, decisions } =
        replay(BufReader::new(file)).with_context(|| format!("cannot replay {path}"))?;
    print_result(format_args!(
        "all {decisions} decisions and {outputs} outputs are the same (inputs: {inputs}, peers: {peers})"
    ))
}
