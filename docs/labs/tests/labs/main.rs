//! The grader as a program: references, skeletons, broken variants, and hostile programs.
//!
//! The students' programs here are in Python, and some use what only Unix has.
#![cfg(unix)]

mod command_line;
mod grader;
mod hostile;
mod pairs;
mod peer;
mod references;
mod sheets;
mod variants;
