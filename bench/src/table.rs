//! The table: ours beside the peer's, the ratio, and what we aim at.

use super::callgrind::{Counted, Share};

/// Figures of one kind.
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) rows: Vec<Row>,
}

/// One figure of ours, beside the peer's where it has one.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) peer: Option<f64>,
    pub(super) ours: f64,
    pub(super) aim: Option<Aim>,
}

/// What we aim at.
#[derive(Clone, Copy)]
pub(super) enum Aim {
    /// So many times the peer's figure at the most.
    Times(f64),
    /// So much at the most.
    Most(f64),
}

/// A figure, what was wanted, and whether it is.
pub(super) struct Judged {
    pub(super) figure: String,
    pub(super) wanted: String,
    pub(super) is_met: bool,
}

impl Judged {
    /// At the end of a line of a table.
    pub(super) fn in_table(&self) -> String {
        format!("{} {}", self.wanted, if self.is_met { "met" } else { "MISSED" })
    }

    /// The line that ends a bench, one for each aim.
    pub(super) fn line(&self, name: &str) -> String {
        let Self { figure, wanted, is_met } = self;
        let verdict = if *is_met { "met" } else { "missed" };
        format!("aim {name}: {figure} (wanted {wanted}) {verdict}\n")
    }
}

impl Row {
    /// A figure that has no peer.
    pub(super) fn alone(name: &str, ours: f64, aim: Option<Aim>) -> Self {
        Self { name: name.to_owned(), peer: None, ours, aim }
    }

    /// A figure beside the peer's.
    pub(super) fn beside(name: &str, peer: f64, ours: f64, aim: Option<Aim>) -> Self {
        Self { name: name.to_owned(), peer: Some(peer), ours, aim }
    }

    fn ratio(&self) -> Option<f64> {
        self.peer.filter(|peer| *peer > 0.0).map(|peer| self.ours / peer)
    }

    /// The aim and whether it is met.
    fn verdict(&self) -> String {
        self.judged().map(|judged| judged.in_table()).unwrap_or_default()
    }

    /// The figure that an aim is about, beside the aim.
    fn judged(&self) -> Option<Judged> {
        let judged = match self.aim? {
            Aim::Times(times) => {
                let ratio = self.ratio();
                let figure = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2} ×"));
                let is_met = ratio.is_some_and(|ratio| ratio <= times);
                Judged { figure, wanted: format!("≤ {times} ×"), is_met }
            }
            Aim::Most(most) => Judged {
                figure: format!("{:.1}", self.ours),
                wanted: format!("≤ {most}"),
                is_met: self.ours <= most,
            },
        };
        Some(judged)
    }

    fn print(&self) -> String {
        let figure = |value: Option<f64>| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"))
        };
        let ratio = self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2} ×"));
        let line = format!(
            "  {:<40} {:>10} {:>10} {:>9}  {}",
            self.name,
            figure(self.peer),
            figure(Some(self.ours)),
            ratio,
            self.verdict()
        );
        format!("{}\n", line.trim_end())
    }
}

/// The whole table beside a peer of this name.
pub(super) fn print(peer: &str, sections: &[Section]) -> String {
    let mut text =
        format!("\n  {:<40} {peer:>10} {:>10} {:>9}  {}\n", "", "yunzhan", "ratio", "aim");
    for section in sections {
        text.push_str(&format!("{}\n", section.title));
        text.extend(section.rows.iter().map(Row::print));
    }
    text
}

/// One line an aim.
pub(super) fn print_aims<'a>(sections: impl IntoIterator<Item = &'a Section>) -> String {
    let lines = |section: &'a Section| {
        let line =
            |row: &Row| Some(row.judged()?.line(&format!("{}, {}", row.name, section.title)));
        section.rows.iter().filter_map(line)
    };
    sections.into_iter().flat_map(lines).collect()
}

/// Where the instructions go, by function and by crate.
pub(super) fn print_shares(counted: &[Counted]) -> String {
    let mut text = String::new();
    for question in counted.iter().filter(|question| !question.name.contains("same headers")) {
        text.push_str(&format!("\n{}: own instructions by function\n", question.name));
        let line = |share: &Share| format!("  {:>5.1} %  {}\n", share.percent, share.name);
        text.extend(question.functions.iter().map(line));
        let crates =
            question.crates.iter().map(|share| format!("{} {:.0} %", share.name, share.percent));
        text.push_str(&format!("  by crate: {}\n", crates.collect::<Vec<_>>().join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_row_says_its_ratio_and_whether_the_aim_is_met() {
        let rows = vec![
            Row::beside("proxied", 40.0, 80.0, Some(Aim::Times(2.2))),
            Row::beside("built-in answer", 15.0, 30.0, Some(Aim::Times(1.6))),
            Row::alone("memory", 70.25, Some(Aim::Most(64.0))),
            Row::alone("insert", 99.0, None),
        ];
        let sections = [Section { title: "instructions of a request, thousands", rows }];
        expect![[r#"

                                                            nginx    yunzhan     ratio  aim
            instructions of a request, thousands
              proxied                                        40.0       80.0    2.00 ×  ≤ 2.2 × met
              built-in answer                                15.0       30.0    2.00 ×  ≤ 1.6 × MISSED
              memory                                            –       70.2            ≤ 64 MISSED
              insert                                            –       99.0
        "#]]
        .assert_eq(&print("nginx", &sections));
        expect![[r#"
            aim proxied, instructions of a request, thousands: 2.00 × (wanted ≤ 2.2 ×) met
            aim built-in answer, instructions of a request, thousands: 2.00 × (wanted ≤ 1.6 ×) missed
            aim memory, instructions of a request, thousands: 70.2 (wanted ≤ 64) missed
        "#]]
        .assert_eq(&print_aims(&sections));
    }
}
