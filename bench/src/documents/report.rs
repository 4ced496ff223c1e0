//! The table of operations, a line each, and the notes that belong to it.

use super::PARSE_TIMES;
use crate::cpu::Round;
use crate::table::Judged;

/// One operation.
pub(super) struct Line {
    pub(super) name: &'static str,
    /// What we aim at besides the ratio, in microseconds of processor time.
    pub(super) aim_us: Option<f64>,
    /// Whether both answered, and not the same.
    pub(super) differs: bool,
    pub(super) peer: Figures,
    pub(super) ours: Figures,
}

/// What is known of one side.
pub(super) enum Figures {
    Measured(Round),
    /// It refuses, and says why.
    NotOffered(String),
    /// It does not run.
    Absent,
}

/// The whole table: the peer's figure stands before ours, the ratio says how many times ours the peer's is.
pub(super) fn print(lines: &[Line]) -> String {
    let mut text = format!(
        "{:<28} {:>19} {:>9} {:>17} {:>15} {:>17}\n",
        "through HTTP", "CPU µs", "", "operations/s", "p50 ms", "p99 ms"
    );
    text.push_str(&format!(
        "{:<28} {:>11}{:>8} {:>9} {:>9}{:>8} {:>7}{:>8} {:>8}{:>9}  {}\n",
        "", "parse", "us", "parse/us", "parse", "us", "parse", "us", "parse", "us", "aim"
    ));
    text.extend(lines.iter().map(Line::print));
    text
}

/// One line an aim.
pub(super) fn print_aims(lines: &[Line]) -> String {
    let told = |line: &Line| {
        let name = format!("{}, CPU of a request", line.name);
        line.judged().iter().map(|judged| judged.line(&name)).collect::<String>()
    };
    lines.iter().map(told).collect()
}

/// Everything that is not like for like, or was left out.
pub(super) fn print_notes<'a>(lines: &[Line], notes: impl Iterator<Item = &'a String>) -> String {
    let own = lines.iter().flat_map(Line::notes);
    let all: Vec<String> = own.chain(notes.cloned()).collect();
    let lines = all.iter().map(|note| format!("  - {note}\n"));
    std::iter::once("notes\n".to_owned()).chain(lines).collect()
}

// === impl Line ===

impl Line {
    fn print(&self) -> String {
        let (peer, ours) = (self.peer.round(), self.ours.round());
        let figure = |round: Option<Round>, of: fn(&Round) -> f64| {
            round.map_or_else(|| "–".to_owned(), |round| shown(of(&round)))
        };
        let both = |of| [figure(peer, of), figure(ours, of)];
        let [[cpu_peer, cpu_ours], [rate_peer, rate_ours]] =
            [both(|round: &Round| round.cpu_us), both(|round: &Round| round.rate)];
        let [[p50_peer, p50_ours], [p99_peer, p99_ours]] =
            [both(|round: &Round| round.p50_ms), both(|round: &Round| round.p99_ms)];
        let ratio = self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.1} ×"));
        let line = format!(
            "  {:<26} {cpu_peer:>11}{cpu_ours:>8} {ratio:>9} {rate_peer:>9}{rate_ours:>8} {p50_peer:>7}{p50_ours:>8} {p99_peer:>8}{p99_ours:>9}  {}",
            self.name,
            self.verdict()
        );
        format!("{}\n", line.trim_end())
    }

    fn ratio(&self) -> Option<f64> {
        let (peer, ours) = (self.peer.round()?, self.ours.round()?);
        (ours.cpu_us > 0.0).then(|| peer.cpu_us / ours.cpu_us)
    }

    /// The aims and whether they are met.
    fn verdict(&self) -> String {
        if matches!(self.ours, Figures::NotOffered(_)) {
            return "not offered".to_owned();
        }
        self.judged().iter().map(Judged::in_table).collect::<Vec<_>>().join(", ")
    }

    /// The figures that aims are about. Beside a peer that is absent there is none.
    fn judged(&self) -> Vec<Judged> {
        let times = self.ratio().map(|ratio| Judged {
            figure: format!("{ratio:.1} ×"),
            wanted: format!("≥ {PARSE_TIMES} ×"),
            is_met: ratio >= PARSE_TIMES,
        });
        let most = self.aim_us.zip(self.ours.round()).map(|(aim_us, ours)| Judged {
            figure: format!("{} µs", shown(ours.cpu_us)),
            wanted: format!("≤ {aim_us} µs"),
            is_met: ours.cpu_us <= aim_us,
        });
        times.into_iter().chain(most).collect()
    }

    fn notes(&self) -> Vec<String> {
        let refused = [("parse", &self.peer), ("yunzhan", &self.ours)].into_iter();
        let refused = refused.filter_map(|(who, figures)| match figures {
            Figures::NotOffered(why) => {
                Some(format!("{}: {who} does not offer it ({why})", self.name))
            }
            Figures::Measured(_) | Figures::Absent => None,
        });
        let differs = format!("{}: the two answers differ", self.name);
        refused.chain(self.differs.then_some(differs)).collect()
    }
}

