//! What every service of the list declares: completely, and no name twice.

use std::collections::BTreeSet;

use yunzhan_base::error::CATALOGUE;
use yunzhan_services::dialect;
use yunzhan_services::dialect::gateway::not_offered;
use yunzhan_services::service::AnyService;

use crate::rooms::SERVICES;

/// Name, scope and key of every table that the steps of a service make.
fn made(service: &dyn AnyService) -> BTreeSet<String> {
    let steps = service.migrations().iter();
    let statements =
        steps.flat_map(|step| step.statements.iter().map(|text| (step.database, *text)));
    let made = statements.filter_map(|(scope, text)| {
        let table = text.strip_prefix("CREATE TABLE ")?;
        let table = table.strip_prefix("IF NOT EXISTS {");
        let (name, columns) = table.expect("a step may come again").split_once('}').unwrap();
        Some(format!("{name} {scope:?} {}", key(columns)))
    });
    made.collect()
}

/// The primary key of a table, from the text that makes it.
fn key(columns: &str) -> String {
    match columns.split_once("PRIMARY KEY (") {
        Some((_, key)) => key.split_once(')').unwrap().0.to_owned(),
        None => {
            let own = columns.split(',').find(|column| column.ends_with("PRIMARY KEY"));
            own.unwrap().trim_start_matches([' ', '(', '\n']).split(' ').next().unwrap().into()
        }
    }
}

#[test]
fn every_table_is_declared_with_its_key() {
    for service in SERVICES {
        let declared = service
            .tables()
            .iter()
            .map(|table| format!("{} {:?} {}", table.name, table.scope, table.key.join(", ")));
        let declared: BTreeSet<_> = declared.collect();
        assert_eq!(declared, made(*service), "{}", service.name());
    }
}

#[test]
fn no_two_routes_tasks_or_services_have_one_name() {
    let mut names = BTreeSet::new();
    for service in SERVICES {
        assert!(names.insert(service.name()));
        let published = service.published().to_vec();
        let mut own: Vec<_> = [service.routes(), published, service.control()].concat();
        // What is not offered has one name for all its methods.
        own.dedup_by_key(|spec| spec.name);
        for spec in own {
            assert!(names.insert(spec.name), "{}", spec.name);
        }
    }
}

#[test]
fn a_code_is_one_service_s_and_says_what_no_kind_says() {
    let mut codes: BTreeSet<_> = CATALOGUE.iter().map(|entry| entry.code).collect();
    for code in SERVICES.iter().flat_map(|service| service.codes()) {
        let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
        assert!(code.code.bytes().all(is_plain), "{code:?}");
        assert!(codes.insert(code.code), "{code:?} stands elsewhere");
        assert!(!code.en.is_empty() && !code.zh.is_ascii(), "{code:?}");
    }
}

#[test]
fn what_is_not_offered_is_offered_by_no_service() {
    let root =
        |path: &'static str| path.match_indices('/').nth(2).map_or(path, |(end, _)| &path[..end]);
    let refused = not_offered::ROUTES.iter().map(|endpoint| root(endpoint.spec.path));
    let refused: BTreeSet<_> = refused.collect();
    let offered = SERVICES.iter().filter(|service| service.name() != dialect::action::SERVICE.name);
    for spec in offered.flat_map(|service| service.routes()) {
        let root = root(spec.path);
        assert!(!refused.contains(root), "{root} is offered: take its row from not_offered");
    }
}
