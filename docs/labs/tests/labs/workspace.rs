//! Builds the other programs of this workspace, which are students here.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the programs of a package and returns their folder, which is one of its own: both pairs have
/// bins named `server` and `client` (docs/uppercase.md).
///
/// # Panics
/// When it does not build.
pub(crate) fn build(package: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--bins", "--package", package, "--target-dir"])
        .arg(folder.join(package))
        // Since cargo 1.91: takes the compiled dependencies from where this test was built.
        .env("CARGO_BUILD_BUILD_DIR", folder.parent().expect("the target folder"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("run cargo");
    assert!(status.success(), "build {package}: {status}");
    folder.join(package).join("debug")
}
