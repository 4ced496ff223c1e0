//! What SecLang text says, typed, before anything is compiled.

use std::fmt;
use std::sync::Arc;

use crate::transformation::Transformation;

/// Where a directive begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSpan {
    /// The file's name as it was given.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
}

impl fmt::Display for SourceSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A mistake in rules: where, and what to do about it. All mistakes of all files are told at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: SourceSpan,
    /// The rule's id, where there is one.
    pub rule: Option<u64>,
    /// What is wrong, lowercase, without a final stop.
    pub message: String,
}

/// One directive.
#[derive(Clone, Debug)]
pub struct Directive {
    /// Where it begins.
    pub place: SourceSpan,
    /// What it says.
    pub kind: DirectiveKind,
}

/// What a directive says.
#[derive(Clone, Debug)]
pub enum DirectiveKind {
    /// `SecRule`.
    Rule(Box<Rule>),
    /// `SecAction`: a rule that always matches.
    Action(Vec<Action>),
    /// `SecDefaultAction`: of one phase.
    DefaultAction(Vec<Action>),
    /// `SecMarker`.
    Marker(String),
    /// `SecRuleRemoveById`, `…ByTag`, `…ByMsg`.
    Remove(Selection),
    /// `SecRuleUpdateTargetById`, `…ByTag`, `…ByMsg`.
    UpdateTarget(Selection, Vec<Target>),
    /// `SecRuleUpdateActionById`: the id and, for a link of a chain, its place counted from 0.
    UpdateAction(u64, Option<usize>, Vec<Action>),
    /// Everything that sets an option of the engine.
    Setting(Setting),
    /// `SecComponentSignature`.
    Signature(String),
}

/// Options of the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    /// `SecRuleEngine`.
    RuleEngine(EngineMode),
    /// `SecRequestBodyAccess`.
    RequestBodyAccess(bool),
    /// `SecRequestBodyLimit`, bytes.
    RequestBodyLimit(u64),
    /// `SecRequestBodyNoFilesLimit`, bytes.
    RequestBodyNoFilesLimit(u64),
    /// `SecRequestBodyLimitAction`: whether what is longer is refused rather than looked at in part.
    RequestBodyLimitRejects(bool),
    /// `SecRequestBodyJsonDepthLimit`.
    JsonDepthLimit(u64),
    /// `SecArgumentsLimit`.
    ArgumentsLimit(u64),
    /// `SecArgumentSeparator`.
    ArgumentSeparator(u8),
    /// `SecResponseBodyAccess`.
    ResponseBodyAccess(bool),
    /// `SecResponseBodyLimit`, bytes.
    ResponseBodyLimit(u64),
    /// `SecResponseBodyLimitAction`, as for requests.
    ResponseBodyLimitRejects(bool),
    /// `SecResponseBodyMimeType`.
    ResponseBodyMimeTypes(Vec<String>),
    /// `SecResponseBodyMimeTypesClear`.
    ResponseBodyMimeTypesClear,
    /// `SecCollectionTimeout`, seconds.
    CollectionTimeout(u64),
    /// `SecUploadFileLimit`: parts of a multipart body that are files.
    UploadFileLimit(u64),
    /// `SecUnicodeMapFile`: the code page's number. Only 20127 (US-ASCII) is carried.
    UnicodeCodePage(u32),
    /// `SecWebAppId`: the text of WEBAPPID.
    WebAppId(String),
    /// A directive that means something to a server that writes files of its own (logs, temporary folders, remote rules
    /// that are off) and nothing here, by its name.
    Elsewhere(&'static str),
}

/// `SecRuleEngine` and `ctl:ruleEngine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineMode {
    /// Rules run and may refuse.
    On,
    /// Rules do not run.
    Off,
    /// Rules run and only tell.
    DetectionOnly,
}

/// Which rules are meant.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// Ids, both ends included.
    Ids(Vec<(u64, u64)>),
    /// A tag, whole: `@rx`-less text compares, a regular expression searches (as ModSecurity's `ByTag`).
    Tag(String),
    /// A message.
    Message(String),
}

/// `SecRule`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What is looked at.
    pub targets: Vec<Target>,
    /// What is asked of it.
    pub operator: OperatorText,
    /// What follows, in order.
    pub actions: Vec<Action>,
}

/// One of the variables that a rule looks at, or leaves out.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// `!`: left out of what the other targets mean.
    pub is_excluded: bool,
    /// `&`: how many there are.
    pub is_count: bool,
    /// Which variable.
    pub variable: Variable,
    /// Which members of a collection; none means all.
    pub member: Option<Member>,
}

