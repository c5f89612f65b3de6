//! A .torrent that is named by its URL.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread;

use crate::programs::{self, Program, V4, free_port, get, seed};
use crate::scene::{CHUNK, MIB, Scene};

/// A web server that answers every request with these bytes, over and over if it is `endless`: the
/// URL of a file on it.
fn serve(answer: Vec<u8>, endless: bool) -> String {
    let listener = TcpListener::bind((V4, 0)).unwrap();
    let url = format!("http://{}/x.torrent", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(&mut stream).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            // The program may have left before it has read all.
            while stream.write_all(&answer).is_ok() && endless {}
        }
    });
    url
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[test]
fn get_seed_and_show_take_the_url_of_a_torrent() {
    let scene = Scene::with_file("x.bin", MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    let url = serve(answer("200 OK", &fs::read(&torrent).unwrap()), false);

    let mut seed = seed(Path::new(&url), &scene.original(), &[]);
    let address = seed.address().to_string();
    get(Path::new(&url), &scene.path("a"), &["--peer", &address, "--leave"]).success();
    scene.assert_copied(&scene.path("a"));

    let show = |source: &str| Program::start("show", &mut programs::peer(&["show", source]));
    assert_eq!(show(&url).success(), show(torrent.to_str().unwrap()).success());
}

#[test]
fn a_url_without_a_torrent_is_an_error_that_says_what_was_wrong() {
    let nobody = format!("http://127.0.0.1:{}/x.torrent", free_port());
    let missing = serve(answer("404 Not Found", b"no such file\n"), false);
    let page = serve(answer("200 OK", b"<html>"), false);
    let endless = serve(b"HTTP/1.1 200 OK\r\n\r\n".repeat(1000), true);
    let no_port = "http://127.0.0.1:99999/x.torrent".to_owned();
    for (url, error) in [
        (
            &no_port,
            format!(
                "error: cannot fetch {no_port}: \
                 invalid port 99999: must be a number from 1 to 65535\n"
            ),
        ),
        (&nobody, format!("error: cannot fetch {nobody}: connection refused\n")),
        (
            &missing,
            format!("error: cannot fetch {missing}: HTTP status 404 Not Found: no such file\n"),
        ),
        (
            &page,
            format!(
                "error: cannot read {page}: not a .torrent file: byte 0: unexpected byte '<'\n"
            ),
        ),
        (
            &endless,
            format!("error: cannot fetch {endless}: the answer is longer than 10485760 bytes\n"),
        ),
    ] {
        let ended = Program::start("show", &mut programs::peer(&["show", url])).end();
        assert_eq!((ended.code, ended.stderr), (Some(1), error));
    }
}
