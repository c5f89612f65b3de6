//! How far each member is, on a few lines at the bottom of the terminal.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use peer::demo::{Ledger, Role};

/// Cells of 12 columns, and a space between them, that fit a terminal of 80.
const CELLS_PER_LINE: usize = 6;

/// The decisions should keep most of a terminal with 24 lines.
const MAX_LINES: usize = 5;

/// The lines with the members' progress.
pub(super) struct Board {
    bars: MultiProgress,
    lines: Vec<ProgressBar>,
}

impl Board {
    /// Draws with the bars of the swarm.
    pub(super) fn new(bars: &MultiProgress) -> Self {
        Self { bars: bars.clone(), lines: Vec::new() }
    }

    /// Shows the present state.
    pub(super) fn draw(&mut self, ledger: &Ledger) {
        for (number, line) in lines(ledger).into_iter().enumerate() {
            if self.lines.len() == number {
                let style = ProgressStyle::with_template("{wide_msg}").expect("a valid template");
                self.lines.push(self.bars.add(ProgressBar::new(1).with_style(style)));
            }
            self.lines[number].set_message(line);
        }
    }

    /// The lines stay as they are.
    pub(super) fn end(self) {
        self.lines.iter().for_each(ProgressBar::abandon);
    }
}

/// A cell for each member but the seed.
fn lines(ledger: &Ledger) -> Vec<String> {
    let all = ledger.chunks();
    let peers = ledger.rows().filter(|(member, _)| member.role != Role::Seed);
    let cells = peers.map(|(member, record)| {
        let percent = u64::from(record.have) * 100 / u64::from(all);
        format!("{:<8}{percent:>3}%", member.name)
    });
    let mut cells: Vec<String> = cells.collect();
    let most = CELLS_PER_LINE * MAX_LINES;
    if cells.len() > most {
        let more = cells.len() - (most - 1);
        cells.truncate(most - 1);
        cells.push(format!("and {more} more"));
    }
    cells.chunks(CELLS_PER_LINE).map(|line| line.join(" ")).collect()
}

#[cfg(test)]
mod tests {
    use common::geometry::Geometry;
    use fastrand::Rng;
    use peer::demo::Setup;

    use super::*;

    fn lines_of(peers: u16) -> Vec<String> {
        let geometry = Geometry::new(100, 1).unwrap();
        let setup = Setup { peers, ..Setup::default() };
        let members = setup.members(&geometry, &mut Rng::with_seed(1));
        lines(&Ledger::new(geometry, members))
    }

    #[test]
    fn a_line_has_six_members_and_fits_a_terminal() {
        let lines = lines_of(16);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("peer-1   50% peer-2   50% "), "{}", lines[0]);
        assert!(lines.iter().all(|line| line.len() < 80), "{lines:?}");
        assert!(lines[2].ends_with("rider-1  50%"), "{}", lines[2]);
    }

    #[test]
    fn of_many_members_the_last_are_counted() {
        let lines = lines_of(50);
        assert_eq!(lines.len(), 5);
        assert!(lines[4].ends_with("and 22 more"), "{}", lines[4]);
    }
}
