//! The README keeps its word: its tour is run as a reader would run it, in both languages, and what is printed is compared.
//! So do the pages of `docs/` that show commands.
//!
//! Marks of a block: `serve` stands for the terminal in which the server runs; `setup` is done again after each start,
//! since ports here are free ones; `kill` ends the server; `packages` is done already, for every test at once; `node` and
//! `mysql` say what has to be there.

mod offered;
mod page;
mod terminal;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use yunzhan_e2e::node::Packages;
use yunzhan_e2e::report::skipped;
use yunzhan_e2e::requirement::REQUIRE_VARIABLE;
use yunzhan_e2e::{Options, Server};
use yunzhan_engine::sql::testing::Fresh;

use page::{Block, masked, section, tour};
use terminal::Terminal;

const ENGLISH: &str = include_str!("../../../README.md");
const CHINESE: &str = include_str!("../../../README.zh-CN.md");

/// Pages on one subject, whose server runs already: English and Chinese.
const DOCUMENTS: [&str; 2] =
    [include_str!("../../../docs/documents.md"), include_str!("../../../docs/documents.zh-CN.md")];

/// Free ports stand for these.
const PORTS: [&str; 3] = ["8080", "8443", "8079"];

/// How long a first start may take (mission row A9).
const COLD_START_MS_MAX: u64 = 15_000;

/// The mission: each group of rows and how many it has.
const ROWS: &[(&str, u32)] = &[
    ("S", 5),
    ("A", 10),
    ("D", 12),
    ("O", 12),
    ("C", 10),
    ("K", 6),
    ("P", 10),
    ("F", 8),
    ("B", 21),
];

#[tokio::test]
async fn the_tour_prints_what_it_says() {
    walk("en_US.UTF-8", ENGLISH).await;
}

#[tokio::test]
async fn the_tour_in_chinese_prints_what_it_says() {
    walk("zh_CN.UTF-8", CHINESE).await;
}

#[tokio::test]
async fn the_page_on_documents_prints_what_it_says() {
    follow("en_US.UTF-8", DOCUMENTS[0]).await;
}

#[tokio::test]
async fn the_page_on_documents_in_chinese_prints_what_it_says() {
    follow("zh_CN.UTF-8", DOCUMENTS[1]).await;
}

async fn follow(lang: &'static str, page: &str) {
    if has_curl() {
        Reader::sit_down(lang).await.follow(&tour(page)).await;
    }
}

async fn walk(lang: &'static str, readme: &str) {
    if has_curl() {
        Reader::sit_down(lang).await.walk(&tour(readme)).await;
    }
}

/// Where nothing is required, a machine without curl skips the tour by name.
fn has_curl() -> bool {
    let found = Command::new("curl").arg("--version").output().is_ok();
    if !found {
        assert!(std::env::var(REQUIRE_VARIABLE).is_err(), "curl is not installed");
        skipped("curl is not installed");
    }
    found
}

/// Somebody with a README and a terminal.
struct Reader {
    server: Server,
    terminal: Terminal,
    program: PathBuf,
    lang: &'static str,
    packages: Option<Packages>,
    mysql: Option<Fresh>,
    /// For the reader's own server.
    port: u16,
    is_serving: bool,
}

impl Reader {
    async fn sit_down(lang: &'static str) -> Self {
        let server = Server::start(Options::default()).await;
        assert!(server.ready()["elapsed_ms"].as_u64().unwrap() < COLD_START_MS_MAX);
        let folder = server.folder();
        std::os::unix::fs::symlink(server.data().root(), folder.join("yunzhan-data")).unwrap();
        let program = program(&server);
        let terminal = Terminal::open(folder, program.parent().unwrap(), lang);
        let packages = Packages::install().await;
        let mysql = Fresh::mysql().await;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { server, terminal, program, lang, packages, mysql, port, is_serving: true }
    }

    async fn walk(self, blocks: &[Block]) {
        let (first, blocks) = blocks.split_first().unwrap();
        let shown = first.replaced(&PORTS);
        self.compare(&shown, &first_start(&self.program, self.lang, &shown));
        self.follow(blocks).await;
    }

    /// Runs what comes after the first start.
    async fn follow(mut self, blocks: &[Block]) {
        let setup = blocks.iter().find(|block| block.has("setup")).unwrap();
        self.find_packages().await;
        for block in blocks {
            if !self.can(block) {
                continue;
            }
            if block.has("packages") {
                names_the_tested_version(&block.commands);
            } else if block.has("serve") {
                self.serve().await;
                self.run(setup);
            } else {
                self.run(block);
            }
            if block.has("kill") {
                self.server.ended().await;
                self.is_serving = false;
            }
        }
    }

