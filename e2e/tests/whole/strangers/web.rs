//! What strangers get from each action of the web dialect, whose callers carry their token in the body.

use serde_json::Value;
use yunzhan_services::dialect::action::spec::{DialectName, Sender};

use super::scene::{ENV, Scene};
use super::verdict;

/// An action, a body that it takes, and what another person of the same environment is answered.
pub(super) struct Row {
    pub(super) name: &'static str,
    body: &'static str,
    another: &'static str,
}

macro_rules! actions {
    ($($name:literal $body:expr, $another:literal;)*) => {
        /// Every action.
        pub(super) const ACTIONS: &[Row] =
            &[$(Row { name: $name, body: $body, another: $another }),*];
    };
}

const NOTHING: &str = "{}";
const COLLECTION: &str = r#"{"collectionName":"notes"}"#;
const MADE_UP: &str =
    r#"{"collectionName":"notes","transactionId":"made up","query":{},"data":"{}"}"#;

actions! {
    "database.queryDocument" COLLECTION, "200";
    "database.countDocument" COLLECTION, "200";
    "database.addDocument" r#"{"collectionName":"notes","data":{"_id":"n1","text":"stolen"}}"#, "200 DATABASE_REQUEST_FAILED";
    "database.updateDocument" r#"{"collectionName":"notes","query":{},"data":{"$set":{"text":"stolen"}},"multi":true,"merge":true}"#, "200";
    "database.deleteDocument" r#"{"collectionName":"notes","query":{},"multi":true}"#, "200";
    "database.addCollection" r#"{"collectionName":"theirs"}"#, "200 DATABASE_PERMISSION_DENIED";
    "database.aggregate" r#"{"collectionName":"notes","stages":[]}"#, "200";
    "database.startTransaction" NOTHING, "200";
    "database.getInTransaction" MADE_UP, "200 DATABASE_TRANSACTION_FAIL";
    "database.insertDocInTransaction" MADE_UP, "200 DATABASE_TRANSACTION_FAIL";
    "database.updateDocInTransaction" MADE_UP, "200 DATABASE_TRANSACTION_FAIL";
    "database.deleteDocInTransaction" MADE_UP, "200 DATABASE_TRANSACTION_FAIL";
    "database.commitTransaction" MADE_UP, "200 DATABASE_TRANSACTION_FAIL";
    "database.abortTransaction" MADE_UP, "200";
    "database.runCommands" NOTHING, "200 NOT_IMPLEMENTED";
    "functions.invokeFunction" NOTHING, "200 NOT_IMPLEMENTED";
    "storage.getUploadMetadata" NOTHING, "200 NOT_IMPLEMENTED";
    "storage.batchGetDownloadUrl" NOTHING, "200 NOT_IMPLEMENTED";
    "storage.batchDeleteFile" NOTHING, "200 NOT_IMPLEMENTED";
    "storage.batchCopyFile" NOTHING, "200 NOT_IMPLEMENTED";
    "storage.getFileAuthority" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.getJwt" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.logout" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.wsWebSign" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.signIn" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.signInAnonymously" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.signInWithTicket" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.signUpWithEmailAndPassword" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.activateEndUserMail" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.sendPasswordResetEmail" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.resetPasswordWithToken" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.isUsernameRegistered" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.fetchAccessTokenWithRefreshToken" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.sendPhoneCode" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.getUserInfo" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.updateUserInfo" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.updateUsername" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.updateEmail" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.updatePassword" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.linkWithTicket" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.linkWithWeixinCode" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.linkAndRetrieveDataWithTicket" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.linkOrUpdatePhoneNumber" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.getLinkedUidList" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.setPrimaryUid" NOTHING, "200 NOT_IMPLEMENTED";
    "auth.unlink" NOTHING, "200 NOT_IMPLEMENTED";
    "storage.uploadFile" NOTHING, "200 NOT_IMPLEMENTED";
    "analytics.report" NOTHING, "200 NOT_IMPLEMENTED";
}

/// A body with a token in it.
pub(super) fn carrying(body: &str, token: Option<&str>) -> Value {
    let mut body: Value = serde_json::from_str(body).unwrap();
    if let Some(token) = token {
        body["access_token"] = token.into();
    }
    body
}

#[tokio::test]
async fn every_web_action_is_for_people_of_its_environment() {
    let scene = Scene::set().await;
    let (http, person) = (scene.server.http(), scene.another_person().await);
    let elsewhere = scene.elsewhere.id.as_str();
    let ask = async |row: &Row, token: Option<&str>, env: &str, head: Option<&str>| {
        let mut body = carrying(row.body, token);
        body["action"] = row.name.into();
        let request = http.post(format!("/web?env={env}"), &body);
        let request = if let Some(head) = head { request.bearer(head) } else { request };
        verdict(&request.send().await)
    };
    let listed = yunzhan_server::actions(DialectName::Web);
    let mut wrong = Vec::new();
    for row in ACTIONS {
        let (good, bad) = (Some(person.as_str()), &scene.people);
        // What a login sends has no token yet, and is refused by name.
        let action = listed.iter().find(|action| action.spec.name == row.name).unwrap();
        let unknown = match action.spec.sender {
            Sender::Known => "200 CHECK_LOGIN_FAILED",
            Sender::Anybody => "200 NOT_IMPLEMENTED",
        };
        for (who, token, env, head, expected) in [
            ("nobody", None, ENV, None, unknown),
            ("expired", Some(bad.expired.as_str()), ENV, None, "200 ACCESS_TOKEN_EXPIRED"),
            ("forged", Some(bad.forged.as_str()), ENV, None, "200 CHECK_LOGIN_FAILED"),
            ("of elsewhere", Some(bad.elsewhere.as_str()), ENV, None, "200 INVALIID_ENV"),
            ("own token elsewhere", good, elsewhere, None, "200 INVALIID_ENV"),
            ("an access key", Some(&*scene.shop.access_key), ENV, None, "200 CHECK_LOGIN_FAILED"),
            ("in the head only", None, ENV, good, unknown),
            ("forged in the head", good, ENV, Some(&*bad.forged), "200 CHECK_LOGIN_FAILED"),
            ("another person", good, ENV, None, row.another),
        ] {
            let answered = ask(row, token, env, head).await;
            if answered != expected {
                wrong.push(format!("{} {who}: {answered}, not {expected}", row.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    scene.is_untouched().await;
}
