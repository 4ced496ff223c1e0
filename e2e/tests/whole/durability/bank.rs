//! Money moves between accounts in transactions that span requests, and the process is killed amid them: the sum stays, what
//! was acknowledged is there, and of no transfer is there a half.
//!
//! Each transfer writes both accounts and a record of itself in one transaction, so the balances can be reckoned from the
//! records: whatever is lost, made, or there in part shows as a difference.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use yunzhan_e2e::environment::Permission;
use yunzhan_e2e::report::figure;
use yunzhan_e2e::{Backend, Options, Random, Seed, Server};

use super::keeper::{Keeper, data};
use super::log::LogAudit;
use super::{ENV, KILLS_DEFAULT, LOAD_WAIT_MAX, Load, kills};

/// Few enough that transfers meet, and many enough that most get through.
const ACCOUNTS: u64 = 12;
/// What everybody begins with.
const BALANCE: i64 = 1000;
/// Who transfer at once.
const TELLERS: usize = 8;
/// The most that one transfer moves.
const AMOUNT_MAX: u64 = 300;
/// The session of a killed server lives on for so long, and until then the next one claims what its transactions write, as if
/// it had company; what it has claimed when it is killed itself is refused to others for half a minute.
const SESSION_LIFE: &str = "1s";
/// Most documents that one search gives.
const PAGE: usize = 1000;
/// What a call is answered whose transaction lost to another one.
const CONFLICT: &str = "DATABASE_TRANSACTION_CONFLICT";

/// One try to move money. The next one has another id, so that the record tells which of them it was.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Transfer {
    id: String,
    from: String,
    to: String,
    amount: i64,
}

/// What became of it.
enum Outcome {
    Acknowledged,
    /// Somebody else was faster.
    Refused,
    /// There was not enough money.
    Short,
    /// The kill came before the commit was sent.
    CutOff,
    /// The kill came before the commit was answered: it happened as a whole, or not at all.
    Unsure,
}

/// What one teller did until the kill.
#[derive(Default)]
struct Ledger {
    acknowledged: Vec<Transfer>,
    refused: Vec<Transfer>,
    unsure: Vec<Transfer>,
}

