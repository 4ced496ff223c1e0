//! Documents by their ids: a text of 24 hexadecimal digits also finds the ObjectId that it spells.

use std::fmt::Write;

use bson::doc;
use bson::oid::ObjectId;
use expect_test::expect;

use super::{change, described, find};
use crate::documents::testing::{on_every_engine, server, user};
use crate::documents::{Change, Config, Permission, Preset, Which};

const HEX: &str = "0123456789abcdef01234567";

#[test]
fn a_text_means_the_object_id_that_it_spells_where_none_has_the_text() {
    on_every_engine(&Config::default(), async |world| {
        let (anna, server) = (user("anna"), server());
        let mut table = String::new();
        for name in ["owned", "ruled"] {
            let world = &world;
            world
                .documents
                .create_collection(world.caller(&server), name, Preset::Private)
                .await
                .unwrap();
            let rules =
                r#"{"read":"doc._openid == auth.openid","write":"doc._openid == auth.openid"}"#;
            if name == "ruled" {
                let caller = world.caller(&server);
                let set = world.documents.set_permission(caller, name, Permission::Rules(rules));
                set.await.unwrap();
            }
            let spelled = |hex: &str| ObjectId::parse_str(hex).unwrap();
            let others = "f".repeat(24);
            let imported = doc! { "_id": spelled(HEX), "_openid": "anna", "n": 1 };
            world.add(&server, name, imported).await.unwrap();
            let imported = doc! { "_id": spelled(&others), "_openid": "bert", "n": 1 };
            world.add(&server, name, imported).await.unwrap();
            let id = || Which::One(HEX.into());
            let caller = world.caller(&anna);
            let documents = &world.documents;
            table.push_str(&world.list(&anna, name, find(doc! { "_id": HEX })).await);
            let none = world.list(&anna, name, find(doc! { "_id": others.as_str() })).await;
            writeln!(table, "of another: {}", none.trim_end()).unwrap();
            let got = documents.get(caller, name, &HEX.to_uppercase().into(), None).await;
            let counted = documents.count(caller, name, id()).await;
            let bump_version = || change(doc! { "_id": HEX }, doc! { "$inc": { "n": 1 } });
            let raised = world.update(&anna, name, bump_version()).await;
            let transaction = documents.start_transaction(caller).unwrap();
            let within = documents.update_in(caller, &transaction, name, bump_version()).await;
            documents.commit_transaction(caller, &transaction).await.unwrap();
            // The text comes first once something has it, also where it is not the caller's.
            world.add(&server, name, doc! { "_id": HEX, "_openid": "bert" }).await.unwrap();
            let taken = documents.count(caller, name, id()).await;
            documents.remove(world.caller(&server), name, id(), false, None).await.unwrap();
            let set = Change {
                replace: true,
                multi: false,
                upsert: true,
                ..change(doc! { "_id": HEX }, doc! { "s": 1 })
            };
            let set = world.update(&anna, name, set).await;
            let removed = documents.remove(caller, name, id(), true, None).await;
            writeln!(
                table,
                "{} {} | {raised} | {} | {} {set} {}",
                described(got.map(|got| got.is_some())),
                described(counted),
                described(within.map(|changed| changed.updated)),
                described(taken),
                described(removed),
            )
            .unwrap();
            table.push_str(&world.list(&server, name, find(doc! {})).await);
        }
        expect![[r#"
            {"_id":{"$oid":"0123456789abcdef01234567"},"_openid":"anna","n":1}
            1 of 1
            of another: 0 of 0
            true 1 | matched 1 updated 1 upserted None | 1 | 0 matched 1 updated 1 upserted None 1
            {"_id":{"$oid":"ffffffffffffffffffffffff"},"_openid":"bert","n":1}
            1 of 1
            {"_id":{"$oid":"0123456789abcdef01234567"},"_openid":"anna","n":1}
            1 of 1
            of another: 0 of 0
            true 1 | matched 1 updated 1 upserted None | 1 | 0 matched 1 updated 1 upserted None 1
            {"_id":{"$oid":"ffffffffffffffffffffffff"},"_openid":"bert","n":1}
            1 of 1
        "#]]
        .assert_eq(&table);
    });
}