    /// Whether the machine has what the block needs; what it lacks was reported when it was looked for.
    fn can(&self, block: &Block) -> bool {
        (self.packages.is_some() || !block.has("node"))
            && (self.mysql.is_some() || !block.has("mysql"))
    }

    async fn find_packages(&mut self) {
        if let Some(packages) = &self.packages {
            let found = packages.drive(&["--print", "process.env.NODE_PATH"], &[]).await.stdout;
            // Without TENCENTCLOUD the package looks for its cloud by name before every call, which takes time where there is
            // no name server.
            let found = found.trim_end();
            self.terminal.run(&format!("export TENCENTCLOUD=true NODE_PATH='{found}'"));
        }
    }

    /// Starts the server in the other terminal, after stopping the one that still runs there.
    async fn serve(&mut self) {
        if self.is_serving {
            self.server.terminate().await;
        }
        self.server.restart().await;
        self.is_serving = true;
    }

    fn run(&mut self, block: &Block) {
        let mut commands = block.commands.clone();
        for (named, here) in self.places() {
            commands = commands.replace(named, &here);
        }
        let printed = self.terminal.run(&commands);
        self.compare(block, &printed);
    }

    /// What the README names and what stands for it here.
    fn places(&mut self) -> Vec<(&'static str, String)> {
        let mut places = vec![
            ("http://127.0.0.1:8080", self.server.url("http").to_owned()),
            ("http://127.0.0.1:8079", self.server.url("control").to_owned()),
            ("3000", self.port.to_string()),
        ];
        if let Some(mysql) = &mut self.mysql {
            let url = mysql.config().mysql_url.as_ref().unwrap();
            let named = "mysql://user:password@127.0.0.1:3306/yunzhan";
            places.push((named, url.expose_str().unwrap().to_owned()));
        }
        places
    }

    fn compare(&self, block: &Block, printed: &str) {
        let Block { commands, output, .. } = block;
        let printed = masked(printed, output);
        let lang = self.lang;
        assert!(
            printed == *output,
            "in {lang}:\n{commands}printed:\n{printed}but the page says:\n{output}"
        );
    }
}

/// The program that serves.
fn program(server: &Server) -> PathBuf {
    std::fs::read_link(format!("/proc/{}/exe", server.ready()["process"])).unwrap()
}

/// What the first start prints in a folder of its own, as many lines as expected.
fn first_start(program: &Path, lang: &str, block: &Block) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (output, input) = std::io::pipe().unwrap();
    let mut server = Command::new(program)
        .env_clear()
        .env("LANG", lang)
        .env("YUNZHAN_LISTEN__HTTP", "0.0.0.0:0")
        .env("YUNZHAN_LISTEN__HTTPS", "0.0.0.0:0")
        .env("YUNZHAN_LISTEN__CONTROL", "127.0.0.1:0")
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(input.try_clone().unwrap())
        .stderr(input)
        .spawn()
        .unwrap();
    // What a machine allows is not what the page is about.
    let of_machine = |line: &String| line.contains("raise the hard limit");
    let lines = BufReader::new(output).lines().map(Result::unwrap).filter(|line| !of_machine(line));
    let lines = lines.take(block.output.lines().count());
    let printed: String = lines.map(|line| line + "\n").collect();
    server.kill().unwrap();
    server.wait().unwrap();
    printed
}

fn names_the_tested_version(command: &str) {
    let (name, version) = command.trim_end().rsplit_once('@').unwrap();
    let name = name.rsplit_once(' ').unwrap().1;
    let tested = include_str!("../../node/package.json");
    let tested: serde_json::Value = serde_json::from_str(tested).unwrap();
    assert_eq!(tested["dependencies"][name], version, "the version of {name} that is tested");
}

#[test]
fn both_languages_have_the_same_commands() {
    let commands = |page| tour(page).into_iter().map(Block::silent).collect::<Vec<_>>();
    for [english, chinese] in [[ENGLISH, CHINESE], DOCUMENTS] {
        assert_eq!(commands(english), commands(chinese));
    }
}

#[test]
fn every_row_of_the_mission_is_named_once() {
    for readme in [ENGLISH, CHINESE] {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for word in section(readme, "rows").split(|letter: char| !letter.is_alphanumeric()) {
            *counts.entry(word.to_owned()).or_default() += 1;
        }
        for (group, rows) in ROWS {
            for row in 1..=*rows {
                let name = format!("{group}{row}");
                assert_eq!(counts.get(&name), Some(&1), "row {name}");
            }
        }
    }
}