/// A call that was refused, with its code.
struct Refusal(String);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_neither_loses_nor_makes_money_on_sqlite() {
    balances(Backend::Sqlite, kills()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_neither_loses_nor_makes_money_on_mysql() {
    balances(Backend::Mysql, kills().min(KILLS_DEFAULT)).await;
}

async fn balances(backend: Backend, kills: u32) {
    let Some(mut server) =
        Server::start_on(backend, Options::default().with("cluster.session_life", SESSION_LIFE))
            .await
    else {
        return;
    };
    let (seed, mut audit) = (Seed::drawn(), LogAudit::default());
    let mut keeper = open_bank(&server).await;
    let mut all = Ledger::default();
    let begun = Instant::now();
    for round in 0..kills {
        let transferred = transfer_until_killed(&mut server, &keeper, seed.random(round.into()));
        let round = tokio::time::timeout(LOAD_WAIT_MAX, transferred).await;
        let round = round.expect("the load ends");
        all.acknowledged.extend(round.acknowledged);
        all.refused.extend(round.refused);
        all.unsure.extend(round.unsure);
        let transferred = all.acknowledged.iter().map(Transfer::record);
        audit.has_inserted(&server, "records", transferred).await;
        server.restart().await;
        keeper.http = server.http();
        books_agree(&keeper, &all).await;
    }
    let Ledger { acknowledged, refused, unsure } = &all;
    figure(&format!(
        "{backend:?}: {kills} kills in {:.1} s: {} transfers acknowledged and kept, {} refused and absent, {} commits unanswered; {audit}",
        begun.elapsed().as_secs_f64(),
        acknowledged.len(),
        refused.len(),
        unsure.len()
    ));
}

/// Accounts with money on them, and an index on who paid, which each record gets an entry in.
async fn open_bank(server: &Server) -> Keeper {
    let environment = server.add_environment(ENV).await;
    let keeper = Keeper { http: server.http(), access_key: environment.access_key };
    for collection in ["accounts", "records"] {
        server.add_collection(ENV, collection, Permission::AdminOnly).await;
    }
    let path = format!("/control/v1/envs/{ENV}/collections/records/indexes");
    let index = json!({ "keys": [{ "field": "from", "direction": "1" }] });
    let _ = server.control(Method::POST, &path, &index).await.value();
    let account =
        |number| json!({ "_id": account(number), "balance": BALANCE, "transfers": 0 }).to_string();
    let accounts: Vec<_> = (0..ACCOUNTS).map(account).collect();
    let adding = keeper.asking("insertDocument", "accounts", json!({ "data": accounts }));
    data(adding.send().await.value());
    keeper
}

fn account(number: u64) -> String {
    format!("account-{number:02}")
}

/// Everybody transfers; somewhere in between, the process is gone.
async fn transfer_until_killed(server: &mut Server, keeper: &Keeper, mut random: Random) -> Ledger {
    let load = Arc::new(Load::random(&mut random));
    let mut tellers = JoinSet::new();
    for _ in 0..TELLERS {
        tellers.spawn(transfer(keeper.clone(), Arc::clone(&load), Random::from(&mut random)));
    }
    tokio::select! {
        biased;
        () = load.is_enough.notified() => server.kill(),
        Some(_) = tellers.join_next() => panic!("a teller found no server before the kill"),
    }
    let mut all = Ledger::default();
    for ledger in tellers.join_all().await {
        all.acknowledged.extend(ledger.acknowledged);
        all.refused.extend(ledger.refused);
        all.unsure.extend(ledger.unsure);
    }
    all
}

/// Transfers until nobody answers any more; what is refused is tried again, as the SDKs do.
async fn transfer(keeper: Keeper, load: Arc<Load>, mut random: Random) -> Ledger {
    let mut ledger = Ledger::default();
    loop {
        let mut transfer = Transfer::random(&mut random);
        loop {
            match transfer.make(&keeper).await {
                Outcome::Acknowledged => {
                    ledger.acknowledged.push(transfer);
                    load.acknowledge();
                    break;
                }
                Outcome::Refused => {
                    let again = Transfer { id: record_id(&mut random), ..transfer.clone() };
                    ledger.refused.push(std::mem::replace(&mut transfer, again));
                }
                Outcome::Short => {
                    ledger.refused.push(transfer);
                    break;
                }
                Outcome::CutOff => {
                    ledger.refused.push(transfer);
                    return ledger;
                }
                Outcome::Unsure => {
                    ledger.unsure.push(transfer);
                    return ledger;
                }
            }
        }
    }
}

fn record_id(random: &mut Random) -> String {
    format!("{:016x}", random.number())
}

// === impl Transfer ===

impl Transfer {
    fn random(random: &mut Random) -> Self {
        let from = random.below(ACCOUNTS);
        let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
        let amount = i64::try_from(1 + random.below(AMOUNT_MAX)).unwrap();
        Self { id: record_id(random), from: account(from), to: account(to), amount }
    }

    async fn make(&self, keeper: &Keeper) -> Outcome {
        let id = match self.write(keeper).await {
            Err(_) => return Outcome::CutOff,
            Ok(Err(Refusal(code))) => {
                assert_eq!(code, CONFLICT, "{self:?}");
                return Outcome::Refused;
            }
            Ok(Ok(None)) => return Outcome::Short,
            Ok(Ok(Some(id))) => id,
        };
        match call(keeper, "commitTransaction", "", json!({ "transactionId": id })).await {
            Err(_) => Outcome::Unsure,
            Ok(Err(Refusal(code))) => {
                assert_eq!(code, CONFLICT, "{self:?}");
                Outcome::Refused
            }
            Ok(Ok(_)) => Outcome::Acknowledged,
        }
    }

    /// Everything but the commit; gives the transaction, or nothing when there was not enough money.
    async fn write(&self, keeper: &Keeper) -> Result<Result<Option<String>, Refusal>> {
        let begun = match call(keeper, "startTransaction", "", json!({})).await? {
            Err(refusal) => return Ok(Err(refusal)),
            Ok(begun) => begun,
        };
        let transaction = begun["transactionId"].as_str().expect("an id").to_owned();
        let balance = match self.balance(keeper, &transaction).await? {
            Err(refusal) => return Ok(Err(refusal)),
            Ok(balance) => balance,
        };
        if balance < self.amount {
            let members = json!({ "transactionId": transaction });
            let ended = call(keeper, "abortTransaction", "", members).await?;
            return Ok(ended.map(|_| None));
        }
        // One account is given what was reckoned from what was read, the other one what it has then and more.
        let paid =
            json!({ "$set": { "balance": balance - self.amount }, "$inc": { "transfers": 1 } });
        let got = json!({ "$inc": { "balance": self.amount, "transfers": 1 } });
        for (account, change) in [(&self.from, paid), (&self.to, got)] {
            let query = json!({ "_id": account }).to_string();
            let members = json!({
                "query": query, "data": change.to_string(), "merge": true, "multi": false,
                "transactionId": transaction,
            });
            match call(keeper, "modifyDocument", "accounts", members).await? {
                Err(refusal) => return Ok(Err(refusal)),
                Ok(answer) => assert_eq!(answer["data"]["updated"], 1, "{answer}"),
            }
        }
        let record = self.record().to_string();
        let members = json!({ "data": [record], "transactionId": transaction });
        let recorded = call(keeper, "insertDocument", "records", members).await?;
        Ok(recorded.map(|_| Some(transaction)))
    }

    /// What the payer has, as the transaction sees it.
    async fn balance(&self, keeper: &Keeper, transaction: &str) -> Result<Result<i64, Refusal>> {
        let query = json!({ "_id": self.from }).to_string();
        let members = json!({ "query": query, "limit": 1, "transactionId": transaction });
        let found = call(keeper, "getDocument", "accounts", members).await?;
        Ok(found.map(|answer| {
            let text = answer["data"]["list"][0].as_str().expect("the account");
            let found: Value = serde_json::from_str(text).unwrap();
            whole(&found["balance"])
        }))
    }

    fn record(&self) -> Value {
        json!({ "_id": self.id, "from": self.from, "to": self.to, "amount": self.amount })
    }

    fn from_record(record: &Value) -> Self {
        let text = |name: &str| record[name].as_str().unwrap().to_owned();
        let amount = whole(&record["amount"]);
        Self { id: text("_id"), from: text("from"), to: text("to"), amount }
    }
}

/// One request of the dialect; an error when nobody answers.
async fn call(
    keeper: &Keeper,
    action: &str,
    collection: &str,
    members: Value,
) -> Result<Result<Value, Refusal>> {
    let answer = keeper.asking(action, collection, members).try_send().await?.json();
    Ok(match answer["code"].as_str() {
        Some(code) => Err(Refusal(code.to_owned())),
        None => Ok(answer),
    })
}

/// A whole number of Extended JSON.
fn whole(value: &Value) -> i64 {
    let text = ["$numberInt", "$numberLong"].iter().find_map(|name| value[*name].as_str());
    value.as_i64().or_else(|| text?.parse().ok()).unwrap_or_else(|| panic!("{value} is no number"))
}

// === What must hold ===

/// Holds accounts and records against one another and against what the tellers heard.
async fn books_agree(keeper: &Keeper, all: &Ledger) {
    let records: Vec<_> =
        every(keeper, "records").await.iter().map(Transfer::from_record).collect();
    let mut expected: BTreeMap<_, _> =
        (0..ACCOUNTS).map(|number| (account(number), (BALANCE, 0))).collect();
    for record in &records {
        for (account, amount) in [(&record.from, -record.amount), (&record.to, record.amount)] {
            let (balance, transfers) = expected.get_mut(account).unwrap();
            *balance += amount;
            *transfers += 1;
        }
    }
    let accounts = every(keeper, "accounts").await;
    let found: BTreeMap<_, _> = accounts
        .iter()
        .map(|found| {
            let id = found["_id"].as_str().unwrap().to_owned();
            (id, (whole(&found["balance"]), whole(&found["transfers"])))
        })
        .collect();
    assert_eq!(found, expected, "half a transfer is there");
    let sum: i64 = found.values().map(|(balance, _)| balance).sum();
    assert_eq!(sum, BALANCE * i64::try_from(ACCOUNTS).unwrap(), "money was lost or made");
    let by_id: BTreeMap<_, _> = records.iter().map(|record| (&record.id, record)).collect();
    for transfer in &all.acknowledged {
        assert_eq!(by_id.get(&transfer.id), Some(&transfer), "an acknowledged transfer is lost");
    }
    for transfer in &all.refused {
        assert_eq!(by_id.get(&transfer.id), None, "what was refused, or never committed, is there");
    }
    let known = all.acknowledged.iter().chain(&all.unsure).map(|transfer| &transfer.id);
    let known: BTreeSet<_> = known.collect();
    assert!(by_id.keys().all(|id| known.contains(id)), "a record is there that nobody made");
    for number in 0..ACCOUNTS {
        let payer = account(number);
        let paid = records.iter().filter(|record| record.from == payer).count();
        let query = json!({ "from": payer }).to_string();
        let counting = keeper.asking("calculateDocument", "records", json!({ "query": query }));
        let counted = data(counting.send().await.value());
        assert_eq!(counted["total"], paid, "the index of {payer} has other records");
    }
}

/// Everything of a collection, page by page.
async fn every(keeper: &Keeper, collection: &str) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let members = json!({ "query": "{}", "limit": PAGE, "offset": all.len() });
        let page = keeper.asking("getDocument", collection, members);
        let page = data(page.send().await.value());
        let page = page["list"].as_array().unwrap();
        all.extend(
            page.iter().map(|text| serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap()),
        );
        if page.len() < PAGE {
            return all;
        }
    }
}
