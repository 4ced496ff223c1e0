//! Actions that the published packages send and that no service brings yet: refused by name, so that a developer reads what is
//! missing and not that a signature is wrong. Taken from `wx-server-sdk` 2.6 to 4.0, `@cloudbase/node-sdk` 2 and 3,
//! `tcb-admin-node` 1, `tcb-js-sdk` 1 and `@cloudbase/js-sdk` 1 to 3.
//!
//! A service that brings an action of one of these names takes its place.

use super::spec::DialectName::{Admin, Web};
use super::spec::{ActionSpec, DialectName, Sender};

const BOTH: &[DialectName] = &[Admin, Web];
const ADMIN: &[DialectName] = &[Admin];
const WEB: &[DialectName] = &[Web];

const IN_TRANSACTION: &[&str] = &[
    "collectionName",
    "transactionId",
    "query",
    "queryType",
    "data",
    "multi",
    "merge",
    "upsert",
    "_id",
];
const WX: &[&str] = &["apiName", "apiOptions", "cgiName", "requestData"];
const FILES: &[&str] = &["file_list"];

/// Every one.
pub(crate) const NOT_OFFERED: &[ActionSpec] = &[
    ActionSpec::new("database.getInTransaction", ADMIN, IN_TRANSACTION),
    ActionSpec::new("database.insertDocInTransaction", ADMIN, IN_TRANSACTION),
    ActionSpec::new("database.updateDocInTransaction", ADMIN, IN_TRANSACTION),
    ActionSpec::new("database.deleteDocInTransaction", ADMIN, IN_TRANSACTION),
    ActionSpec::new("database.runCommands", BOTH, &["commands", "transactionId"]),
    ActionSpec::new(
        "functions.invokeFunction",
        BOTH,
        &["function_name", "request_data", "qualifier", "inQuery", "parse", "search"],
    ),
    ActionSpec::new("storage.getUploadMetadata", BOTH, &["path", "method"]),
    ActionSpec::new("storage.uploadFile", WEB, &["path"]),
    ActionSpec::new("storage.batchGetDownloadUrl", BOTH, FILES),
    ActionSpec::new("storage.batchDeleteFile", BOTH, &["fileid_list"]),
    ActionSpec::new("storage.batchCopyFile", BOTH, FILES),
    ActionSpec::new("storage.getFileAuthority", BOTH, &["openId", "uid", "loginType", "fileList"]),
    ActionSpec::new("ai.invokeAI", ADMIN, &["param"]),
    ActionSpec::new("wx.api", ADMIN, WX),
    ActionSpec::new("wx.openApi", ADMIN, WX),
    ActionSpec::new("wx.wxPayApi", ADMIN, WX),
    ActionSpec::new("wx.wxCallContainerApi", ADMIN, WX),
    ActionSpec::new("auth.getUserInfoForAdmin", ADMIN, &["uuid", "platform", "platformId"]),
    ActionSpec::new("auth.wsWebSign", BOTH, &["runtime"]),
    login("auth.signIn"),
    login("auth.signInAnonymously"),
    login("auth.signInWithTicket"),
    login("auth.signUpWithEmailAndPassword"),
    login("auth.activateEndUserMail"),
    login("auth.sendPasswordResetEmail"),
    login("auth.resetPasswordWithToken"),
    login("auth.isUsernameRegistered"),
    login("auth.fetchAccessTokenWithRefreshToken"),
    login("auth.getJwt"),
    login("auth.logout"),
    login("auth.sendPhoneCode"),
    of_person("auth.getUserInfo"),
    of_person("auth.updateUserInfo"),
    of_person("auth.updateUsername"),
    of_person("auth.updateEmail"),
    of_person("auth.updatePassword"),
    of_person("auth.linkWithTicket"),
    of_person("auth.linkWithWeixinCode"),
    of_person("auth.linkAndRetrieveDataWithTicket"),
    of_person("auth.linkOrUpdatePhoneNumber"),
    of_person("auth.getLinkedUidList"),
    of_person("auth.setPrimaryUid"),
    of_person("auth.unlink"),
    ActionSpec::new("analytics.report", WEB, &["requestData"]),
];

/// An action by which a client of the web dialect gets or renews its token, and so sends without one.
const fn login(name: &'static str) -> ActionSpec {
    ActionSpec { sender: Sender::Anybody, ..ActionSpec::new(name, WEB, &[]) }
}

/// An action of somebody who has logged in with an account of CloudBase's own.
const fn of_person(name: &'static str) -> ActionSpec {
    ActionSpec::new(name, WEB, &[])
}
