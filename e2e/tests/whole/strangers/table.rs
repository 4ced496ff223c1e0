//! The documented refusals. A verdict is the HTTP status and, of a refusal, the code as its dialect spells it.

/// What a route is asked, and what strangers are answered.
pub(super) struct Row {
    /// The route's name.
    pub(super) route: &'static str,
    pub(super) method: &'static str,
    pub(super) target: &'static str,
    /// JSON, or nothing.
    pub(super) body: &'static str,
    /// The verdicts on strangers.
    pub(super) strangers: Strangers<&'static str>,
    /// What another person of the same environment is answered; the whole of it, when it is not a refusal.
    pub(super) another: &'static str,
}

/// The verdicts on strangers.
#[derive(Debug)]
pub(super) struct Strangers<T> {
    /// Without a token.
    pub(super) nobody: T,
    /// With a token that was good once.
    pub(super) expired: T,
    /// With a token of which one character is another.
    pub(super) forged: T,
    /// With a good token of another environment.
    pub(super) elsewhere: T,
}

impl PartialEq<Strangers<&'static str>> for Strangers<String> {
    fn eq(&self, other: &Strangers<&'static str>) -> bool {
        [&self.nobody, &self.expired, &self.forged, &self.elsewhere]
            == [other.nobody, other.expired, other.forged, other.elsewhere]
    }
}

/// An action of the admin dialect with a body that it takes.
pub(super) struct Action {
    pub(super) name: &'static str,
    pub(super) body: &'static str,
}

/// What a person's token is asked for in the authentication dialect. Its client logs in again upon `unauthenticated`.
const OF_LOGIN: Strangers<&str> = Strangers {
    nobody: "401 unauthenticated",
    expired: "401 unauthenticated",
    forged: "401 unauthenticated",
    elsewhere: "404 not_found",
};
/// The same in the dialect of the database, whose client renews upon `ACCESS_TOKEN_EXPIRED`.
const OF_DOCUMENTS: Strangers<&str> = Strangers {
    nobody: "401 CHECK_LOGIN_FAILED",
    expired: "401 ACCESS_TOKEN_EXPIRED",
    forged: "401 CHECK_LOGIN_FAILED",
    elsewhere: "404 INVALIID_ENV",
};
/// Keys only; every refusal of this dialect is of status 200.
const OF_KEYS: Strangers<&str> = Strangers {
    nobody: "200 CHECK_LOGIN_FAILED",
    expired: "200 CHECK_LOGIN_FAILED",
    forged: "200 CHECK_LOGIN_FAILED",
    elsewhere: "200 CHECK_LOGIN_FAILED",
};
/// People again, whose client reads a refusal only from an answer of status 200.
const OF_WEB: Strangers<&str> = Strangers {
    nobody: "200 CHECK_LOGIN_FAILED",
    expired: "200 ACCESS_TOKEN_EXPIRED",
    forged: "200 CHECK_LOGIN_FAILED",
    elsewhere: "200 INVALIID_ENV",
};
/// The operator's token only.
const OF_OPERATORS: Strangers<&str> = all("401 unauthenticated");

