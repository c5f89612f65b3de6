//! Builds the other programs of this workspace, which are students here.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the programs of a package and returns their folder, which is one of its own: both pairs have
/// bins named `server` and `client` (docs/uppercase.md).
///
/// # Panics
/// When it does not build.
pub(crate) fn build_apart(package: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Since cargo 1.91: takes the compiled dependencies from where this test was built.
    build(package, &folder.join(package), folder.parent().expect("the target folder"))
}

/// Builds the programs of a package into the folder of the grader, which starts some of them.
///
/// # Panics
/// When it does not build.
pub(crate) fn build_beside_the_grader(package: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    build(package, folder, folder)
}

fn build(package: &str, target_dir: &Path, build_dir: &Path) -> PathBuf {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--bins", "--package", package, "--target-dir"])
        .arg(target_dir)
        .env("CARGO_BUILD_BUILD_DIR", build_dir)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("run cargo");
    assert!(status.success(), "build {package}: {status}");
    target_dir.join("debug")
}
