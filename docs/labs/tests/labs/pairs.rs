//! The pairs of this workspace as a student's programs.

use crate::grader::{Graded, grade, python, write_python};
use crate::workspace::build_apart;

/// Puts our options in the place of a lab's arguments.
const WRAPPER: &str = r#"
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

fn grade_pair(lab: &str, package: &str) -> Graded {
    let folder = tempfile::tempdir().unwrap();
    let wrapper = write_python(folder.path(), WRAPPER);
    let programs = build_apart(package);
    grade(lab, &python(&wrapper, &format!("'{}'", programs.display())), &[])
}