/// Open to everybody: a token that is sent anyway is not looked at.
const fn all(verdict: &'static str) -> Strangers<&'static str> {
    Strangers { nobody: verdict, expired: verdict, forged: verdict, elsewhere: verdict }
}

/// What the callers of any action are answered.
pub(super) const OF_ACTIONS: &[(&str, &str)] = &[
    ("old signature", "200 SIGN_EXPIRED_ERROR"),
    ("future signature", "200 SIGN_EXPIRED_ERROR"),
    ("forged signature", "200 SIGN_PARAM_INVALID"),
    ("another's key", "200 INVALIID_ENV"),
    ("own key elsewhere", "200 INVALIID_ENV"),
    ("nobody", "200 CHECK_LOGIN_FAILED"),
    ("a person", "200 CHECK_LOGIN_FAILED"),
    ("forged access key", "200 CHECK_LOGIN_FAILED"),
    ("another's access key", "200 INVALIID_ENV"),
];

const OPERATORS: &str = "401 unauthenticated";
const NOT_OFFERED: &str = "501 unimplemented";
const NOT_THERE: &str = "501 NOT_IMPLEMENTED";
const DOCUMENT_OF_ALICE: &str =
    r#"{"query":{"_id":"n1"},"data":{"$set":{"text":"stolen"}},"multi":false,"upsert":false}"#;

macro_rules! routes {
    ($($route:literal $method:literal $target:literal $body:expr, $strangers:expr, $another:expr;)*) => {
        /// Every route.
        pub(super) const ROUTES: &[Row] = &[$(Row {
            route: $route,
            method: $method,
            target: $target,
            body: $body,
            strangers: $strangers,
            another: $another,
        }),*];
    };
}

routes! {
    "identity.provider_token" "POST" "/auth/v1/provider/token?client_id=shop" r#"{"provider_id":"development","provider_code":"x"}"#, all("200"), "200";
    "identity.sign_in" "POST" "/auth/v1/signin/with/provider?client_id=shop" r#"{"provider_token":"made up"}"#, all("400 invalid_grant"), "400 invalid_grant";
    "identity.anonymous" "POST" "/auth/v1/signin/anonymously?client_id=shop" "{}", all("200"), "200";
    "identity.refresh" "POST" "/auth/v1/token?client_id=shop" r#"{"grant_type":"refresh_token","refresh_token":"made up"}"#, all("400 invalid_grant"), "400 invalid_grant";
    "identity.revoke" "POST" "/auth/v1/revoke?client_id=shop" r#"{"token":"made up"}"#, all("200"), "200 {}";
    "identity.sign_out" "POST" "/auth/v1/user/signout?client_id=shop" "{}", OF_LOGIN, "200 {}";
    "identity.me" "GET" "/auth/v1/user/me?client_id=shop" "", OF_LOGIN, "200";
    "identity.key_set" "GET" "/.well-known/jwks.json" "", all("200"), "200";
    "identity.auth_key_set" "GET" "/auth/v1/.well-known/jwks.json" "", all("200"), "200";
    "identity.password" "POST" "/auth/v1/signin" "{}", all(NOT_OFFERED), NOT_OFFERED;
    "identity.custom" "POST" "/auth/v1/signin/custom" "{}", all(NOT_OFFERED), NOT_OFFERED;
    "identity.sign_up" "POST" "/auth/v1/signup" "{}", all(NOT_OFFERED), NOT_OFFERED;
    "identity.verification" "POST" "/auth/v1/verification" "{}", all(NOT_OFFERED), NOT_OFFERED;
    "identity.verify" "POST" "/auth/v1/verification/verify" "{}", all(NOT_OFFERED), NOT_OFFERED;

    "identity.not_offered" "POST" "/auth/v1/user/provider/bind" "{}", all(NOT_OFFERED), NOT_OFFERED;

    "gateway.functions" "POST" "/v1/functions/hello?env=shop" "{}", all(NOT_THERE), NOT_THERE;
    "gateway.cloudrun" "GET" "/v1/cloudrun/hello/a/b" "", all(NOT_THERE), NOT_THERE;
    "gateway.storages" "POST" "/v1/storages/get-objects-upload-info" "[]", all(NOT_THERE), NOT_THERE;
    "gateway.model" "POST" "/v1/model/prod/goods/list" "{}", all(NOT_THERE), NOT_THERE;
    "gateway.rdb" "PATCH" "/v1/rdb/rest/goods?id=eq.1" "{}", all(NOT_THERE), NOT_THERE;
    "gateway.sql" "POST" "/v1/sql" r#"{"sql":"x"}"#, all(NOT_THERE), NOT_THERE;
    "gateway.ai" "POST" "/v1/ai/hunyuan/v1/chat/completions" "{}", all(NOT_THERE), NOT_THERE;
    "gateway.apis" "DELETE" "/v1/apis/weather" "", all(NOT_THERE), NOT_THERE;

    "gateway.query" "GET" "/v1/database/instances/(default)/databases/(default)/collections/notes/documents?env=shop" "", OF_DOCUMENTS, r#"200 {"list":[],"offset":0,"limit":20,"total":0}"#;
    "gateway.get" "GET" "/v1/database/instances/(default)/databases/(default)/collections/notes/documents/n1?env=shop" "", OF_DOCUMENTS, "404 NOT_FOUND";
    "gateway.insert" "POST" "/v1/database/instances/(default)/databases/(default)/collections/notes/documents?env=shop" r#"{"data":[{"_id":"n1","text":"stolen"}]}"#, OF_DOCUMENTS, "409 DATABASE_REQUEST_FAILED";
    "gateway.update" "PATCH" "/v1/database/instances/(default)/databases/(default)/collections/notes/documents?env=shop" DOCUMENT_OF_ALICE, OF_DOCUMENTS, r#"200 {"matched":0,"updated":0}"#;
    "gateway.remove" "POST" "/v1/database/instances/(default)/databases/(default)/collections/notes/documents/remove?env=shop" r#"{"query":{},"multi":true}"#, OF_DOCUMENTS, r#"200 {"deleted":0}"#;
    "gateway.create_collection" "POST" "/v1/database/instances/(default)/databases/(default)/collections?env=shop" r#"{"collectionName":"theirs"}"#, OF_DOCUMENTS, "403 DATABASE_PERMISSION_DENIED";
    "gateway.aggregate" "POST" "/v1/database/instances/(default)/databases/(default)/collections/notes/documents/aggregations?env=shop" r#"{"pipeline":[]}"#, OF_DOCUMENTS, r#"200 {"list":[]}"#;
    "gateway.start_transaction" "POST" "/v1/database/instances/(default)/databases/(default)/transactions?env=shop" "{}", OF_DOCUMENTS, "200";
    "gateway.commit_transaction" "POST" "/v1/database/instances/(default)/databases/(default)/transactions/made-up/commit?env=shop" "{}", OF_DOCUMENTS, "409 DATABASE_TRANSACTION_FAIL";
    "gateway.roll_back_transaction" "POST" "/v1/database/instances/(default)/databases/(default)/transactions/made-up/rollback?env=shop" "{}", OF_DOCUMENTS, "200 {}";
    "gateway.run_commands" "POST" "/v1/database/instances/(default)/databases/(default)/commands?env=shop" r#"{"commands":[]}"#, OF_DOCUMENTS, "501 NOT_IMPLEMENTED";

    "admin.call" "POST" "/admin?env=shop" r#"{"action":"database.getDocument","collectionName":"notes"}"#, OF_KEYS, "200 CHECK_LOGIN_FAILED";

    "web.call" "POST" "/web?env=shop" r#"{"action":"database.queryDocument","collectionName":"notes"}"#, OF_WEB, r#"200 {"requestId":"<id>","total":0,"offset":0,"limit":20,"data":{"list":[]}}"#;

    "envs.control.list" "GET" "/control/v1/envs" "", OF_OPERATORS, OPERATORS;
    "envs.control.add" "POST" "/control/v1/envs" r#"{"env":"theirs"}"#, OF_OPERATORS, OPERATORS;
    "envs.control.show" "GET" "/control/v1/envs/shop" "", OF_OPERATORS, OPERATORS;
    "envs.control.set_origins" "PUT" "/control/v1/envs/shop/origins" r#"{"origins":[]}"#, OF_OPERATORS, OPERATORS;
    "envs.control.add_key" "POST" "/control/v1/envs/shop/keys" "{}", OF_OPERATORS, OPERATORS;
    "envs.control.remove_key" "DELETE" "/control/v1/envs/shop/keys/any" "", OF_OPERATORS, OPERATORS;
    "identity.control.issue" "POST" "/control/v1/envs/shop/tokens" r#"{"name":"alice"}"#, OF_OPERATORS, OPERATORS;
    "identity.control.users" "GET" "/control/v1/envs/shop/users" "", OF_OPERATORS, OPERATORS;
    "identity.control.roles" "PUT" "/control/v1/envs/shop/users/any/roles" r#"{"roles":["admin"]}"#, OF_OPERATORS, OPERATORS;
    "identity.control.sign_out" "DELETE" "/control/v1/envs/shop/users/any/sessions" "", OF_OPERATORS, OPERATORS;
    "identity.control.rotate_keys" "POST" "/control/v1/keys/rotate" r#"{"drop_old":true}"#, OF_OPERATORS, OPERATORS;
    "documents.control.list_collections" "GET" "/control/v1/envs/shop/collections" "", OF_OPERATORS, OPERATORS;
    "documents.control.create_collection" "POST" "/control/v1/envs/shop/collections" r#"{"name":"theirs"}"#, OF_OPERATORS, OPERATORS;
    "documents.control.set_permission" "PUT" "/control/v1/envs/shop/collections/notes/permission" r#"{"permission":"READONLY"}"#, OF_OPERATORS, OPERATORS;

    "documents.control.import" "POST" "/control/v1/envs/shop/collections/notes/imports/any" "{}", OF_OPERATORS, OPERATORS;
    "documents.control.show_import" "GET" "/control/v1/envs/shop/collections/notes/imports/any" "", OF_OPERATORS, OPERATORS;
    "documents.control.list_indexes" "GET" "/control/v1/envs/shop/collections/notes/indexes" "", OF_OPERATORS, OPERATORS;
    "documents.control.create_index" "POST" "/control/v1/envs/shop/collections/notes/indexes" r#"{"keys":[{"field":"a","direction":"1"}]}"#, OF_OPERATORS, OPERATORS;
    "documents.control.drop_index" "DELETE" "/control/v1/envs/shop/collections/notes/indexes/a_1" "", OF_OPERATORS, OPERATORS;
    "documents.control.find" "POST" "/control/v1/envs/shop/collections/notes/find" "{}", OF_OPERATORS, OPERATORS;
    "documents.control.count" "POST" "/control/v1/envs/shop/collections/notes/count" "{}", OF_OPERATORS, OPERATORS;
    "documents.control.explain" "POST" "/control/v1/envs/shop/collections/notes/explain" "{}", OF_OPERATORS, OPERATORS;
    "documents.control.test_rules" "POST" "/control/v1/envs/shop/collections/notes/rules/test" r#"{"operation":"read","query":{},"rules":{"read":true}}"#, OF_OPERATORS, OPERATORS;
    "nodes.control.tasks" "GET" "/control/v1/tasks" "", OF_OPERATORS, OPERATORS;
    "nodes.control.nodes" "GET" "/control/v1/nodes" "", OF_OPERATORS, OPERATORS;
    "nodes.control.run" "POST" "/control/v1/tasks/identity.tidy/run" "", OF_OPERATORS, OPERATORS;

    "server.status" "GET" "/control/v1/status" "", OF_OPERATORS, OPERATORS;
    "server.reload" "POST" "/control/v1/reload" "", OF_OPERATORS, OPERATORS;
    "waf.control.show" "GET" "/control/v1/waf" "", OF_OPERATORS, OPERATORS;
    "waf.control.import" "POST" "/control/v1/waf/sets" r#"{"folder":"/"}"#, OF_OPERATORS, OPERATORS;
    "waf.control.use" "PUT" "/control/v1/waf/active" r#"{"set":"starter"}"#, OF_OPERATORS, OPERATORS;
    "waf.control.test" "POST" "/control/v1/waf/test" r#"{"target":"/"}"#, OF_OPERATORS, OPERATORS;
    "waf.control.attempts" "GET" "/control/v1/waf/attempts" "", OF_OPERATORS, OPERATORS;
    "ops.control.faults" "GET" "/control/v1/faults" "", OF_OPERATORS, OPERATORS;
    "ops.control.set_faults" "PUT" "/control/v1/faults" r#"{"rules":[{"point":"sql_write","effect":"fail"}],"duration_s":60}"#, OF_OPERATORS, OPERATORS;
    "ops.control.clear_faults" "DELETE" "/control/v1/faults" "", OF_OPERATORS, OPERATORS;
    "server.healthz" "GET" "/healthz" "", all("200"), "200 ok\n";
    "server.readyz" "GET" "/readyz" "", all("200"), "200 ready\n";
    "server.metrics" "GET" "/metrics" "", all("200"), "200";
}

const NOTHING: &str = "{}";
const COLLECTION: &str = r#"{"collectionName":"notes"}"#;

macro_rules! actions {
    ($($name:literal $body:expr;)*) => {
        /// Every action.
        pub(super) const ACTIONS: &[Action] = &[$(Action { name: $name, body: $body }),*];
    };
}

actions! {
    "database.getDocument" COLLECTION;
    "database.calculateDocument" COLLECTION;
    "database.insertDocument" r#"{"collectionName":"notes","data":["{\"text\":\"stolen\"}"]}"#;
    "database.modifyDocument" r#"{"collectionName":"notes","query":"{}","data":"{\"$set\":{\"text\":\"stolen\"}}","multi":true,"merge":true}"#;
    "database.modifyAndReturnDoc" r#"{"collectionName":"notes","query":"{}","data":"{\"$set\":{\"text\":\"stolen\"}}"}"#;
    "database.removeDocument" r#"{"collectionName":"notes","query":"{}","multi":true}"#;
    "database.addCollection" r#"{"collectionName":"theirs"}"#;
    "database.aggregateDocuments" r#"{"collectionName":"notes","stages":[]}"#;
    "database.startTransaction" NOTHING;
    "database.commitTransaction" NOTHING;
    "database.abortTransaction" NOTHING;
    "database.getInTransaction" COLLECTION;
    "database.insertDocInTransaction" COLLECTION;
    "database.updateDocInTransaction" COLLECTION;
    "database.deleteDocInTransaction" COLLECTION;
    "database.runCommands" NOTHING;
    "functions.invokeFunction" NOTHING;
    "storage.getUploadMetadata" NOTHING;
    "storage.batchGetDownloadUrl" NOTHING;
    "storage.batchDeleteFile" NOTHING;
    "storage.batchCopyFile" NOTHING;
    "storage.getFileAuthority" NOTHING;
    "ai.invokeAI" NOTHING;
    "auth.getUserInfoForAdmin" NOTHING;
    "auth.wsWebSign" NOTHING;
    "wx.api" NOTHING;
    "wx.openApi" NOTHING;
    "wx.wxPayApi" NOTHING;
    "wx.wxCallContainerApi" NOTHING;
}
