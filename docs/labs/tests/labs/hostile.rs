//! Programs that misbehave cost their own points and nothing else.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::grader::{Graded, grade_python, labs, python, solution, write_python};

/// The reference of lab 1, with something that it does first.
fn reference_after(first: &str) -> String {
    let (docstring, rest) = ("\"\"\"", solution("01_datagrams.py"));
    let (head, rest) = rest.split_at(rest[3..].find(docstring).unwrap() + 6);
    format!("{head}\n{first}\n{rest}")
}

fn grade(program: &str, only: &[&str]) -> Graded {
    let folder = tempfile::tempdir().unwrap();
    grade_python(folder.path(), "datagrams", program, only)
}

/// A whole check ends soon after its time limit of ten seconds, whatever the program does.
fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    result
}

/// Whether the process ends now: killed, it is gone as soon as the system gets to it.
fn ends(process: &str) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while runs(process) {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Whether the process is there, and is no zombie: one whose parent has ended stays as a zombie where
/// the first process of the system, as in some containers, does not wait for it.
fn runs(process: &str) -> bool {
    if let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) {
        let state = stat.rsplit(')').next().unwrap().trim_start();
        return !state.starts_with('Z');
    }
    let kill = Command::new("kill").args(["-0", process]).stderr(Stdio::null()).status();
    kill.unwrap().success()
}

/// The process ids in a file, once there are as many.
fn processes(file: &Path, count: usize) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = fs::read_to_string(file).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        if lines.len() >= count && text.ends_with('\n') {
            return lines;
        }
        assert!(Instant::now() < deadline, "{text:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_program_that_hangs_fails_in_time() {
    let hangs = "import time\ntime.sleep(1000)";
    let graded = in_time(|| grade(hangs, &["upper", "client-prints"]));
    assert_eq!(graded.points().0, 0);
    assert_eq!(graded.first("got"), "the server is still running");
}

#[test]
fn a_program_that_exits_at_once_fails_at_once() {
    let began = Instant::now();
    let graded = grade("raise SystemExit('no idea')", &["upper"]);
    assert_eq!(graded.first("got"), "the server has exited (exit status: 1)");
    assert_eq!(graded.first("stderr"), "no idea\n");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn a_program_that_needs_a_second_to_start_loses_nothing() {
    let slow = reference_after("import time\ntime.sleep(1.2)");
    let graded = grade(&slow, &["upper", "not-text", "client-prints", "no-server"]);
    assert_eq!(graded.failed(), [""; 0], "{:#}", graded.report);
}

#[test]
fn a_banner_costs_no_points() {
    let banner =
        "import sys\nprint('=== My program, version 1 ===')\nprint('ready', file=sys.stderr)";
    let graded = grade(&reference_after(banner), &[]);
    assert_eq!(graded.failed(), [""; 0], "{:#}", graded.report);
}

#[test]
fn a_program_that_floods_its_outputs_gets_its_points_and_the_report_stays_short() {
    let flood = "
import sys, threading
def flood(to):
    while True:
        to.write('x' * 4000 + chr(10))
for to in sys.stdout, sys.stderr:
    threading.Thread(target=flood, args=(to,), daemon=True).start()
";
    let graded = in_time(|| grade(&reference_after(flood), &["upper", "two-clients"]));
    assert_eq!(graded.points(), (4, 4), "{:#}", graded.report);

    let floods_only = "import sys\nwhile True:\n    sys.stderr.write('x' * 4000 + chr(10))";
    let graded = in_time(|| grade(floods_only, &["client-prints"]));
    assert_eq!(graded.points().0, 0);
    assert!(graded.report.to_string().len() < 10_000);

    // More than is kept, and so without the reply, which comes last.
    let graded = grade(&reference_after("print('x' * 100_000)"), &["client-prints"]);
    assert_eq!(graded.failed(), ["client-prints"]);
    assert!(graded.report.to_string().len() < 10_000);
}

#[test]
fn a_client_that_closes_its_input_fails_and_harms_nothing() {
    let closes = "import os\nos.close(0)\ninput()";
    let graded = in_time(|| grade(closes, &["client-sends", "client-prints"]));
    assert_eq!(graded.failed(), ["client-sends", "client-prints"]);
}

#[test]
fn a_client_that_opens_a_thousand_connections_fails_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let connects = "def ask(host, port):
    kept = [create_connection((host, port)) for _ in range(1000)]
";
    let program = solution("02_streams.py").replace("def ask(host, port):\n", connects);
    let only = ["client-prints", "sentence", "message"];
    let graded = in_time(|| grade_python(folder.path(), "streams", &program, &only));
    assert_eq!(graded.failed(), ["client-prints"], "{:#}", graded.report);
}

