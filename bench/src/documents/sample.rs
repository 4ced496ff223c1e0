//! What both servers store: orders of a small shop, a kilobyte each, and places with a point. Everything follows from a
//! number, so that both sides hold the same.

/// Documents of each owner.
const ORDERS_OF_OWNER: u64 = 100;
/// What an order can be; each owner has as many of each.
pub(super) const STATUSES: [&str; 4] = ["open", "paid", "sent", "done"];
/// What makes an order a kilobyte.
const REMARK_BYTES: usize = 720;
/// Where the places are: about where China is, in degrees.
const LONGITUDES: (f64, f64) = (73.0, 135.0);
const LATITUDES: (f64, f64) = (18.0, 53.0);

/// One order of a collection with so many of them.
#[derive(Clone, Copy)]
pub(super) struct Order {
    number: u64,
    owners: u64,
}

/// One place.
#[derive(Clone, Copy)]
pub(super) struct Place {
    number: u64,
}

// === impl Order ===

impl Order {
    pub(super) fn of(number: u64, orders: u64) -> Self {
        Self { number, owners: (orders / ORDERS_OF_OWNER).max(1) }
    }

    pub(super) fn owner(self) -> String {
        format!("o{:027}", self.number % self.owners)
    }

    pub(super) fn status(self) -> &'static str {
        let index = (self.number / self.owners) % 4;
        STATUSES.get(index as usize).copied().unwrap_or("open")
    }

    pub(super) fn created(self) -> u64 {
        1_700_000_000_000 + self.number * 37
    }

    pub(super) fn total(self) -> u64 {
        100 + self.number % 977
    }

    pub(super) fn items(self) -> String {
        let count = 1 + self.number % 3;
        format!(
            r#"[{{"sku":"tea-longjing-250","count":{count},"price":4900}},{{"sku":"cup-celadon","count":1,"price":3000}}]"#
        )
    }

    pub(super) fn address(self) -> &'static str {
        r#"{"city":"Hangzhou","street":"Longjing Road 1","phone":"13800000000"}"#
    }

    /// What tells an order from all others, and fills it up.
    pub(super) fn remark(self) -> String {
        format!("{:<REMARK_BYTES$}", format!("order {}", self.number))
    }

    /// Its members as JSON, without the braces.
    pub(super) fn members(self) -> String {
        format!(
            r#""owner":"{}","status":"{}","created":{},"total":{},"handled":0,"items":{},"address":{},"remark":"{}""#,
            self.owner(),
            self.status(),
            self.created(),
            self.total(),
            self.items(),
            self.address(),
            self.remark()
        )
    }

    pub(super) fn json(self) -> String {
        format!("{{{}}}", self.members())
    }
}

// === impl Place ===

impl Place {
    pub(super) fn of(number: u64) -> Self {
        Self { number }
    }

    pub(super) fn name(self) -> String {
        format!("p{}", self.number)
    }

    /// Longitude and latitude in degrees, as they are written everywhere.
    pub(super) fn point(self) -> (String, String) {
        let within = |(from, to): (f64, f64), random: u64| {
            // 53 bits are what a floating-point number holds.
            let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
            format!("{:.6}", from + (to - from) * share)
        };
        (within(LONGITUDES, mixed(self.number * 2)), within(LATITUDES, mixed(self.number * 2 + 1)))
    }

    pub(super) fn json(self) -> String {
        let (longitude, latitude) = self.point();
        let name = self.name();
        format!(
            r#"{{"name":"{name}","loc":{{"type":"Point","coordinates":[{longitude},{latitude}]}}}}"#
        )
    }
}

/// A number that looks random and follows from another (the finalizer of SplitMix64).
pub(super) fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use expect_test::expect;

    use super::*;

    #[test]
    fn an_order_is_a_kilobyte() {
        let text = Order::of(7, 1000).json();
        assert!((950..1100).contains(&text.len()), "{}", text.len());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["owner"], "o000000000000000000000000007");
    }

    #[test]
    fn an_owner_has_enough_of_each_status() {
        let mut counts = HashMap::new();
        for number in 0..1000 {
            let order = Order::of(number, 1000);
            *counts.entry((order.owner(), order.status())).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 40);
        assert!(counts.values().all(|count| *count == 25));
    }

    #[test]
    fn places_lie_in_the_land() {
        expect![[r#"{"name":"p1","loc":{"type":"Point","coordinates":[74.638894,51.980869]}}"#]]
            .assert_eq(&Place::of(1).json());
        let inside = |number| {
            let (longitude, latitude) = Place::of(number).point();
            (73.0..=135.0).contains(&longitude.parse().unwrap())
                && (18.0..=53.0).contains(&latitude.parse().unwrap())
        };
        assert!((0..1000).all(inside));
    }
}
