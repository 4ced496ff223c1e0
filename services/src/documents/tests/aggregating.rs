//! Pipelines over collections: streamed, looked up, held within bounds, and blind for what the caller may not see.

use bson::{Document, doc};
use expect_test::expect;
use yunzhan_base::Principal;

use crate::documents::testing::{World, on_every_engine, server, user};
use crate::documents::{Config, Preset};

impl World {
    async fn aggregate(&self, principal: &Principal, on: &str, stages: Vec<Document>) -> String {
        match self.documents.aggregate(self.caller(principal), on, &stages).await {
            Err(error) => format!("{:?}: {error}", error.kind()),
            Ok(found) => found.iter().map(|document| document.to_string() + "\n").collect(),
        }
    }
}

async fn shop(world: World) -> World {
    let collections =
        [("goods", Preset::ReadOnly), ("orders", Preset::Private), ("costs", Preset::AdminOnly)];
    let world = world.with_collections(&collections).await;
    let server = server();
    for (id, price) in [("tea", 3), ("cup", 5)] {
        world.add(&server, "goods", doc! { "_id": id, "price": price }).await.unwrap();
        world.add(&server, "costs", doc! { "_id": id, "cost": 1 }).await.unwrap();
    }
    for (id, owner, goods, n) in
        [(1, "anna", "tea", 2), (2, "anna", "cup", 1), (3, "bert", "tea", 7)]
    {
        let order = doc! { "_id": id, "_openid": owner, "goods": goods, "n": n };
        world.add(&server, "orders", order).await.unwrap();
    }
    world
}

fn sums() -> Vec<Document> {
    vec![
        doc! { "$group": { "_id": "$goods", "n": { "$sum": "$n" } } },
        doc! { "$sort": { "_id": 1 } },
    ]
}

fn priced() -> Vec<Document> {
    let lookup = doc! { "from": "goods", "localField": "goods", "foreignField": "_id", "as": "of" };
    vec![
        doc! { "$lookup": lookup },
        doc! { "$unwind": "$of" },
        doc! { "$project": { "_id": 1, "sum": { "$multiply": ["$n", "$of.price"] } } },
        doc! { "$sort": { "_id": 1 } },
    ]
}

#[test]
fn groups_lookups_and_facets() {
    on_every_engine(&Config::default(), async |world| {
        let world = shop(world).await;
        let server = server();
        expect![[r#"
            { "_id": "cup", "n": 1 }
            { "_id": "tea", "n": 9 }
        "#]]
        .assert_eq(&world.aggregate(&server, "orders", sums()).await);
        expect![[r#"
            { "_id": 1, "sum": 6 }
            { "_id": 2, "sum": 5 }
            { "_id": 3, "sum": 21 }
        "#]]
        .assert_eq(&world.aggregate(&server, "orders", priced()).await);
        let inner = vec![
            doc! { "$match": { "$expr": { "$eq": ["$goods", "$$id"] } } },
            doc! { "$group": { "_id": null, "n": { "$sum": "$n" } } },
        ];
        let sold =
            doc! { "from": "orders", "let": { "id": "$_id" }, "pipeline": inner, "as": "sold" };
        expect![[r#"
            { "_id": "cup", "price": 5, "sold": [{ "_id": null, "n": 1 }] }
            { "_id": "tea", "price": 3, "sold": [{ "_id": null, "n": 9 }] }
        "#]]
        .assert_eq(&world.aggregate(&server, "goods", vec![doc! { "$lookup": sold }]).await);
        let facet = doc! { "$facet": { "sums": sums(), "count": [{ "$count": "n" }] } };
        expect![[r#"
            { "sums": [{ "_id": "cup", "n": 1 }, { "_id": "tea", "n": 9 }], "count": [{ "n": 3 }] }
        "#]]
        .assert_eq(&world.aggregate(&server, "orders", vec![facet]).await);
    });
}

#[test]
fn nobody_sums_what_they_may_not_see() {
    on_every_engine(&Config::default(), async |world| {
        let world = shop(world).await;
        let anna = user("anna");
        expect![[r#"
            { "_id": "cup", "n": 1 }
            { "_id": "tea", "n": 2 }
        "#]]
        .assert_eq(&world.aggregate(&anna, "orders", sums()).await);
        expect![[r#"
            { "_id": 1, "sum": 6 }
            { "_id": 2, "sum": 5 }
        "#]]
        .assert_eq(&world.aggregate(&anna, "orders", priced()).await);
        // What is looked up is narrowed to the caller's own, too.
        let sold =
            doc! { "from": "orders", "localField": "_id", "foreignField": "goods", "as": "sold" };
        let count = doc! { "$project": { "sold": { "$size": "$sold" } } };
        expect![[r#"
            { "_id": "cup", "sold": 1 }
            { "_id": "tea", "sold": 1 }
        "#]]
        .assert_eq(&world.aggregate(&anna, "goods", vec![doc! { "$lookup": sold }, count]).await);
        let costs = doc! { "from": "costs", "localField": "_id", "foreignField": "_id", "as": "c" };
        let denied =
            expect!["PermissionDenied: the permission of this collection does not let you read it"];
        denied.assert_eq(
            &world.aggregate(&anna, "goods", vec![doc! { "$lookup": costs.clone() }]).await,
        );
        let hidden = doc! { "$facet": { "a": [{ "$lookup": costs }] } };
        denied.assert_eq(&world.aggregate(&anna, "goods", vec![hidden]).await);
        denied.assert_eq(&world.aggregate(&anna, "costs", vec![]).await);
    });
}

#[test]
fn hostile_pipelines_end() {
    let config = Config { aggregate_documents_max: 2000, ..Config::default() };
    on_every_engine(&config, async |world| {
        let world = world.with_collections(&[("goods", Preset::ReadOnly)]).await;
        let server = server();
        let made = (0..200).map(|n| doc! { "_id": n, "n": 1, "text": "x".repeat(2000) });
        world.documents.insert(world.caller(&server), "goods", made.collect(), None).await.unwrap();
        // Everything joined with everything.
        let all = doc! { "$lookup": { "from": "goods", "localField": "n", "foreignField": "n", "as": "all" } };
        expect!["TooLarge: this aggregation would cost more than reading 2000 small documents; begin it with a $match that an index serves"]
            .assert_eq(&world.aggregate(&server, "goods", vec![all.clone()]).await);
        // A text that doubles at each turn.
        let doubled = doc! { "$reduce": {
            "input": { "$range": [0, 100] },
            "initialValue": "$text",
            "in": { "$concat": ["$$value", "$$value"] },
        } };
        let grown =
            world.aggregate(&server, "goods", vec![doc! { "$project": { "a": doubled } }]).await;
        assert!(grown.starts_with("TooLarge"), "{grown}");
        // Loops in loops.
        let range = doc! { "$range": [0, 10_000] };
        let inner = doc! { "$map": { "input": range.clone(), "in": { "$add": ["$$this", 1] } } };
        let outer = doc! { "$map": { "input": range, "in": { "$size": inner } } };
        let looped =
            world.aggregate(&server, "goods", vec![doc! { "$project": { "a": outer } }]).await;
        expect!["TooLarge: this call would take more than 20000000 steps"]
            .assert_eq(looped.split(", operator").next().unwrap());
    });
}