/// Which members of a collection.
#[derive(Clone, Debug, PartialEq)]
pub enum Member {
    /// The name, compared without case.
    Named(String),
    /// `/pattern/`: names that match.
    Matching(String),
    /// An XPath, of [`Variable::Xml`] alone.
    XPath(String),
}

/// An operator before it is compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorText {
    /// `!`.
    pub is_negated: bool,
    /// Without `@`, as it was written. `rx` where none is written.
    pub name: String,
    /// What follows the name.
    pub argument: Text,
}

/// Text with macros in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text(pub Vec<Piece>);

/// A piece of text.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// As it stands.
    Literal(Vec<u8>),
    /// `%{VARIABLE}` or `%{COLLECTION.member}`.
    Macro(Variable, Option<String>),
}

impl Text {
    /// Text without macros.
    pub fn literal(text: impl Into<Vec<u8>>) -> Self {
        Self(vec![Piece::Literal(text.into())])
    }

    /// The text, if no macro is in it.
    pub fn as_literal(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [] => Some(&[]),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }
}

/// One action of a rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `id`.
    Id(u64),
    /// `phase`, 1 to 5 (`request`, `response` and `logging` count as 2, 4 and 5).
    Phase(u8),
    /// `t:…` in order; `t:none` is [`Action::TransformationsNone`].
    Transformation(Transformation),
    /// `t:none`: forget the transformations so far, those of the default action included.
    TransformationsNone,
    /// `multiMatch`.
    MultiMatch,
    /// `capture`.
    Capture,
    /// `chain`.
    Chain,
    /// `pass`, `deny`, `drop`, `block`, `allow`, `redirect`.
    Disruptive(Disruptive),
    /// `status`.
    Status(u16),
    /// `skip`.
    Skip(u32),
    /// `skipAfter`.
    SkipAfter(String),
    /// `setvar`.
    SetVariable(SetVariable),
    /// `expirevar`: collection, name, seconds.
    ExpireVariable(Collection, Text, Text),
    /// `deprecatevar` is not offered by ModSecurity 3 and refused.
    /// `initcol`: collection and key.
    InitCollection(Collection, Text),
    /// `setsid`, `setuid`, `setrsc`: sets the key of SESSION, USER or RESOURCE.
    SetKey(Collection, Text),
    /// `setenv`: name and value.
    SetEnvironment(Text, Text),
    /// `ctl`.
    Control(Control),
    /// `msg`.
    Message(Text),
    /// `logdata`.
    LogData(Text),
    /// `severity`, 0 (emergency) to 7 (debug).
    Severity(u8),
    /// `tag`.
    Tag(Text),
    /// `rev`.
    Revision(String),
    /// `ver`.
    Version(String),
    /// `maturity`.
    Maturity(u8),
    /// `accuracy`.
    Accuracy(u8),
    /// `log`, `nolog`.
    Log(bool),
    /// `auditlog`, `noauditlog`.
    AuditLog(bool),
    /// `xmlns`: prefix and address.
    XmlNamespace(String, String),
    /// `sanitiseArg` and its kin: what must be masked in what is told.
    Sanitise(Sanitise),
}

/// What must be masked in what is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Sanitise {
    /// `sanitiseArg`.
    Argument(String),
    /// `sanitiseMatched`, `sanitiseMatchedBytes`.
    Matched,
    /// `sanitiseRequestHeader`.
    RequestHeader(String),
    /// `sanitiseResponseHeader`.
    ResponseHeader(String),
}

/// What a match does to the request.
#[derive(Clone, Debug, PartialEq)]
pub enum Disruptive {
    /// Goes on.
    Pass,
    /// Refuses with `status`.
    Deny,
    /// Refuses; the connection ends.
    Drop,
    /// As the phase's default action says.
    Block,
    /// Nothing more is asked.
    Allow(Allow),
    /// Answers with another address.
    Redirect(Text),
}

/// How much `allow` lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allow {
    /// `allow`: all phases but the fifth.
    All,
    /// `allow:phase`.
    Phase,
    /// `allow:request`.
    Request,
}

/// `setvar`.
#[derive(Clone, Debug, PartialEq)]
pub struct SetVariable {
    /// Where the variable lives.
    pub collection: Collection,
    /// Its name.
    pub name: Text,
    /// What becomes of it.
    pub change: Change,
}

/// What `setvar` does.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// `=`; without a value, `1`.
    Set(Text),
    /// `=+`.
    Add(Text),
    /// `=-`.
    Subtract(Text),
    /// `!name`.
    Remove,
}

