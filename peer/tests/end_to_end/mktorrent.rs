//! Torrents that another program made. Its pieces have 32 KiB at least; those of 16 KiB that other
//! programs make are like ours, which `transfer.rs` has.

use std::process::Command;

use crate::programs::{Program, Tracker};
use crate::scene::{KIB, MIB, Scene, content, metainfo};
use crate::transfer::share;

#[test]
#[ignore = "needs mktorrent"]
fn torrents_of_mktorrent_download_whatever_their_piece_length() {
    let tracker = Tracker::start();
    for exponent in [15, 18, 20] {
        let scene = Scene::new();
        for (name, length) in [
            ("z first.bin", 2 * MIB + 77),
            ("sub/ß.txt", 300 * KIB),
            ("sub/deeper/one", 1),
            ("empty", 0),
        ] {
            scene.write(&format!("original/lecture/{name}"), &content(length));
        }
        let torrent = scene.path("t.torrent");
        let mut command = Command::new("mktorrent");
        command.args(["-a", &tracker.http(), "-c", "a comment", "-l", &exponent.to_string(), "-o"]);
        command.arg(&torrent).arg(scene.original().join("lecture"));
        Program::start("mktorrent", &mut command).success();

        let made = metainfo(&torrent);
        assert_eq!(made.geometry.piece_length(), 1 << exponent);
        assert_eq!(made.trackers, [[tracker.http()]]);
        share(&scene, &torrent, &[]);
    }
}
