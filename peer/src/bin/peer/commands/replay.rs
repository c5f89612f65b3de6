//! `peer replay`: decides a recorded run again, and writes it as logs of CNT5106C if asked to.

use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::Path;

use anyhow::{Context, Result};
use peer::record::{Replayed, Watch, replay};
use peer::uf_log::UfLogs;

use crate::options::Replay;
use crate::report::print_result;

/// Says whether every decision is the same; if not, the error says where the first difference is.
pub(crate) fn run(options: &Replay) -> Result<()> {
    let path = options.record.display();
    let file = File::open(&options.record).with_context(|| format!("cannot open {path}"))?;
    let record = BufReader::new(file);
    let mut logs = UfLogs::default();
    let watch: &mut dyn Watch = if options.uf_log.is_some() { &mut logs } else { &mut () };
    let Replayed { peers, inputs, outputs, decisions } =
        replay(record, watch).with_context(|| format!("cannot replay {path}"))?;
    if let Some(folder) = &options.uf_log {
        write_logs(&logs, folder)?;
    }
    print_result(format_args!(
        "all {decisions} decisions and {outputs} outputs are the same (inputs: {inputs}, peers: {peers})"
    ))
}

fn write_logs(logs: &UfLogs, folder: &Path) -> Result<()> {
    let files = logs.files()?;
    let cannot = |path: &Path| format!("cannot write {}", path.display());
    fs::create_dir_all(folder).with_context(|| cannot(folder))?;
    for (name, text) in files {
        let path = folder.join(name);
        // The logs of another run would be mixed with these.
        let write = || File::create_new(&path)?.write_all(text.as_bytes());
        write().with_context(|| cannot(&path))?;
    }
    Ok(())
}
