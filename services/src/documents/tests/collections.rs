//! Collections, seeds, the control routes, and rows of old formats.

use std::fmt::Write;
use std::sync::Arc;

use bson::doc;
use expect_test::expect;
use yunzhan_base::Principal;

use super::described;
use crate::dialect::documents::control::CONTROL;
use crate::documents::testing::{Asked, NOW_MS, on_every_engine, server, user};
use crate::documents::{Config, Preset};

#[test]
fn collections_are_known_at_once_and_only_where_they_are() {
    on_every_engine(&Config::default(), async |world| {
        let (anna, server) = (user("anna"), server());
        let add = async |who: &Principal| {
            described(world.add(who, "notes", doc! { "n": 1 }).await.map(|_| "added"))
        };
        assert_eq!(add(&server).await, "CollectionNotFound");
        let created = world
            .documents
            .create_collection(world.caller(&server), "notes", Preset::Private)
            .await
            .unwrap();
        assert_eq!((created.id, created.created_ms), (1, NOW_MS));
        assert_eq!(add(&anna).await, "added");
        world
            .documents
            .set_permission(world.caller(&server), "notes", Preset::AdminOnly)
            .await
            .unwrap();
        assert_eq!(add(&anna).await, "PermissionDenied");
        let again = world
            .documents
            .create_collection(world.caller(&server), "notes", Preset::Private)
            .await;
        assert_eq!(described(again.map(|_| "created")), "AlreadyExists");
        let missing =
            world.documents.set_permission(world.caller(&server), "none", Preset::Private).await;
        assert_eq!(described(missing.map(|()| "set")), "CollectionNotFound");
        let elsewhere = "other".parse().unwrap();
        assert_eq!(world.documents.collections(&elsewhere).await.unwrap(), []);
        assert_eq!(world.documents.collections(&world.env).await.unwrap().len(), 1);
    });
}

#[test]
fn collections_made_at_the_same_moment_have_different_numbers() {
    on_every_engine(&Config::default(), async |world| {
        let world = Arc::new(world);
        let tasks: Vec<_> = (0..6)
            .map(|n| {
                let world = Arc::clone(&world);
                let name = format!("c{n}");
                tokio::spawn(async move {
                    world
                        .documents
                        .create_collection(world.caller(&server()), &name, Preset::Private)
                        .await
                        .unwrap()
                        .id
                })
            })
            .collect();
        let mut ids = Vec::new();
        for task in tasks {
            ids.push(task.await.unwrap());
        }
        ids.sort_unstable();
        assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
    });
}

#[test]
fn a_seed_loads_once() {
    on_every_engine(&Config::default(), async |world| {
        let shop = include_bytes!("../../../../examples/shop/seed.json");
        let first = world.documents.seed(&world.env, shop).await.unwrap();
        assert!(first.collections > 0 && first.documents > 0);
        let second = world.documents.seed(&world.env, shop).await.unwrap();
        assert_eq!((second.collections, second.documents), (0, 0));
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"collections":[1]}"#,
            r#"{"collections":[{"name":"x","documents":[{"a":1}]}]}"#,
            r#"{"collections":[{"name":"x","permission":"ALL"}]}"#,
            r#"{"collections":[{"documents":[]}]}"#,
        ] {
            assert!(world.documents.seed(&world.env, bad.as_bytes()).await.is_err(), "{bad}");
        }
    });
}

#[test]
fn an_operator_makes_collections_and_changes_permissions() {
    on_every_engine(&Config::default(), async |world| {
        let mut described = String::new();
        for (route, env, collection, body) in [
            ("create_collection", "demo", "", r#"{"name":"notes"}"#),
            ("create_collection", "demo", "", r#"{"name":"notes"}"#),
            ("create_collection", "demo", "", r#"{"name":"goods","permission":"READONLY"}"#),
            ("create_collection", "demo", "", r#"{"name":"x","permission":"ALL"}"#),
            ("create_collection", "demo", "", r#"{"name":"x","permision":"PRIVATE"}"#),
            ("create_collection", "demo", "", r#"{"name":"../x"}"#),
            ("create_collection", "none", "", r#"{"name":"x"}"#),
            ("set_permission", "demo", "notes", r#"{"permission":"ADMINONLY"}"#),
            ("set_permission", "demo", "none", r#"{"permission":"ADMINONLY"}"#),
            ("list_collections", "demo", "", ""),
            ("list_collections", "NONE", "", ""),
        ] {
            let route = &format!("documents.control.{route}");
            let params = &[("env", env), ("collection", collection)];
            let principal = &Principal::Operator;
            let asked = Asked { route, params, query: "", headers: &[], body, principal };
            writeln!(described, "{}", world.ask(&world.documents, CONTROL, asked).await).unwrap();
        }
        expect![[r#"
            200 {"name":"notes","permission":"PRIVATE","created_ms":1767225600000}
            409 {"code":"already_exists","message":"collection notes exists already","request_id":"<id>"}
            200 {"name":"goods","permission":"READONLY","created_ms":1767225600000}
            400 {"code":"invalid_parameter","message":"a permission is READONLY, PRIVATE, ADMINWRITE, ADMINONLY or CUSTOM","request_id":"<id>"}
            400 {"code":"invalid_parameter","message":"the body is not what this address takes: unknown field `permision`, expected `name` or `permission` at line 1 column 23","request_id":"<id>"}
            400 {"code":"invalid_parameter","message":"a collection's name has 1 to 64 of A-Z, a-z, 0-9, '_' and '-', and does not begin with '-'","request_id":"<id>"}
            404 {"code":"env_not_found","message":"there is no environment none","request_id":"<id>"}
            200 {"name":"notes","permission":"ADMINONLY"}
            404 {"code":"collection_not_found","message":"there is no collection none; create it first","request_id":"<id>"}
            200 {"collections":[{"created_ms":1767225600000,"name":"goods","permission":"READONLY"},{"created_ms":1767225600000,"name":"notes","permission":"ADMINONLY"}]}
            404 {"code":"env_not_found","message":"an environment id has 1 to 63 of a-z, 0-9 and '-', and begins with a letter","request_id":"<id>"}
        "#]].assert_eq(&described);
        expect![[r#"
            operator collection.add notes PRIVATE
            operator collection.add notes PRIVATE: already_exists
            operator collection.add goods READONLY
            operator collection.add ../x PRIVATE: invalid_parameter
            operator collection.permission notes ADMINONLY
            operator collection.permission none ADMINONLY: collection_not_found
        "#]]
        .assert_eq(&world.recorded());
    });
}
