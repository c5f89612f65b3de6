//! Runs the checks of a lab, several at a time.

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use fastrand::Rng;

use crate::answers::Answers;
use crate::check::{Check, Context, Stop};
use crate::lab::Lab;
use crate::options;
use crate::process::end_all;
use crate::program::Program;
use crate::report::{Outcome, Report, Trouble};
use crate::seed::seed;
use crate::submission::{Submission, Takes};

/// Most checks that run at the same time, also where they only wait: with more, slow programs would
/// run into their time limits.
const MAX_WORKERS: usize = 4;

/// The exit code after Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Runs the checks that were asked for; each starts the program again, in its own folder.
///
/// # Errors
/// On wrong usage, and when the grader itself cannot go on.
pub(crate) fn grade(options: &options::Check) -> Result<Report> {
    let submission = submission(options)?;
    let checks = choose(options.lab, &options.only)?;
    let scratch = tempfile::Builder::new().prefix("labs-").tempdir().context("make a folder")?;
    end_programs_on_ctrl_c(scratch.path())?;

    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    let work = || {
        while let Some(check) = checks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = run(check, &submission, &options.student, scratch.path());
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
        }
    };
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let workers = if options.lab.waits { MAX_WORKERS } else { processors.min(MAX_WORKERS) };
    thread::scope(|scope| {
        for _ in 0..workers.min(checks.len()) {
            scope.spawn(work);
        }
    });

    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut outcomes = outcomes.into_iter().collect::<Result<Vec<_>>>()?;
    outcomes.sort_by_key(|outcome| checks.iter().position(|check| check.id == outcome.check.id));
    Ok(Report {
        lab: options.lab,
        student: options.student.clone(),
        seconds: began.elapsed().as_secs_f64(),
        outcomes,
    })
}

fn submission(options: &options::Check) -> Result<Submission> {
    let lab = options.lab.name;
    match (options.lab.takes, &options.program, &options.answers) {
        (Takes::Program, Some(program), _) => Program::parse(program).map(Submission::Program),
        (Takes::Answers, _, Some(file)) => Answers::read(file).map(Submission::Answers),
        (Takes::Program, None, _) => bail!("{lab} grades a program: --program CMD"),
        (Takes::Answers, _, None) => bail!("{lab} grades a file of answers: --answers FILE"),
    }
}

fn choose(lab: &'static Lab, only: &[String]) -> Result<Vec<&'static Check>> {
    for id in only {
        if !lab.checks().any(|check| check.id == id) {
            let ids: Vec<_> = lab.checks().map(|check| check.id).collect();
            bail!("--only {id}: no such check; the checks of {} are {}", lab.name, ids.join(", "));
        }
    }
    let chosen = |check: &&Check| only.is_empty() || only.iter().any(|id| check.id == id);
    Ok(lab.checks().filter(chosen).collect())
}

fn run(
    check: &'static Check,
    submission: &Submission,
    student: &str,
    scratch: &Path,
) -> Result<Outcome> {
    let doing = || format!("check {}", check.id);
    let folder = scratch.join(check.id);
    fs::create_dir(&folder).with_context(doing)?;
    let began = Instant::now();
    let rng = Rng::with_seed(seed(student, check.id));
    let mut context = Context::new(submission, student, &folder, rng);
    let trouble = match (check.run)(&mut context) {
        Ok(()) => None,
        Err(Stop::Failed(failure)) => Some(Trouble { failure, stderr: context.stderr() }),
        Err(Stop::Grader(error)) => return Err(error).with_context(doing),
    };
    Ok(Outcome { check, trouble, seconds: began.elapsed().as_secs_f64() })
}

fn end_programs_on_ctrl_c(scratch: &Path) -> Result<()> {
    let scratch = scratch.to_owned();
    let end = move || {
        end_all();
        if let Err(error) = fs::remove_dir_all(&scratch) {
            eprintln!("cannot remove {}: {error}", scratch.display());
        }
        process::exit(INTERRUPTED);
    };
    ctrlc::set_handler(end).context("handle Ctrl-C")
}
