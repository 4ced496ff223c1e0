//! The documents that are measured: an order of a small shop, 1 KB.

use bson::{Document, doc};

/// Owners that share the documents.
const OWNERS: u64 = 1000;

/// One document; everything follows from its number.
pub(crate) struct Sample {
    number: u64,
}

// === impl Sample ===

impl Sample {
    pub(crate) fn of(number: u64) -> Self {
        Self { number }
    }

    /// Two bytes of slot, then time: as the service makes ids, so that they arrive in 1,024 rising sequences.
    pub(crate) fn id(&self) -> String {
        let slot = super::scatter(self.number) % 1024;
        format!("{slot:04x}{:020x}", self.created())
    }

    /// The id as the key of its row: a tag of the type, and the bytes.
    pub(crate) fn key(&self) -> Vec<u8> {
        [b"\x20", self.id().as_bytes()].concat()
    }

    pub(crate) fn owner(&self) -> String {
        format!("o{:027}", self.number % OWNERS)
    }

    pub(crate) fn created(&self) -> i64 {
        1_700_000_000_000 + i64::try_from(self.number).expect("small") * 37
    }

    pub(crate) fn document(&self) -> Document {
        doc! {
            "_id": self.id(),
            "_openid": self.owner(),
            "status": "open",
            "created": self.created(),
            "total": 12_800,
            "items": [
                { "sku": "tea-oolong-250", "count": 2, "price": 4_900 },
                { "sku": "cup-celadon", "count": 1, "price": 3_000 },
            ],
            "address": { "city": "杭州", "street": "龙井路 1 号", "phone": "13800000000" },
            "remark": "请放在门口。".repeat(32),
        }
    }

    pub(crate) fn bson(&self) -> Vec<u8> {
        self.document().to_vec().expect("a document")
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string(&self.document()).expect("a document")
    }

    /// The entry of the index on owner and time: both as bytes that sort as the values do.
    pub(crate) fn entry(&self) -> Vec<u8> {
        let mut entry = self.owner_prefix();
        entry.extend_from_slice(b"\x10");
        entry.extend_from_slice(&(self.created() ^ i64::MIN).to_be_bytes());
        entry
    }

    pub(crate) fn owner_prefix(&self) -> Vec<u8> {
        [b"\x20", self.owner().as_bytes(), b"\0"].concat()
    }
}
