//! Who writes: each turn inserts, changes or removes a document, or changes two in a transaction, through any of the servers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use yunzhan_e2e::Random;

use super::{GOODS, IDS, Shop};

/// What a call is answered whose transaction lost, or is gone with its server.
const CONFLICT: &str = "DATABASE_TRANSACTION_CONFLICT";
/// What an insert is answered whose id is taken.
const TAKEN: &str = "a document with this _id exists already";
/// What a client says that found no server.
const NO_SERVER: &str = "no connection";

/// What a turn is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Insert(String),
    Update(String),
    Remove(String),
    /// Both or none.
    Transact([String; 2]),
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// It changed nothing.
    Nothing,
    /// Nobody answered, or the answer leaves it open.
    Unsure,
}

/// One turn.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) act: Act,
    /// What it writes, and nobody else.
    pub(super) text: String,
    pub(super) outcome: Outcome,
}

/// The id of a document.
pub(super) fn id(number: u64) -> String {
    format!("good-{number:02}")
}

/// Takes turns until the writing is over.
pub(super) async fn write(shop: Arc<Shop>, hand: u64, mut random: Random) -> Vec<Turn> {
    let mut turns = Vec::new();
    while !shop.is_over() {
        let first = random.below(IDS);
        let act = match random.below(10) {
            0 | 1 => Act::Insert(id(first)),
            2..=4 => Act::Update(id(first)),
            5 => Act::Remove(id(first)),
            _ => Act::Transact([id(first), id((first + 1 + random.below(IDS - 1)) % IDS)]),
        };
        let text = format!("{hand}-{}", turns.len());
        let outcome = take(&shop, &act, &text, random.below(3)).await;
        turns.push(Turn { act, text, outcome });
        shop.turns.fetch_add(1, Ordering::Relaxed);
    }
    turns
}

async fn take(shop: &Shop, act: &Act, text: &str, server: u64) -> Outcome {
    let answer = match act {
        Act::Insert(id) => {
            let document = json!({ "_id": id, "text": text }).to_string();
            ask(shop, server, "insertDocument", json!({ "data": [document] })).await
        }
        Act::Update(id) => ask(shop, server, "modifyDocument", change(id, text)).await,
        Act::Remove(id) => {
            let query = json!({ "_id": id }).to_string();
            let members = json!({ "query": query, "multi": false });
            ask(shop, server, "removeDocument", members).await
        }
        Act::Transact(ids) => return transact(shop, ids, text, server).await,
    };
    let Ok(data) = answer else { return answer.unwrap_err() };
    let count = match act {
        Act::Update(_) => &data["updated"],
        Act::Remove(_) => &data["deleted"],
        _ => return Outcome::Done,
    };
    match count.as_u64() {
        Some(1) => Outcome::Done,
        Some(0) => Outcome::Nothing,
        _ => panic!("{act:?} was answered {data}"),
    }
}

/// Each request comes to another server.
async fn transact(shop: &Shop, ids: &[String; 2], text: &str, server: u64) -> Outcome {
    let Ok(begun) = ask(shop, server, "startTransaction", json!({})).await else {
        return Outcome::Nothing;
    };
    let transaction = &begun["transactionId"];
    for (id, further) in ids.iter().zip(1..) {
        let mut members = change(id, text);
        members["transactionId"] = transaction.clone();
        let changed = ask(shop, server + further, "modifyDocument", members).await;
        if changed.is_ok_and(|data| data["updated"] == 1) {
            continue;
        }
        // Where nobody hears this, it ends by itself.
        let _ =
            ask(shop, server, "abortTransaction", json!({ "transactionId": transaction })).await;
        return Outcome::Nothing;
    }
    let members = json!({ "transactionId": transaction });
    match ask(shop, server + 2, "commitTransaction", members).await {
        Ok(_) => Outcome::Done,
        Err(outcome) => outcome,
    }
}

fn change(id: &str, text: &str) -> Value {
    let query = json!({ "_id": id }).to_string();
    let data = json!({ "$set": { "text": text } }).to_string();
    json!({ "query": query, "data": data, "merge": true, "multi": false })
}

/// What a call was answered, whose refusals are outcomes.
async fn ask(shop: &Shop, server: u64, action: &str, members: Value) -> Result<Value, Outcome> {
    let keeper = shop.keeper(server).await;
    let collection = if action.ends_with("Transaction") { "" } else { GOODS };
    let mut answer = match keeper.asking(action, collection, members).try_send().await {
        Ok(answer) => answer.json(),
        Err(error) if error.chain().any(|cause| cause.to_string() == NO_SERVER) => {
            return Err(Outcome::Nothing);
        }
        Err(_) => return Err(Outcome::Unsure),
    };
    match answer["code"].as_str() {
        None if action == "startTransaction" => Ok(answer),
        None => Ok(answer["data"].take()),
        Some(CONFLICT) => Err(Outcome::Nothing),
        Some(_) if answer["message"] == TAKEN => Err(Outcome::Nothing),
        // Such as that of a server whose peer died.
        // Such as that of a server whose peer died amid the call.
        Some(_) => Err(Outcome::Unsure),
    }
}
