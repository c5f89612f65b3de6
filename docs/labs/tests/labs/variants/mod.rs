//! For each check, a reference that was broken in one place: it loses the points of that check and no
//! others. A patch whose text is not in the reference fails the test, so patches cannot rot.

mod a_peer;
mod bencode;
mod datagrams;
mod loss_and_delay;
mod rarest_first;
mod streams;
mod tit_for_tat;
mod tracker;
mod your_own_choker;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::grader::{grade, grade_python, in_labs, python, solution};

struct Variant {
    /// The check that it fails.
    fails: &'static str,
    /// Text of the reference, and what replaces it.
    patches: &'static [(&'static str, &'static str)],
}

fn check_all(lab: &str, file: &str, variants: &[Variant]) {
    /// Variants that are graded at a time: most of a run is waiting.
    const AT_A_TIME: usize = 3;
    let ids = grade(lab, &python(&in_labs("solutions").join(file), ""), &[]).ids();
    let covered: BTreeSet<_> = variants.iter().map(|variant| variant.fails.to_owned()).collect();
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), covered, "a variant for each check");

    let reference = solution(file);
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(variant) = variants.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let folder = tempfile::tempdir().unwrap();
                    let program = patched(&reference, variant);
                    let graded = grade_python(folder.path(), lab, &program, &[]);
                    if graded.failed() != [variant.fails] {
                        let text = format!("{} {:#}", variant.fails, graded.report);
                        wrong.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn patched(reference: &str, variant: &Variant) -> String {
    variant.patches.iter().fold(reference.to_owned(), |program, (old, new)| {
        assert!(program.contains(old), "{}: the reference has no {old}", variant.fails);
        program.replacen(old, new, 1)
    })
}