// === impl Figures ===

impl Figures {
    fn round(&self) -> Option<Round> {
        match self {
            Self::Measured(round) => Some(*round),
            Self::NotOffered(_) | Self::Absent => None,
        }
    }
}

/// With as many digits as say something.
fn shown(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn measured(cpu_us: f64) -> Figures {
        Figures::Measured(Round { cpu_us, rate: 1e6 / cpu_us, p50_ms: 0.5, p99_ms: 12.25 })
    }

    fn line(name: &'static str, peer: Figures, ours: Figures) -> Line {
        Line { name, aim_us: None, differs: false, peer, ours }
    }

    #[test]
    fn a_line_says_ratio_and_aims() {
        let refused = || Figures::NotOffered("501: not offered by this server".to_owned());
        let nearest = line("nearest 20", measured(500_000.0), measured(1500.0));
        let lines = [
            line("read by id", measured(900.0), measured(30.0)),
            line("create, 1 KB", measured(200.0), measured(100.0)),
            Line { aim_us: Some(1000.0), differs: true, ..nearest },
            line("sum and count by status", measured(50_000.0), refused()),
            line("update by id", Figures::Absent, measured(40.0)),
        ];
        expect![[r#"
            through HTTP                              CPU µs                operations/s          p50 ms            p99 ms
                                               parse      us  parse/us     parse      us   parse      us    parse       us  aim
              read by id                         900    30.0    30.0 ×      1111   33333    0.50    0.50     12.2     12.2  ≥ 5 × met
              create, 1 KB                       200     100     2.0 ×      5000   10000    0.50    0.50     12.2     12.2  ≥ 5 × MISSED
              nearest 20                      500000    1500   333.3 ×      2.00     667    0.50    0.50     12.2     12.2  ≥ 5 × met, ≤ 1000 µs MISSED
              sum and count by status          50000       –                20.0       –    0.50       –     12.2        –  not offered
              update by id                         –    40.0                   –   25000       –    0.50        –     12.2
        "#]]
        .assert_eq(&print(&lines));
        expect![[r#"
            notes
              - nearest 20: the two answers differ
              - sum and count by status: yunzhan does not offer it (501: not offered by this server)
              - fsync is on
        "#]]
        .assert_eq(&print_notes(&lines, ["fsync is on".to_owned()].iter()));
        expect![[r#"
            aim read by id, CPU of a request: 30.0 × (wanted ≥ 5 ×) met
            aim create, 1 KB, CPU of a request: 2.0 × (wanted ≥ 5 ×) missed
            aim nearest 20, CPU of a request: 333.3 × (wanted ≥ 5 ×) met
            aim nearest 20, CPU of a request: 1500 µs (wanted ≤ 1000 µs) missed
        "#]]
        .assert_eq(&print_aims(&lines));
    }
}