/// Collections that rules write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Collection {
    /// Of the transaction.
    Tx,
    /// By address.
    Ip,
    /// One for all.
    Global,
    /// By resource.
    Resource,
    /// By session.
    Session,
    /// By user.
    User,
}

/// `ctl`.
#[derive(Clone, Debug, PartialEq)]
pub enum Control {
    /// `ruleEngine`.
    RuleEngine(EngineMode),
    /// `requestBodyProcessor`.
    RequestBodyProcessor(BodyProcessor),
    /// `requestBodyAccess`.
    RequestBodyAccess(bool),
    /// `requestBodyLimit`.
    RequestBodyLimit(u64),
    /// `responseBodyAccess`.
    ResponseBodyAccess(bool),
    /// `responseBodyLimit`.
    ResponseBodyLimit(u64),
    /// `responseBodyProcessor`.
    ResponseBodyProcessor(BodyProcessor),
    /// `forceRequestBodyVariable`.
    ForceRequestBodyVariable(bool),
    /// `forceResponseBodyVariable`.
    ForceResponseBodyVariable(bool),
    /// `ruleRemoveById`, `ruleRemoveByTag`, `ruleRemoveByMsg`.
    Remove(Selection),
    /// `ruleRemoveTargetById`, `ruleRemoveTargetByTag`, `ruleRemoveTargetByMsg`.
    RemoveTarget(Selection, Target),
    /// `auditEngine`, `auditLogParts`, `debugLogLevel`, `hashEngine`: nothing here, by its name.
    Elsewhere(&'static str),
}

/// How a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyProcessor {
    /// `application/x-www-form-urlencoded`.
    UrlEncoded,
    /// `multipart/form-data`.
    Multipart,
    /// JSON.
    Json,
    /// XML.
    Xml,
}

/// Everything that a rule can look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the ModSecurity variable of the same name, in capitals")]
pub enum Variable {
    Args,
    ArgsNames,
    ArgsGet,
    ArgsGetNames,
    ArgsPost,
    ArgsPostNames,
    ArgsCombinedSize,
    AuthType,
    Duration,
    Env,
    Files,
    FilesCombinedSize,
    FilesNames,
    FilesSizes,
    FilesTmpContent,
    FilesTmpNames,
    FullRequest,
    FullRequestLength,
    Geo,
    Global,
    HighestSeverity,
    InboundDataError,
    Ip,
    MatchedVar,
    MatchedVarName,
    MatchedVars,
    MatchedVarsNames,
    ModsecBuild,
    MscPcreError,
    MscPcreLimitsExceeded,
    MultipartBoundaryQuoted,
    MultipartBoundaryWhitespace,
    MultipartCrlfLfLines,
    MultipartDataAfter,
    MultipartDataBefore,
    MultipartFileLimitExceeded,
    MultipartFilename,
    MultipartHeaderFolding,
    MultipartInvalidHeaderFolding,
    MultipartInvalidPart,
    MultipartInvalidQuoting,
    MultipartLfLine,
    MultipartMissingSemicolon,
    MultipartName,
    MultipartPartHeaders,
    MultipartStrictError,
    MultipartUnmatchedBoundary,
    OutboundDataError,
    PathInfo,
    QueryString,
    RemoteAddr,
    RemoteHost,
    RemotePort,
    RemoteUser,
    ReqbodyError,
    ReqbodyErrorMsg,
    ReqbodyProcessor,
    ReqbodyProcessorError,
    ReqbodyProcessorErrorMsg,
    RequestBasename,
    RequestBody,
    RequestBodyLength,
    RequestCookies,
    RequestCookiesNames,
    RequestFilename,
    RequestHeaders,
    RequestHeadersNames,
    RequestLine,
    RequestMethod,
    RequestProtocol,
    RequestUri,
    RequestUriRaw,
    Resource,
    ResponseBody,
    ResponseContentLength,
    ResponseContentType,
    ResponseHeaders,
    ResponseHeadersNames,
    ResponseProtocol,
    ResponseStatus,
    Rule,
    ServerAddr,
    ServerName,
    ServerPort,
    Session,
    SessionId,
    Status,
    Time,
    TimeDay,
    TimeEpoch,
    TimeHour,
    TimeMin,
    TimeMon,
    TimeSec,
    TimeWday,
    TimeYear,
    Tx,
    UniqueId,
    UrlencodedError,
    User,
    UserId,
    WebAppId,
    Xml,
}
