//! The programs of this workspace as a student's.

use crate::grader::{Graded, grade, python, write_python};
use crate::workspace::{build_apart, build_beside_the_grader};

/// Puts the options of a pair in the place of a lab's arguments.
const PAIR: &str = r#"
import os, sys
folder, role, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
if role == "server":
    arguments = ["--bind", "127.0.0.1", "--port", rest[0]]
elif role == "client":
    arguments = [rest[0], "--port", rest[1]]
else:
    sys.exit(f"the pair has no {role}")
os.execv(os.path.join(folder, role), [role, *arguments])
"#;

/// The same for the tracker.
const TRACKER: &str = r#"
import os, sys
program, port, interval = sys.argv[1:]
os.execv(program, ["tracker", "--bind", "127.0.0.1", "--port", port, "--interval", interval + "s"])
"#;

#[test]
fn our_udp_pair_gets_full_marks() {
    let graded = grade_pair("datagrams", "udp-upper");
    assert_eq!(graded.failed(), [""; 0], "{:#}", graded.report);
}

#[test]
fn our_tcp_pair_gets_full_marks_for_the_part_that_it_has() {
    let graded = grade_pair("streams", "tcp-upper");
    // It does not frame messages: the book does not.
    let framed = [
        "message",
        "cuts",
        "together",
        "empty-message",
        "longest",
        "oversize",
        "two-clients",
        "half-close",
        "leaves",
    ];
    assert_eq!(graded.failed(), framed, "{:#}", graded.report);
}

#[test]
fn our_tracker_gets_full_marks_but_for_the_expiry() {
    build_beside_the_grader("peer");
    let program = build_beside_the_grader("tracker").join("tracker");
    let folder = tempfile::tempdir().unwrap();
    let wrapper = write_python(folder.path(), TRACKER);
    let graded = grade("tracker", &python(&wrapper, &format!("'{}'", program.display())), &[]);
    // It keeps a silent peer for 30 s longer than the interval at least, which the sheet's two
    // intervals of 2 s do not allow.
    assert_eq!(graded.failed(), ["expiry"], "{:#}", graded.report);
}

fn grade_pair(lab: &str, package: &str) -> Graded {
    let folder = tempfile::tempdir().unwrap();
    let wrapper = write_python(folder.path(), PAIR);
    let programs = build_apart(package);
    grade(lab, &python(&wrapper, &format!("'{}'", programs.display())), &[])
}
