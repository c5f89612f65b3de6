//! The grader as a program: references, skeletons, broken variants, and hostile programs.
//!
//! The students' programs here are in Python, and some use what only Unix has.
#![cfg(unix)]

mod answers;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod bundles;
mod command_line;
mod grader;
mod hostile;
mod our_programs;
mod references;
mod sheets;
mod uf_logs;
mod variants;
mod wireshark;
mod workspace;
