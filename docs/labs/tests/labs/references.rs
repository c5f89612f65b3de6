//! The reference solutions get all points, the skeletons none.

use std::fs;

use crate::grader::{grade, in_labs, python};
use crate::workspace::build_beside_the_grader;

const LABS: [(&str, &str); 9] = [
    ("datagrams", "01_datagrams.py"),
    ("streams", "02_streams.py"),
    ("loss-and-delay", "03_loss_and_delay.py"),
    ("bencode", "05_bencode.py"),
    ("tracker", "06_tracker.py"),
    ("a-peer", "07_a_peer.py"),
    ("rarest-first", "08_rarest_first.py"),
    ("tit-for-tat", "09_tit_for_tat.py"),
    ("your-own-choker", "12_your_own_choker.py"),
];

#[test]
fn a_reference_gets_full_marks() {
    build_beside_the_grader("peer");
    for (lab, file) in LABS {
        let graded = grade(lab, &python(&in_labs("solutions").join(file), ""), &[]);
        assert_eq!(graded.failed(), [""; 0], "{:#}", graded.report);
        let (score, max) = graded.points();
        assert!(score == max && (10..=20).contains(&max), "{score}/{max}");
    }
}

#[test]
fn a_skeleton_gets_no_points_and_runs_as_it_stands() {
    build_beside_the_grader("peer");
    for (lab, file) in LABS {
        let skeleton = in_labs("starter").join(file);
        let graded = grade(lab, &python(&skeleton, ""), &[]);
        assert_eq!(graded.points().0, 0, "{:#}", graded.report);
        // It fails where the student has to write something, and says so.
        let stderr = graded.first("stderr");
        // Of lab 9 it is a server that hears and says nothing.
        let says_so = ["NotImplementedError", "is not written yet", "listening on"];
        assert!(says_so.iter().any(|text| stderr.contains(text)), "{:#}", graded.report);
    }
}

#[test]
fn a_skeleton_has_the_functions_of_its_reference() {
    for (_, file) in LABS {
        let functions = |folder: &str| {
            let text = fs::read_to_string(in_labs(folder).join(file)).unwrap();
            // In the larger references some are methods, with other parameters.
            let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("def "));
            let names = lines.filter_map(|line| line.split('(').next());
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        let reference = functions("solutions");
        for function in functions("starter") {
            assert!(reference.contains(&function), "{file}: {function}");
        }
    }
}