#[test]
fn files_memory_and_open_files_are_bounded() {
    // Serves only if each of the three attempts fails.
    let greedy = "
import os, tempfile
def refused(attempt):
    try:
        attempt()
    except (OSError, MemoryError):
        return
    raise SystemExit(f'{attempt.__name__} was possible')
def big_file():
    with open('big', 'wb') as file:
        for _ in range(100):
            file.write(bytes(1 << 20))
def many_files():
    kept = [open(os.devnull) for _ in range(600)]
refused(big_file)
refused(many_files)
os.remove('big')
";
    let memory = "refused(lambda: bytearray(3 << 30))\n";
    // The limit of memory is one of Linux.
    let greedy =
        if cfg!(target_os = "linux") { greedy.to_owned() + memory } else { greedy.to_owned() };
    let graded = grade(&reference_after(&greedy), &["upper"]);
    assert_eq!(graded.points(), (2, 2), "{:#}", graded.report);
}

#[test]
fn children_end_with_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    // A child, a grandchild whose parent ends, and on Linux a daemon in a session of its own.
    let leaves = format!(
        "
import os, sys, time
def stay():
    with open({pids:?}, 'a') as file:
        file.write(f'{{os.getpid()}}\\n')
    time.sleep(1000)
if os.fork() == 0:
    stay()
if os.fork() == 0:
    if os.fork() == 0:
        stay()
    os._exit(0)
if os.fork() == 0:
    if sys.platform == 'linux':
        os.setsid()
    if os.fork() == 0:
        stay()
    os._exit(0)
"
    );
    let program = reference_after(&leaves);
    let graded = in_time(|| grade_python(folder.path(), "datagrams", &program, &["upper"]));
    assert_eq!(graded.points(), (2, 2), "{:#}", graded.report);
    let children = processes(&pids, 3);
    let left: Vec<_> = children.iter().filter(|process| !ends(process)).collect();
    assert!(left.is_empty(), "{left:?} of {children:?}");
}

#[test]
fn hundreds_of_children_end_with_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let forks = format!(
        "
import os, time
for _ in range(300):
    if os.fork() == 0:
        with open({pids:?}, 'a') as file:
            file.write(f'{{os.getpid()}}\\n')
        time.sleep(1000)
"
    );
    let program = reference_after(&forks);
    let graded = in_time(|| grade_python(folder.path(), "datagrams", &program, &["upper"]));
    assert_eq!(graded.points(), (2, 2), "{:#}", graded.report);
    let text = fs::read_to_string(&pids).unwrap();
    assert!(text.lines().count() > 100 && text.lines().all(ends));
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_cannot_have_processes_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let limit = folder.path().join("limit");
    // To reach it would take the test's own user down; and root is not held to it.
    let tells = format!(
        "import resource\n\
         open({limit:?}, 'w').write(str(resource.getrlimit(resource.RLIMIT_NPROC)[1]))"
    );
    let program = reference_after(&tells);
    let graded = grade_python(folder.path(), "datagrams", &program, &["upper"]);
    assert_eq!(graded.points(), (2, 2), "{:#}", graded.report);
    let limit: i64 = fs::read_to_string(&limit).unwrap().parse().unwrap();
    assert!(limit > 1024, "{limit}: the user has processes already");
    let system = fs::read_to_string("/proc/sys/kernel/threads-max").unwrap();
    assert!(limit < system.trim().parse().unwrap(), "{limit} of {system}");
}

#[test]
fn what_a_program_writes_to_its_folder_is_removed() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let writes =
        "open('litter', 'w').write('x')\nimport os\nos.makedirs('a/b')\nprint(os.listdir())";
    let program = python(&write_python(folder.path(), &reference_after(writes)), "");
    let output =
        labs(&["check", "datagrams", "--program", &program, "--only", "upper", "--strict"])
            .env("TMPDIR", temporary.path())
            .output()
            .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the program itself");
}

#[test]
fn ctrl_c_ends_the_programs_and_removes_the_folder() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let hangs = format!(
        "import os, time\nwith open({pids:?}, 'a') as f:\n    f.write(f'{{os.getpid()}}\\n')\ntime.sleep(1000)"
    );
    let program = python(&write_python(folder.path(), &hangs), "");
    let mut grader = labs(&["check", "datagrams", "--program", &program, "--only", "upper"])
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let [student] = &processes(&pids, 1)[..] else { panic!("one program") };
    Command::new("kill").args(["-INT", &grader.id().to_string()]).status().unwrap();
    assert_eq!(grader.wait().unwrap().code(), Some(130));
    assert!(ends(student));
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}
