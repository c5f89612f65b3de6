//! With Transmission, which keeps more requests in flight than any other client.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::programs::{Program, Tracker, free_port, seed};
use crate::scene::{CHUNK, MIB, Scene};

/// Starts a daemon with a configuration of its own, which downloads this torrent into `DIR/files`.
fn transmission(torrent: &Path, dir: &Path) -> (Program, PathBuf) {
    let [config, files, watch] = ["config", "files", "watch"].map(|name| dir.join(name));
    for folder in [&config, &files, &watch] {
        fs::create_dir_all(folder).unwrap();
    }
    let settings = json!({
        "bind-address-ipv4": "127.0.0.1",
        "bind-address-ipv6": "::1",
        "peer-port": free_port(),
        "download-dir": files,
        "watch-dir": watch,
        "watch-dir-enabled": true,
        // It logs when the download is complete.
        "message-level": 2,
        "dht-enabled": false,
        "lpd-enabled": false,
        "pex-enabled": false,
        "port-forwarding-enabled": false,
        "rpc-enabled": false,
        "utp-enabled": false,
    });
    fs::write(config.join("settings.json"), settings.to_string()).unwrap();
    fs::copy(torrent, watch.join("x.torrent")).unwrap();
    let mut command = Command::new("transmission-daemon");
    // Its home holds nothing of the user's.
    command.arg("--foreground").arg("--config-dir").arg(config).env("HOME", dir);
    (Program::start("transmission-daemon", &mut command), files)
}

#[test]
#[ignore = "needs transmission-daemon"]
fn transmission_downloads_from_our_seed_without_a_pause() {
    // A request that is never answered stops Transmission for 90 s.
    const TIME: Duration = Duration::from_secs(60);
    let tracker = Tracker::start();
    let scene = Scene::with_file("x.bin", 64 * MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[tracker.http()]);
    let mut seed = seed(&torrent, &scene.original(), &["-v"]);
    let (mut theirs, files) = transmission(&torrent, &scene.path("theirs"));
    // It does not dial loopback addresses that a tracker names: our seed dials it.
    seed.line("we dialed it");
    seed.line("unchoke ");
    theirs.line_within(TIME, "State changed from \"Incomplete\" to \"Complete\"");
    scene.assert_copied(&files);
}
